"""The planner plays every instruction from text alone, and each channel it is shown changes what it does, and how."""

from __future__ import annotations

import ast
import inspect
import itertools
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trajgen.registry import planner
from trajgen.types import Feedback, to_json
from trajgen_envs.tabletop import families, goals, reading, tools, wishes
from trajgen_envs.tabletop import planner as module
from trajgen_envs.tabletop.planner import MAX_CALLS, MAX_PICKS, MAX_PLACES, TabletopPlanner
from trajgen_envs.tabletop.world import PLACES
from word_table import RED, THINGS, Table, a_step

if TYPE_CHECKING:
    from trajgen.protocols import PlannerStrategy

ALL = ("success", "object", "scene", "error")
STACK = "Stack, from the bottom to the top, the red block, the blue block and the pink block."
BLOCKS = ("red block", "blue block", "pink block")


def test_it_is_the_registered_strategy():
    assert planner("trajgen/Tabletop-v0") is TabletopPlanner
    strategy: PlannerStrategy = TabletopPlanner()
    assert strategy


def test_it_imports_nothing_of_the_environment():
    allowed = {"trajgen.types", "trajgen_envs.tabletop.reading", "trajgen_envs.tabletop.wishes"}
    for room in (module, reading, wishes):
        for node in ast.walk(ast.parse(inspect.getsource(room))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("trajgen"):
                assert node.module in allowed | {"trajgen_envs.tabletop"}
                if node.module == "trajgen_envs.tabletop":
                    assert {alias.name for alias in node.names} <= {"reading", "wishes"}


# ------------------------------------------------------------------------------------- what the instruction asks for

ONCE = ["pick red block", "place green bowl in", "pick blue block", "place white bowl in", "done"]
drawn = st.builds(
    lambda seed, family, n_objects, n_distractors, usual: families.draw(
        np.random.default_rng(seed),
        family,
        None if usual else int(np.random.default_rng(seed).integers(*families.SIZES[family][:2], endpoint=True)),
        n_objects,
        n_distractors,
    ),
    st.integers(0, 10**6),
    st.sampled_from(families.FAMILIES),
    st.integers(3, 8),
    st.integers(0, 4),
    st.booleans(),
)


@given(drawn)
@settings(max_examples=300, deadline=None)
def test_every_instruction_is_read_as_the_goal_it_was_made_from(task):
    names = tuple(thing.name for thing in task.things)
    said = reading.goal(f"{task.text}\nOn the table: {', '.join(names)}.", tools.offered(names, look=True, ask=True))
    assert (said.things, said.places) == (names, tuple(PLACES))
    match task.goal:
        case goals.AllOf(parts):
            expected = wishes.Each(tuple(wishes.Fact(p.name, p.relation, p.target) for p in parts))
        case goals.Mismatched(blocks, bowls):
            expected = wishes.Mismatched(blocks, bowls)
        case goals.Tower(blocks, place):
            expected = wishes.Tower(blocks, place)
        case goals.Apart(blocks):
            expected = wishes.Apart(blocks, goals.CORNERS)
        case goals.Clear(things, place):
            expected = wishes.Clear(things, place, said.asked.elsewhere)
            assert set(said.asked.elsewhere) <= set(goals.elsewhere(place)) | set(goals.CORNERS)
    assert said.asked == expected


@given(drawn)
@settings(max_examples=200, deadline=None)
def test_an_open_loop_moves_each_object_at_most_once_and_then_is_done(task):
    names = tuple(thing.name for thing in task.things)
    calls = Table(task.text, names).play()
    picked = [call.removeprefix("pick ") for call in calls if call.startswith("pick")]
    assert calls[-1] == "done"
    assert len(picked) == len(set(picked))
    assert [call.split()[0] for call in calls[:-1]] == ["pick", "place"] * len(picked)
    if not isinstance(task.goal, goals.Clear):
        assert len(picked) == task.goal.n_needed


@given(drawn)
@settings(max_examples=100, deadline=None)
def test_what_it_does_to_blocks_brings_about_the_goal_where_all_goes_well(task):
    names = tuple(thing.name for thing in task.things)
    table = Table(task.text, names)
    table.play()
    stands = {name: (relation, target) for name, relation, target in table.facts}
    match task.goal:
        case goals.Mismatched(blocks, _):
            assert all(stands[block][1].split()[0] != block.split()[0] for block in blocks)
            assert len({stands[block][1] for block in blocks}) == len(blocks)
        case goals.Apart(blocks):
            assert len({stands[block][1] for block in blocks}) == len(blocks)
        case goals.Tower(blocks, place):
            assert len([b for b in blocks if stands.get(b, ("", ""))[0] == "on"]) == len(blocks) - 1
            assert place is None or ("at", place) in stands.values()
        case goals.AllOf(parts):
            assert all(stands[p.name] == (p.relation, p.target) for p in parts)


@pytest.mark.parametrize(
    "text", ["", "Dance.", "Put the red fox in the green bowl.", "Stack all the blocks at the zoo."]
)
def test_it_stops_at_an_instruction_it_does_not_understand(text):
    table = Table(text)
    assert table.play() == []
    assert table.turns[-1].stop
    assert "understand" in table.turns[-1].text


# ------------------------------------------------------------------------------------- what each channel is good for


def test_shown_nothing_it_plays_once_whatever_happens():
    assert Table().play() == ONCE
    assert Table(fails={0, 1, 3}, knocks={1: "red block"}).play() == ONCE


mishaps = st.fixed_dictionaries(
    {
        "fails": st.frozensets(st.integers(0, 8)),
        "keeps": st.frozensets(st.integers(0, 8)),
        "knocks": st.dictionaries(st.integers(0, 8), st.sampled_from(THINGS[:2]), max_size=2),
    }
)


@given(mishaps, st.sets(st.sampled_from(ALL)))
@settings(deadline=None)
def test_lines_that_are_not_shown_change_nothing(mishap, shown):
    """The same conversation with the hidden lines left out, and with other hidden lines, gives the same turns."""
    table = Table(shown=shown, **mishap)
    table.play()
    for hidden in ((), (Feedback("error", "The red block has fallen off the table.", shown=False),)):
        again, strategy = Table(shown=shown, **mishap), TabletopPlanner()
        lines = again.lines(None, None)
        strategy.start(again.text, again.tools, (*_shown(lines), *hidden), np.random.default_rng(7))
        for turn in table.turns:
            assert strategy.next() == turn
            step = again.step(turn.calls[0])
            strategy.saw(a_step(turn.calls[0], step.observation.text, *_shown(step.feedback), *hidden))


def _shown(lines):
    return [line for line in lines if line.shown]


@given(mishaps, st.sets(st.sampled_from(ALL)))
@settings(deadline=None)
def test_it_comes_to_an_end_and_never_asks_or_pushes(mishap, shown):
    calls = Table(shown=shown, **mishap, look=True).play(MAX_CALLS + 1)
    assert calls[-1] == "done"
    assert {call.split()[0] for call in calls} <= {"pick", "place", "look", "done"}


@given(st.lists(st.tuples(st.sampled_from(ALL), st.text() | st.sampled_from(["In view: .", "The a b is on the c d."]))))
@settings(deadline=None)
def test_it_gets_on_with_feedback_it_does_not_understand(lines):
    strategy = TabletopPlanner()
    strategy.start(Table().text, Table().tools, (), np.random.default_rng(0))
    for _ in range(MAX_CALLS + 1):
        turn = strategy.next()
        if turn.calls[0].tool == "done":
            return
        strategy.saw(a_step(turn.calls[0], "", *(Feedback(c, text, shown=True) for c, text in lines)))
    raise AssertionError("no end")


def test_object_shows_it_an_empty_cup_and_it_picks_again():
    table = Table(shown=("object",), fails={0})
    assert table.play() == ["pick red block", *ONCE]
    assert "I see that it is empty" in table.turns[1].text


def test_object_shows_it_what_was_never_let_go_and_it_places_again():
    table = Table(shown=("object",), keeps={1})
    assert table.play() == [ONCE[0], ONCE[1], *ONCE[1:]]
    assert "I see it in the cup" in table.turns[2].text


def test_object_does_not_show_it_a_place_that_missed():
    assert Table(shown=("object",), fails={1}).play() == ONCE


def test_object_shows_it_what_is_no_longer_there_and_it_leaves_that_out():
    assert Table(shown=("object",), falls={0: "blue block"}).play() == [*ONCE[:2], "done"]


def test_it_gives_an_object_up_that_cannot_be_picked_and_goes_on_with_the_next():
    calls = Table(shown=("object",), fails=set(range(MAX_PICKS))).play()
    assert calls == ["pick red block"] * MAX_PICKS + ONCE[2:]


def test_object_shows_it_that_the_cup_holds_another_thing():
    strategy, table = TabletopPlanner(), Table(shown=("object",))
    strategy.start(table.text, table.tools, (), np.random.default_rng(0))
    call = strategy.next().calls[0]
    lines = [Feedback("object", t, shown=True) for t in (f"In view: {', '.join(THINGS)}.", "In the cup: blue block.")]
    strategy.saw(a_step(call, "Acknowledged.", *lines))
    assert strategy.next().calls[0].arguments == {"target": "white bowl", "relation": "in"}


def test_success_shows_it_a_pick_that_failed():
    table = Table(shown=("success",), fails={0})
    assert table.play() == ["pick red block", *ONCE]
    assert "told that it failed" in table.turns[1].text


def test_success_shows_it_a_place_that_missed_and_it_picks_and_places_again():
    assert Table(shown=("success",), fails={1}).play() == [*ONCE[:2], *ONCE]


def test_success_alone_leads_it_to_suspect_that_the_cup_never_let_go():
    table = Table(shown=("success",), keeps={1})
    assert table.play() == [*ONCE[:2], "pick red block", "pick red block", *ONCE[1:]]
    assert "Perhaps the cup never let go of the red block" in table.turns[4].text


def test_success_does_not_show_it_what_is_knocked_away_later():
    assert Table(shown=("success",), knocks={2: "red block"}).play() == ONCE


def test_scene_shows_it_what_is_knocked_away_and_it_does_that_again():
    table = Table(shown=("scene",), knocks={3: "red block"})
    assert table.play() == [*ONCE[:4], *ONCE[:2], "done"]
    assert "All 2 parts of the goal hold" in table.turns[-1].text


def test_scene_shows_it_what_holds_already_and_it_leaves_that_alone():
    table = Table(shown=("scene",))
    table.facts.add(RED)
    assert table.play() == ONCE[2:]


def test_scene_keeps_it_from_being_done_while_a_part_does_not_hold_but_not_for_ever():
    calls = Table(shown=("scene",), parts=(RED, ("blue block", "in", "grey bowl"))).play()
    assert calls.count("place white bowl in") == MAX_PLACES
    assert calls[-1] == "done"


def test_scene_has_it_build_on_the_stack_there_is():
    table = Table("Stack all the blocks.", BLOCKS, [("pink block", "on", "blue block")], shown=("scene",))
    table.parts |= {("red block", "on", "pink block")}
    table.facts |= {("pink block", "on", "blue block")}
    assert table.play() == ["pick red block", "place pink block on", "done"]


def test_scene_has_it_take_a_stack_down_whose_lower_part_is_wrong():
    parts = [("blue block", "on", "red block"), ("pink block", "on", "blue block")]
    table = Table(STACK, BLOCKS, parts, shown=("scene",), knocks={3: "blue block"})
    first, then = ["pick blue block", "place red block on"], ["pick pink block", "place blue block on"]
    assert table.play() == [*first, *then, "pick pink block", "place left side at", *first, *then, "done"]


def test_scene_has_it_begin_a_stack_that_stands_at_the_wrong_place_with_the_topmost_block():
    parts = [("red block", "on", "blue block"), ("red block", "at", "top side"), ("blue block", "on", "red block")]
    things = ("blue block", "red block")
    table = Table("Stack all the blocks at the top side.", things, parts, shown=("scene",))
    table.facts |= {("red block", "on", "blue block")}
    then = ["pick blue block", "place red block on", "done"]
    assert table.play() == ["pick red block", "place top side at", *then]
    assert "to put it at the top side" in table.turns[0].text


def test_scene_has_it_prefer_an_empty_bowl_where_any_will_do():
    things = ("red block", "green block", "red bowl", "blue bowl", "green bowl")
    table = Table("Put the blocks in bowls of another color than their own.", things, (), shown=("scene",))
    table.parts |= {("green block", "in", "blue bowl"), ("red block", "in", "green bowl")}
    table.facts |= {("green block", "in", "blue bowl")}
    assert table.play() == ["pick red block", "place green bowl in", "done"]


def test_error_says_on_what_an_object_landed_and_it_clears_that_away_first():
    table = Table("Put the red block on the blue block.", BLOCKS, (), shown=("error",), fails={1})
    table.on_top = "pink block"
    aside = ["pick pink block", "place left side at"]
    again = ["pick red block", "place blue block on"]
    assert table.play() == [*again, "pick red block", "place left side at", *aside, *again, "done"]


def test_error_names_what_lies_on_an_object_and_it_moves_that_first():
    table = Table(STACK, BLOCKS, (), shown=("error",))
    table.facts.add(("pink block", "on", "blue block"))
    first, then = ["pick blue block", "place red block on"], ["pick pink block", "place blue block on"]
    aside = ["pick pink block", "place left side at"]
    assert table.play() == ["pick blue block", *aside, *first, *then, "done"]
    assert 'I am told: "The pink block lies on the blue block; move that first."' in table.turns[1].text


def test_error_names_what_has_fallen_and_it_gives_that_up():
    table = Table(shown=("error",), falls={1: "blue block"})
    assert table.play() == [*ONCE[:3], "done"]
    assert "I can do no more about the blue block" in table.turns[-1].text


@pytest.mark.parametrize("shown", [("scene", "object"), ("error",)])
def test_it_does_not_say_that_all_is_well_with_what_has_just_fallen(shown):
    table = Table(shown=shown, fails={1}, falls={1: "red block"})
    assert table.play() == [*ONCE[:4], "done"]
    assert "The red block is not in the green bowl" in table.turns[2].text


def test_error_says_that_a_place_is_full_and_it_takes_another_where_the_goal_allows():
    table = Table("Put the blocks in different corners.", BLOCKS[:1], (), shown=("error",))
    table.why[1] = "Target: there is no room at the top left corner."
    calls = ["pick red block", "place top left corner at", "place top right corner at", "done"]
    assert table.play() == calls


def test_what_has_no_room_where_it_belongs_is_put_out_of_the_way():
    full = "Target: there is no room at the middle."
    table = Table(
        "Put all the blocks at the middle.", BLOCKS[:2], (), shown=("error",), why=dict.fromkeys((1, 2, 3), full)
    )
    calls = table.play()
    assert calls[:5] == ["pick red block", *["place middle at"] * 3, "place left side at"]
    assert calls[5:] == ["pick blue block", "place middle at", "done"]


@pytest.mark.parametrize("shown", [("error",), ("object",), ALL])
def test_it_looks_for_what_is_out_of_sight_and_no_longer_than_it_must(shown):
    table = Table(shown=shown, hidden={"red block": "top right corner"}, look=True)
    looks = ["look top left corner", "look top right corner"]
    begin = ["pick red block"] if shown == ("error",) else []
    assert table.play() == [*begin, *looks, *ONCE]


def test_it_does_not_look_for_ever():
    calls = Table(shown=("object",), hidden={"red block": "nowhere"}, look=True).play()
    assert calls.count("pick red block") <= MAX_PICKS
    assert calls[-3:] == ONCE[2:]


def test_it_does_not_look_where_looking_is_not_offered():
    calls = Table(shown=("object",), hidden={"red block": "nowhere"}).play()
    assert not any(call.startswith("look") for call in calls)


def test_every_turn_says_why_and_carries_the_plan():
    table = Table(shown=ALL, fails={0})
    table.play()
    assert all(turn.text for turn in table.turns)
    assert table.turns[0].plan == "1. the red block in the green bowl\n2. the blue block in the white bowl\n3. done"
    assert table.turns[-1].plan == "1. done"
    assert json.loads(to_json(table.turns[0].calls[0].arguments)) == {"object": "red block"}


# ------------------------------------------------------------------------------------- the real table


def _played(family, seed, shown, **options):
    pytest.importorskip("mujoco")
    from trajgen.testing.drive import play
    from trajgen_agents.planner.agent import PlannerAgent

    options = {"family": family, "look": False, "ask": False, **options}
    return play("trajgen/Tabletop-v0", PlannerAgent, options=options, seed=seed, shown=shown).success


@pytest.mark.parametrize("family", families.FAMILIES)
def test_it_carries_every_family_out_on_the_calm_table(family):
    assert _played(family, 0, ALL)


@pytest.mark.parametrize("family", families.FAMILIES[::4])
def test_it_needs_no_feedback_where_nothing_goes_wrong(family):
    assert _played(family, 1, ())


def test_on_a_table_where_things_go_wrong_the_scene_helps_it_most():
    dials = {"pick_noise_m": 0.008, "place_noise_m": 0.006, "disturbance": 1}
    tasks = list(itertools.product(("stack_all", "matching_bowls"), range(2, 5)))
    blind = sum(_played(family, seed, (), **dials) for family, seed in tasks)
    told = sum(_played(family, seed, ("object", "scene"), **dials) for family, seed in tasks)
    assert told >= blind + 3


def test_under_occlusion_it_finds_what_it_has_to_move():
    assert _played("matching_bowls", 0, ("object", "error"), occlusion=True, look=True)
