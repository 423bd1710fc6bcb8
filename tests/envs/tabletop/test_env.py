"""`trajgen/Tabletop-v0` call by call: what it refuses and why, what it lets be seen, and what its channels say."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabletops import HARD, begun, calling, refused
from trajgen.errors import ConfigError
from trajgen.spaces import draw_json
from trajgen.types import ToolCall
from trajgen_envs.tabletop import spots, tools
from trajgen_envs.tabletop.env import ACKNOWLEDGED, TabletopEnv
from trajgen_envs.tabletop.world import BESIDE, PLACES

if TYPE_CHECKING:
    from collections.abc import Iterator


NASTY = [
    "",
    "\x00",
    "red block\n",
    "RED BLOCK",
    "red  block",
    "'; --",
    "\u202e",
    "9" * 400,
    "middle",
    "done",
    "é" * 300,
]


@pytest.fixture
def env() -> Iterator[TabletopEnv]:
    made = TabletopEnv()
    yield made
    made.close()


# ---- what cannot be done


@pytest.fixture(scope="module")
def muddled() -> TabletopEnv:
    made = TabletopEnv()
    made.reset(seed=11, options={"objects": 6, "distractors": 2, **HARD})
    return made


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.data())
def test_no_call_raises_whatever_its_arguments(muddled, seed, data):
    env = muddled
    tool = data.draw(st.sampled_from(env.tools))
    arguments = dict(draw_json(tool.parameters, np.random.default_rng(seed)))
    if arguments and data.draw(st.booleans()):
        values = st.one_of(
            st.sampled_from([*NASTY, *PLACES, *BESIDE, *(t.name for t in env.task.things)]),
            st.floats(),
            st.integers(),
            st.none(),
            st.text(max_size=20),
        )
        arguments[data.draw(st.sampled_from(sorted(arguments)))] = data.draw(values)
    call = ToolCall(tool.name, arguments)
    fits, before = env.action_space.contains(call), env.state_digest()
    observation, reward, terminated, truncated, info = env.step(call)
    assert observation.text == ACKNOWLEDGED or call.tool in {"look", "done"}
    assert (reward, truncated) == (0.0, False) or info["success"]
    assert fits or (env.state_digest() == before and refused(env))
    assert 0.0 <= env.can(call) <= 1.0 if fits else True
    if terminated:
        env.reset(seed=seed % 1_000, options={"objects": 6, "distractors": 2, **HARD})


THINGS = {"family": "stack_in_order", "length": 2, "objects": 3}


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (calling("pick", object="purple unicorn"), "purple unicorn"),
        (calling("push", object="{0}", direction="up", distance_m=0.1), "up"),
        (calling("push", object="{0}", direction="left", distance_m=3.0), "3.0"),
        (calling("place", target="{0}", relation="at"), "expected 'on'"),
        (calling("place", target="middle", relation="in"), "expected 'at'"),
        (calling("look", place="the moon"), "the moon"),
        (calling("ask", question=""), "question"),
        (calling("ask", question="x" * (tools.MAX_QUESTION_CHARS + 1)), "question"),
    ],
)
def test_what_cannot_be_done_is_acknowledged_like_all_else_and_told_on_the_error_channel(env, call, why):
    begun(env, 0, **THINGS)
    names = [thing.name for thing in env.task.things]
    call = ToolCall(call.tool, {k: v.format(*names) if isinstance(v, str) else v for k, v in call.arguments.items()})
    before = env.state_digest()
    observation, *_ = env.step(call)
    assert observation.text == ACKNOWLEDGED
    assert env.state_digest() == before
    assert why in (refused(env) or "")


def test_what_is_under_something_or_in_a_full_cup_is_not_picked(env):
    begun(env, 0, **THINGS)
    a, b, c = (thing.name for thing in env.task.things)
    env.step(calling("pick", object=a))
    env.step(calling("pick", object=b))
    assert refused(env) == f"The cup holds the {a}; place it first."
    env.step(calling("place", target=b, relation="on"))
    env.step(calling("pick", object=b))
    assert refused(env) == f"The {a} lies on the {b}; move that first."
    env.step(calling("place", target=c, relation="on"))
    assert refused(env) == "The cup held nothing."


def test_what_was_dropped_or_fell_off_the_table_is_told(env):
    begun(env, 0, **THINGS)
    name = env.task.things[0].name
    first = env.table.rig.model.qpos[0]
    env.table.rig.data.qpos[first : first + 3] = [1.2, 0.6, -0.3]
    env.step(calling("look", place="middle"))  # time passes, and it lies on the floor
    for call in (calling("pick", object=name), calling("place", target=name, relation="on")):
        env.step(call)
        assert refused(env) == f"The {name} has fallen off the table."
    assert not env.solved()


def test_out_of_reach_is_refused_and_says_where(env):
    begun(env, 0, **THINGS)
    name, first = env.task.things[0].name, env.table.rig.model.qpos[0]
    env.table.rig.data.qpos[first : first + 2] = [0.80, 0.40]
    env.step(calling("look", place="middle"))
    env.step(calling("pick", object=name))
    assert refused(env) == "Out of reach: the arm does not get to (0.80, 0.40) m."


def test_nothing_is_picked_where_the_arm_could_not_rise_over_what_stands_there(env):
    begun(env, 0, family="stack_in_order", length=4, objects=8, distractors=4)
    for i, x in enumerate(env.table.rig.model.qpos):  # one tower of everything, as no expert would build it
        env.table.rig.data.qpos[x : x + 7] = [0.69, 0.29, 0.02 + 0.06 * i, 1, 0, 0, 0]
    env.table._land()
    now = env.table.world()
    top = max(range(len(now.things)), key=lambda i: now.poses[i].z)
    env.table._see()
    env.step(calling("pick", object=now.name(top)))
    assert "out of reach" in refused(env).lower()
    assert "m high" in refused(env)


def test_an_arm_that_has_to_stop_on_its_way_says_so_and_goes_on(env):
    begun(env, 0, family="stack_in_order", length=2, objects=4, occlusion=True)
    first = env.table.rig.model.qpos[3]
    env.table.rig.data.qpos[first : first + 3] = [0.32, -0.05, 0.55]  # in the air, and only seen from near
    env.table.rig.data.qvel[env.table.rig.model.qvel[3] + 2] = 2.0
    env.table._land()
    env.step(calling("look", place="top left corner"))
    assert refused(env) == "The arm had to stop: too far from the base."
    env.step(calling("look", place="middle"))
    assert refused(env) is None


def test_after_done_nothing_can_be_done(env):
    begun(env, 0)
    _, reward, terminated, _, _ = env.step(calling("done"))
    assert (reward, terminated) == (0.0, True)
    env.step(calling("look"))
    assert refused(env) == "The episode is over: 'done' was called."
    assert not [call for call in env.oracle() if call.tool != "done"]


# ---- seeing


def test_what_is_not_in_view_is_found_by_looking_around(env):
    begun(env, 4, family="different_corners", occlusion=True)
    now = env.table.world()
    hidden = next(i for i in range(len(now.things)) if i not in env.table.visible())
    name = now.name(hidden)
    env.step(calling("pick", object=name))
    assert refused(env) == f"The {name} is not in view; look around."
    for place in PLACES:
        observation, *_ = env.step(calling("look", place=place))
        if name in observation.text:
            break
    env.step(calling("pick", object=name))
    assert refused(env) is None
    assert env.table.world().held == hidden


def test_what_was_once_seen_stays_known(env):
    begun(env, 4, family="different_corners", occlusion=True)
    env.step(calling("look", place="middle"))
    seen = env.table._past.seen
    env.step(calling("look", place="top left corner"))
    assert any(pose is not None for pose in seen)
    unseen = [i for i in range(len(seen)) if i not in env.table.visible()]
    assert [env.table._past.seen[i] for i in unseen] == [seen[i] for i in unseen]


def test_with_arrays_every_observation_has_the_poses_in_the_order_of_the_list_and_the_cup(env):
    observation, _ = env.reset(seed=0, options={"arrays": True, "family": "pick_and_place"})
    listed = observation.text.split("On the table: ")[1].rstrip(".").split(", ")
    assert listed == [thing.name for thing in env.task.things]
    again, *_ = env.step(calling("pick", object="no such thing"))
    picked, *_ = env.step(calling("pick", object=listed[0]))
    for seen in (observation, again, picked):
        poses, cup = seen.arrays["poses"], seen.arrays["cup"]
        assert (poses.shape, poses.dtype, cup.shape) == ((len(listed), 7), np.float64, (3,))
        assert seen in env.observation_space
        assert np.linalg.norm(poses[:, 3:], axis=1) == pytest.approx(1.0)
    assert again == type(again)(ACKNOWLEDGED, arrays=observation.arrays)
    assert picked.arrays["cup"] == pytest.approx(env.table.rig.at, abs=0.01)  # servos trail
    assert picked.arrays["poses"][0, :3] == pytest.approx(picked.arrays["cup"] - [0, 0, 0.02], abs=5e-3)


def test_what_is_not_seen_has_no_numbers(env):
    observation, _ = env.reset(seed=4, options={"arrays": True, "occlusion": True})
    visible = env.table.visible()
    known = ~np.isnan(observation.arrays["poses"]).any(axis=1)
    assert list(np.flatnonzero(known)) == visible
    assert len(visible) < len(env.task.things)


def test_without_look_and_ask_they_are_not_offered(env):
    begun(env, 0, look=False, ask=False)
    assert env.action_space.names() == ("pick", "place", "push", "done")
    env.legal_wanted = True
    _, info = env.reset(seed=0, options={"look": False, "ask": False})
    assert {call.tool for call in info["legal"]} == {"pick", "place", "push", "done"}
    assert all(env.action_space.contains(call) for call in info["legal"])


def test_legal_calls_are_those_of_the_present_task_and_none_once_it_is_over(env):
    env.legal_wanted = True
    for seed in range(3):
        _, info = env.reset(seed=seed, options={"objects": 3 + seed})
        names = {thing.name for thing in env.task.things}
        assert {c.arguments["object"] for c in info["legal"] if c.tool == "pick"} == names
        *_, info = env.step(calling("done"))
        assert info["legal"] == ()


# ---- channels


def test_every_line_of_feedback_names_the_predicate_and_the_bodies_it_came_from(env):
    begun(env, 2, family="one_bowl")
    names = [thing.name for thing in env.task.things]
    for call in env.oracle():
        env.step(call)
        for channel in ("success", "object", "scene", "error", "human"):
            for line in env.describe(channel) or ():
                predicate, _, bodies = line.source.partition("(")
                assert predicate.isidentifier()
                assert bodies.endswith(")")
                for body in filter(None, bodies[:-1].split(", ")):
                    assert body in {*names, *PLACES}


def test_the_scene_channel_counts_up_to_the_goal(env):
    begun(env, 2, family="one_bowl")
    counts = []
    for call in env.oracle():
        env.step(call)
        counts.append(int(env.describe("scene")[0].text.split()[0]))
    assert counts[-1] == env.task.goal.n_needed
    assert counts == sorted(counts)


def test_a_place_that_came_out_otherwise_says_where_the_thing_is_now(env):
    for seed in range(20):
        begun(env, seed, family="stack_all", length=2, pick_noise_m=0.012, place_noise_m=0.05)
        for call in itertools.islice(env.oracle(), 6):
            env.step(call)
            why = refused(env) or ""
            if call.tool == "place" and why:
                assert why.startswith("It came out otherwise: The ")
                assert env.describe("success")[0].text == "The last skill failed."
                return
    pytest.fail("noise of 5 cm never made a place fail")


# ---- options


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"familyx": "undo"}, r"options\.familyx: unknown key; did you mean 'family'"),
        (
            {"family": "one_bowls"},
            r"options\.family: expected one of beside, .*found 'one_bowls'; did you mean 'one_bowl'",
        ),
        ({"objects": 9}, "options.objects"),
        ({"pick_noise_m": -1}, "options.pick_noise_m"),
        ({"family": "undo", "length": 5}, r"^options\.length: expected 1 to 3 for undo, found 5$"),
        ({"split": "dev"}, "expected one of train, validation, test, found 'dev'"),
    ],
)
def test_options_that_are_none_are_refused(env, options, why):
    with pytest.raises(ConfigError, match=why):
        env.reset(seed=0, options=options)


def test_objects_and_distractors_are_on_the_table(env):
    for n, distractors in ((3, 0), (8, 0), (4, 4)):
        begun(env, 0, family="pick_and_place", objects=n, distractors=distractors)
        assert len(env.task.things) == n + distractors
        assert sum(thing.kind == "can" for thing in env.task.things) >= distractors


def test_before_a_reset_it_says_what_to_do(env):
    with pytest.raises(RuntimeError, match="reset the environment"):
        env.solved()
    assert env.describe("scene") is None


def test_relations_offered_are_those_there_are_spots_for():
    (place,) = (tool for tool in tools.ANY if tool.name == "place")
    assert set(place.parameters["properties"]["relation"]["enum"]) == set(spots.RELATIONS)


def test_a_bowl_cannot_be_put_into_another(env):
    begun(env, 0, family="matching_bowls", length=2, objects=4)
    first, second = (thing.name for thing in env.task.things if thing.kind == "bowl")
    env.step(ToolCall("pick", {"object": first}))
    assert env.table.world().held == env.table.world().find(first)
    before = env.state_digest()
    env.step(ToolCall("place", {"target": second, "relation": "in"}))
    assert "fits neither in nor on" in env.describe("error")[0].text
    assert env.state_digest() == before


def test_what_is_pushed_off_the_table_did_not_work_and_says_so(env):
    begun(env, 3, family="stack_all")
    name = env.task.things[0].name
    for _ in range(6):
        env.step(ToolCall("push", {"object": name, "direction": "left", "distance_m": 0.25}))
        if env.table.world().fallen(0):
            break
    assert env.describe("success")[0].text == "The last skill failed."
    assert env.describe("error")[0].text == "It fell off the table."


def test_the_expert_looks_for_what_it_has_not_seen(env):
    begun(env, 1, family="matching_bowls", occlusion=True)
    calls = []
    for call in env.oracle():
        calls.append(call.tool)
        assert env.describe("error") in ([], None), call
        if env.step(call)[2]:
            break
    assert "look" in calls
    assert env.solved()


def test_a_call_that_fits_no_tool_can_not_be_done(env):
    begun(env, 0)
    for call in (ToolCall("pick", {}), ToolCall("bogus", {}), ToolCall("pick", {"object": "nope"}), ToolCall(None)):
        assert env.can(call) == 0
