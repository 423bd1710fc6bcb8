"""Calls, observations, splits and the base environment: what fits, what does not, and why."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trajgen import splits
from trajgen.abilities import find
from trajgen.errors import ConfigError
from trajgen.protocols import Affordance, Digest, FeedbackSource, Oracle, Snapshot
from trajgen.spaces import ObservationSpace, ToolSpace, restored, tool
from trajgen.testing.fakes import CounterEnv
from trajgen.types import Observation, ToolCall, stored

SPACE = ToolSpace(
    [
        tool("get", "Get.", name={"type": "string", "maxLength": 5}),
        tool("put", "Put.", n={"type": "integer", "minimum": 2, "exclusiveMaximum": 9}, where={"enum": ["here", "there"]}),
        tool("mix", "Mix.", parts={"type": "array", "items": {"type": "number"}, "minItems": 1}, hot={"type": "boolean"}),
        tool("any", "Any.", x={"anyOf": [{"type": "null"}, {"const": 7}, {"type": ["integer", "boolean"]}]}),
        tool("deep", "Deep.", o={"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}, "required": ["a"]}),
    ],
    seed=3,
)  # fmt: skip


def test_what_is_drawn_fits_and_every_tool_is_drawn():
    drawn = [SPACE.sample() for _ in range(500)]
    assert all(SPACE.contains(call) for call in drawn)
    assert {call.tool for call in drawn} == set(SPACE.names())


def test_equal_seeds_draw_equal_calls():
    one, two = (ToolSpace(SPACE.tools, seed=5) for _ in range(2))
    assert [one.sample() for _ in range(20)] == [two.sample() for _ in range(20)]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (ToolCall("gett", {"name": "a"}), "no tool 'gett'; did you mean 'get'?"),
        (ToolCall("zzz", {}), "the tools are: get, put, mix, any, deep"),
        (ToolCall(None, {}), "calls no tool"),
        (ToolCall("get", {"nam": "a"}), "get: no argument 'nam'; did you mean 'name'?"),
        (ToolCall("get", {}), '"name" is a required property'),
        (ToolCall("get", {"name": 3}), "argument 'name': 3 is not of type \"string\""),
        (ToolCall("put", {"n": 1, "where": "here"}), "argument 'n': 1 is less than the minimum of 2"),
        (ToolCall("put", {"n": 3, "where": "home"}), "argument 'where'"),
    ],
    ids=str,
)
def test_a_call_that_does_not_fit_is_told_why(call: ToolCall, said: str):
    problem = SPACE.problem(call)
    assert problem is not None
    assert said in problem
    assert call not in SPACE


@settings(max_examples=500, deadline=None)
@given(
    st.text(max_size=6) | st.none(),
    st.dictionaries(st.text(max_size=4), st.text() | st.integers() | st.none(), max_size=3),
)
def test_any_call_fits_or_is_told_why(name: str | None, arguments: dict[str, Any]):
    call = ToolCall(name, arguments)
    assert (SPACE.problem(call) is None) == (call in SPACE)


def test_calls_survive_the_way_through_json():
    calls = [SPACE.sample() for _ in range(50)]
    assert SPACE.from_jsonable(json.loads(json.dumps(SPACE.to_jsonable(calls)))) == calls


def test_two_tools_of_one_name_are_refused():
    with pytest.raises(ValueError, match="share a name"):
        ToolSpace([tool("a", "."), tool("a", ".")])


arrays = st.sampled_from(
    [np.arange(3), np.array([np.nan, -0.0]), np.zeros((2, 0), ">f4"), np.array(True), np.array(["a"])]
)


@given(st.text(st.characters(codec="utf-8")), st.dictionaries(st.text(max_size=3), arrays, max_size=3))
def test_observations_are_equal_by_bytes_and_survive_storage(text: str, named: dict[str, Any]):
    seen = Observation(text, arrays=named)
    assert seen == Observation(text, arrays=dict(named))
    assert restored(stored(seen)) == seen
    assert seen in ObservationSpace()
    assert seen != Observation(text + "x", arrays=named)


def test_an_observation_whose_parts_cannot_be_stored_is_outside_the_space():
    assert Observation("a", images=("no bytes",)) not in ObservationSpace()  # type: ignore[arg-type]
    assert "text" not in ObservationSpace()


def test_splits_are_disjoint_and_have_their_shares():
    found = {key: splits.split_of(key) for key in range(10_000)}
    shares = {s: sum(v == s for v in found.values()) / 10_000 for s in splits.SPLITS}
    assert shares["test"] == pytest.approx(0.1, abs=0.02)
    assert shares["validation"] == pytest.approx(0.1, abs=0.02)


def test_every_seed_is_valid_in_every_split_and_no_task_is_in_two():
    tasks: dict[str, set[str]] = {}
    for split in splits.SPLITS:
        env = CounterEnv()
        for seed in range(40):
            env.reset(seed=seed, options={"split": split})
            tasks.setdefault(split, set()).add(json.dumps(env.state()))
    assert not tasks["train"] & tasks["test"]
    assert not tasks["train"] & tasks["validation"]


def test_a_split_that_holds_no_start_state_is_said_so():
    with pytest.raises(ConfigError, match="too few distinct starts"):
        splits.draw("test" if splits.split_of(1) != "test" else "train", lambda: None, lambda: 1)


def test_the_base_environment_refuses_options_it_does_not_have():
    with pytest.raises(ConfigError, match=r"options\.targt: unknown key; did you mean 'target'\?"):
        CounterEnv().reset(seed=0, options={"targt": 3})


def test_abilities_are_found_through_wrappers():
    import gymnasium

    env = gymnasium.Wrapper(gymnasium.Wrapper(CounterEnv()))  # type: ignore[var-annotated]
    for ability in (Oracle, Snapshot, FeedbackSource, Affordance, Digest):
        assert isinstance(find(env, ability), CounterEnv)
    assert find(gymnasium.make("CartPole-v1"), Oracle) is None


def test_a_snapshot_is_restored_many_times_and_is_no_window():
    env = CounterEnv()
    env.reset(seed=1)
    saved = env.snapshot()
    before = env.state_digest()
    for _ in range(2):
        env.step(ToolCall("add", {"n": 2}))
        assert env.state_digest() != before
        env.restore(saved)
        assert env.state_digest() == before


def test_a_restored_environment_offers_the_tools_of_its_task_again():
    class TwoKinds(CounterEnv):
        def begin(self, options: Any) -> str:
            goal = super().begin(options)
            self.tools = CounterEnv.tools[: 2 + self._start % 2]
            return goal

    env = TwoKinds()
    n_tools: dict[int, Any] = {}
    for seed in range(20):
        env.reset(seed=seed)
        n_tools[len(env.action_space.tools)] = env.snapshot()  # type: ignore[attr-defined]
    assert set(n_tools) == {2, 3}
    for n, saved in n_tools.items():
        env.restore(saved)
        assert len(env.action_space.tools) == n  # type: ignore[attr-defined]
