"""What a subclass of `ToolEnv` may say of itself beside its four methods: its task's key, and how it refuses."""

from __future__ import annotations

from typing import ClassVar

import pytest

from trajgen.splits import SPLITS, split_of
from trajgen.testing.fakes import CounterEnv
from trajgen.types import ToolCall


class KeyedByLayout(CounterEnv):
    """Counters that start alike are one task, however far they have to go."""

    def task_key(self):
        return self._start


class Quiet(CounterEnv):
    refusal: ClassVar = "Done."


def test_by_default_the_whole_state_is_the_tasks_key():
    env = CounterEnv()
    env.reset(seed=3)
    assert env.task_key() == env.state()


@pytest.mark.parametrize("split", SPLITS)
def test_splits_are_drawn_by_the_task_key(split):
    env = KeyedByLayout()
    starts = set()
    for seed in range(30):
        env.reset(seed=seed, options={"split": split})
        starts.add(env._start)
    assert {split_of(start) for start in starts} == {split}
    assert len(starts) > 1


@pytest.mark.parametrize("call", [ToolCall("add", {"n": 99}), ToolCall(None), ToolCall("subtract", {"n": 3})])
def test_a_refused_call_is_answered_as_the_class_says(call):
    for kind, text in ((CounterEnv, "The call was not executed."), (Quiet, "Done.")):
        env = kind()
        env.reset(seed=0)
        env._value = 0
        observation, *_ = env.step(call)
        assert observation.text == text
        assert env.describe("error")
