"""`trajgen/Toolbox-v0` keeps the contract of an environment."""

from __future__ import annotations

import os
import subprocess
import sys

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st

from trajgen import abilities, protocols
from trajgen.errors import ConfigError
from trajgen.spaces import ToolSpace
from trajgen.types import ToolCall
from trajgen_envs.toolbox import scores
from trajgen_envs.toolbox.env import MAX_FAILURES_IN_A_ROW, ToolboxEnv

EVERYTHING = {"ambiguous": True, "failures": 0.3, "distractors": 12}
ID = "trajgen_envs:trajgen/Toolbox-v0"


@pytest.fixture
def env():
    made = ToolboxEnv()
    yield made
    made.close()


def _begun(env, seed=0, **options):
    observation, info = env.reset(seed=seed, options=options)
    return observation, info


def test_gymnasium_checks_it_without_a_warning():
    check_env(gymnasium.make(ID).unwrapped)


def test_it_has_the_abilities_of_a_bundled_environment():
    env = gymnasium.make(ID)
    for ability in (protocols.Oracle, protocols.Snapshot, protocols.FeedbackSource, protocols.Digest):
        assert abilities.find(env, ability) is not None


@pytest.mark.parametrize("depth", range(1, 9))
@pytest.mark.parametrize("options", [{}, EVERYTHING])
def test_the_oracle_solves_it_in_the_least_number_of_calls_and_random_does_not(env, depth, options):
    for seed in range(10):
        task = {**options, "depth": depth, "split": "train"}
        played = scores.play_oracle(env, seed, task)
        assert played.success
        assert played.steps == played.least
        assert not scores.play_random(env, seed, task).success


@pytest.mark.slow
@pytest.mark.parametrize("depth", range(1, 9))
@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("options", scores.VARIANTS.values())
def test_the_oracle_solves_every_published_seed(env, depth, split, options):
    for seed in range(100):
        played = scores.play_oracle(env, seed, {**options, "depth": depth, "split": split})
        assert (played.success, played.steps) == (True, played.least)


def test_without_failures_the_least_number_of_calls_is_the_depth_and_the_answer(env):
    for depth in range(1, 9):
        assert _begun(env, depth=depth)[1] == {"success": False, "oracle_steps": depth + 1}


def test_the_first_observation_states_the_goal_and_every_step_says_success(env):
    observation, info = _begun(env, depth=2)
    assert "answer" in observation.text
    assert info["success"] is False
    for call in env.oracle():
        observation, reward, terminated, truncated, info = env.step(call)
        assert env.observation_space.contains(observation)
        assert isinstance(info["success"], bool)
        assert not truncated
        assert (reward, info["success"]) == ((1.0, True) if terminated else (0.0, False))


def test_a_wrong_answer_ends_the_episode_without_reward(env):
    _begun(env)
    observation, reward, terminated, _, info = env.step(ToolCall("answer", {"value": "nonsense"}))
    assert (reward, terminated, info["success"]) == (0.0, True, False)
    assert "wrong" in observation.text
    assert list(env.oracle()) == []


def test_a_call_after_the_end_changes_nothing(env):
    _begun(env)
    env.step(ToolCall("answer", {"value": "nonsense"}))
    before = env.state_digest()
    *_, info = env.step(ToolCall("calculate", {"expression": "1 + 1"}))
    assert env.state_digest() == before
    assert "over" in env.describe("error")
    assert info["success"] is False


def _trace(env, seed, **options):
    observation, info = env.reset(seed=seed, options=options)
    trace = [observation.text, str(info), env.state_digest().hex(), ",".join(t.name for t in env.tools)]
    for call in env.oracle():
        observation, reward, _, _, info = env.step(call)
        lines = [str(env.describe(c)) for c in ("success", "object", "scene", "progress", "error")]
        trace += [str(call), observation.text, str(reward), str(info), *lines, env.state_digest().hex()]
    return trace


@pytest.mark.parametrize("options", [{}, EVERYTHING])
def test_the_same_seed_is_the_same_episode_in_another_environment(env, options):
    for seed in range(5):
        assert _trace(env, seed, depth=5, **options) == _trace(ToolboxEnv(), seed, depth=5, **options)


def test_the_same_seed_is_the_same_episode_in_another_process_with_other_hashes(env):
    program = (
        "import sys; sys.path[:0] = [sys.argv[1]]; import test_env, hashlib; from trajgen_envs.toolbox.env import ToolboxEnv;"
        "print(hashlib.sha256(repr([test_env._trace(ToolboxEnv(), s, depth=6, **test_env.EVERYTHING) for s in range(5)])"
        ".encode()).hexdigest())"
    )
    here = os.path.dirname(__file__)  # noqa: PTH120
    said = [
        subprocess.run(
            [sys.executable, "-c", program, here],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert said[0] == said[1] != ""


@pytest.mark.parametrize("options", [{}, EVERYTHING])
def test_snapshot_step_restore_step_are_equal(env, options):
    _begun(env, seed=3, depth=4, **options)
    saved = env.snapshot()
    once = [(c, env.step(c), env.state_digest()) for c in env.oracle()]
    for _ in range(2):
        env.restore(saved)
        assert [(c, env.step(c), env.state_digest()) for c in env.oracle()] == once


def test_a_snapshot_outlives_a_reset_to_other_tools_and_another_database(env):
    _begun(env, seed=3, depth=4, families=["sql", "search"], ambiguous=True)
    before, saved = env.state_digest(), env.snapshot()
    _begun(env, seed=4, depth=1, families=["dates"], distractors=5)
    env.restore(saved)
    assert env.state_digest() == before
    assert env.action_space.contains(ToolCall("list_tables", {}))
    for call in env.oracle():
        *_, info = env.step(call)
    assert info["success"] is True


BAD_CALLS = [
    ToolCall(None, {}),
    ToolCall("searchh", {"query": "x"}),
    ToolCall("search", {}),
    ToolCall("search", {"query": 3}),
    ToolCall("search", {"query": "x", "n": 5}),
    ToolCall("calculate", {"expression": "1 +"}),
    ToolCall("convert", {"value": "ten", "from_unit": "m", "to_unit": "km"}),
    ToolCall("add_days", {"date": "2023-02-29", "days": 1}),
    ToolCall("add_days", {"date": "9999-12-31", "days": 10**9}),
    ToolCall("sql", {"query": "DROP TABLE customers"}),
    ToolCall("sql", {"query": "SELECT 1\x00"}),
]


@pytest.mark.parametrize("failures", [0.0, 1.0])
@pytest.mark.parametrize("call", BAD_CALLS, ids=str)
def test_a_bad_call_changes_nothing_and_says_why(env, call, failures):
    _begun(env, failures=failures)
    before = env.state_digest()
    _, reward, terminated, truncated, info = env.step(call)
    assert (reward, terminated, truncated, info["success"]) == (0.0, False, False, False)
    assert env.state_digest() == before
    assert env.describe("error")
    assert env.describe("success") == "The last call failed."


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_SCHEMAS = {t.name: list(t.parameters["properties"]) for t in ToolboxEnv.tools}
NASTY = st.sampled_from(["'", '"', "\x00", "\ud800", "1/0", "9" * 300, "-1", "0000-00-00", "NaN", "../..", "{x}", "%s"])


@st.composite
def hostile_calls(draw):
    name = draw(st.sampled_from([*_SCHEMAS, "no_such_tool", ""]))
    keys = _SCHEMAS.get(name, []) + draw(st.lists(st.text(max_size=5), max_size=1))
    return ToolCall(name, {key: draw(JSON | NASTY | st.text()) for key in keys})


@given(st.lists(hostile_calls(), min_size=12, max_size=12))
def test_no_call_however_hostile_is_an_exception(calls):
    env = ToolboxEnv()
    _begun(env, distractors=3)
    for call in calls:
        if call.tool == "answer":
            continue
        before = env.state_digest()
        observation, *_ = env.step(call)
        observation.text.encode()
        if env.describe("error"):
            env.describe("error").encode()
            assert env.state_digest() == before
    env.close()


def test_a_thousand_valid_calls_drawn_at_random_are_no_exception(env):
    for seed in range(20):
        _begun(env, seed=seed, distractors=12)
        space = ToolSpace([t for t in env.tools if t.name != "answer"], seed=seed)
        for _ in range(50):
            env.step(space.sample())
            env.state_digest()


# ------------------------------------------------------------------------------------- options


def test_failing_calls_say_to_try_again_and_never_fail_three_times_in_a_row(env):
    _begun(env, failures=1.0)
    call = ToolCall("calculate", {"expression": "1 + 1"})
    worked = []
    for _ in range(9):
        env.step(call)
        worked.append(env.describe("error") is None)
        if not worked[-1]:
            assert "make the same call again" in env.describe("error")
    assert worked == [False, False, True] * 3
    assert MAX_FAILURES_IN_A_ROW == 2


def test_the_oracle_works_after_any_detour(env):
    _begun(env, seed=5, depth=6, failures=0.3)
    space = ToolSpace([t for t in env.tools if t.name != "answer"], seed=0)
    for _ in range(200):
        env.step(space.sample())
        call = next(env.oracle())
        if call.tool == "answer":
            break
        env.step(call)
    *_, info = env.step(next(env.oracle()))
    assert info["success"] is True


def test_distractors_are_offered_among_the_tools_and_work(env):
    _begun(env, distractors=12)
    assert len(env.tools) == len(ToolboxEnv.tools) + 12
    _, reward, *_ = env.step(ToolCall("roman_numeral", {"number": 1994}))
    assert env.describe("error") is None
    assert reward == 0
    _begun(env)
    assert env.tools == ToolboxEnv.tools


def test_families_leave_out_the_other_tools(env):
    for seed in range(20):
        _begun(env, seed=seed, depth=1, families=["dates", "units"])
        assert {n.call.tool for n in env._task.nodes} <= {t.name for t in env.tools}
        assert "sql" not in [t.name for t in env.tools]
        assert "search" not in [t.name for t in env.tools]


def test_a_range_of_depths_is_drawn_from(env):
    depths = {_begun(env, seed=seed, depth=[2, 4])[1]["oracle_steps"] - 1 for seed in range(40)}
    assert depths == {2, 3, 4}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"depth": 0}, "options.depth"),
        ({"depth": 9}, "options.depth"),
        ({"depth": [4, 2]}, "options.depth: expected a number or [low, high], found [4, 2]"),
        ({"depth": [1, 2, 3]}, "options.depth"),
        ({"dept": 2}, "did you mean 'depth'"),
        ({"families": ["searchh"]}, "options.families[0]"),
        ({"families": []}, "options.families"),
        ({"families": ["units"], "depth": 5}, "add families"),
        ({"families": ["units"], "ambiguous": True}, "options.ambiguous"),
        ({"failures": 1.5}, "options.failures"),
        ({"distractors": 13}, "options.distractors"),
        ({"split": "trainn"}, "did you mean 'train'"),
    ],
)
def test_a_bad_option_says_what_was_expected(env, options, says):
    with pytest.raises(ConfigError) as why:
        env.reset(seed=0, options=options)
    assert says in str(why.value)


def test_splits_share_no_question(env):
    asked = {}
    for split in ("train", "validation", "test"):
        for depth in (1, 2):
            for seed in range(60):
                _begun(env, seed=seed, split=split, depth=depth, ambiguous=bool(seed % 2), failures=0.1 * (seed % 3))
                question = str(env._task.content)
                assert asked.setdefault(question, split) == split


# ------------------------------------------------------------------------------------- feedback


def test_the_scene_counts_the_parts_that_are_known(env):
    _begun(env, seed=1, depth=4)
    assert env.describe("scene") == "0 of 4 parts of the question are known."
    oracle = env.oracle()
    for k in range(1, 5):
        env.step(next(oracle))
        assert env.describe("scene").startswith(f"{k} of 4 parts of the question are known: {env._task.titles[0]}")


def test_describing_changes_nothing(env):
    _begun(env)
    before = env.state_digest()
    for channel in ("success", "object", "scene", "progress", "error"):
        env.describe(channel)
    assert env.state_digest() == before


def test_the_channels_do_not_name_a_value_before_a_call_showed_it(env):
    for seed in range(30):
        observation, _ = _begun(env, seed=seed, depth=4)
        for node in env._task.nodes:
            if len(node.value.text) > 4:
                assert node.value.text not in observation.text
                assert node.value.text not in env.describe("scene")
