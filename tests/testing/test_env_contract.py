"""The contract passes what is right and fails what is wrong, each fault by the test that is named for it."""

import os
from typing import ClassVar

import gymnasium
import pytest

from trajgen.spaces import tool
from trajgen.testing.contract import EnvContract
from trajgen.testing.fakes import COUNTER_ID, CounterEnv
from trajgen.toolenv import Acted, ToolEnv
from trajgen.types import Line, ToolCall


@pytest.fixture(autouse=True)
def counter_registered():
    if COUNTER_ID not in gymnasium.registry:
        gymnasium.register(COUNTER_ID, entry_point="trajgen.testing.fakes:CounterEnv")


class TestCounter(EnvContract):
    env_id = COUNTER_ID


class TestForeignEnvironment(EnvContract):
    env_id = "FrozenLake-v1"
    make_options: ClassVar = {"is_slippery": False}
    seeds = range(3)
    has_oracle = False
    has_splits = False


class _Forgetful(CounterEnv):
    """State that a snapshot misses and a seed does not decide."""

    def begin(self, options):
        return super().begin(options) + f" Noise: {os.urandom(4).hex()}."


class _Loose(CounterEnv):
    def step(self, action):
        self._value += 1  # before it is known whether the call fits
        return super().step(action)


class _Brittle(CounterEnv):
    def step(self, action):
        _ = action.arguments["n"] + 1 if action.tool == "add" else 0
        return super().step(action)


class _Drawing(CounterEnv):
    def describe(self, channel):
        return f"{self.np_random.integers(10)}" if channel == "scene" else super().describe(channel)


def _saying(said, on="scene"):
    """A counter that says `said` on one channel."""

    class Saying(CounterEnv):
        def describe(self, channel):
            return said if channel == on else super().describe(channel)

    return Saying


class _Nagging(CounterEnv):
    """Repeats an answer after calls that asked nothing."""

    answered = False

    def begin(self, options):
        self.answered = False
        return super().begin(options)

    def act(self, call):
        self.answered = True
        return super().act(call)

    def describe(self, channel):
        return "Yes." if channel == "human" and self.answered else super().describe(channel)


class _Layouts(CounterEnv):
    """Where it starts is the task, and what has happened since is not; keyed by the start alone."""

    def task_key(self):
        return self._start


class _Mislaid(_Layouts):
    """Another key than the one its split was drawn by."""

    def reset(self, **how):
        self._drawn = True
        try:
            return super().reset(**how)
        finally:
            self._drawn = False

    def task_key(self):
        return [self._drawn, self._start]


class _Loud(CounterEnv):
    def act(self, call):
        print("acting")  # noqa: T201
        return super().act(call)


class _Lucky(ToolEnv):
    tools = (tool("win", "Win."),)

    def begin(self, options):
        self._won = False
        return f"Win {self.np_random.integers(1_000)}."

    def act(self, call):
        self._won = True
        return Acted("Won.", terminated=True)

    def solved(self):
        return self._won

    def state(self):
        return self._won

    def oracle(self):
        yield ToolCall("win")


class _Lost(CounterEnv):
    def oracle(self):
        yield ToolCall("submit")


class _Silent(CounterEnv):
    def step(self, action):
        observation, reward, terminated, truncated, info = super().step(action)
        del info["success"]
        return observation, reward, terminated, truncated, info


class _Leaky(CounterEnv):
    def restore(self, saved):
        kept = self._value
        super().restore(saved)
        self._value = kept


FAULTS = [
    (_Forgetful, "test_equal_seeds_give_equal_episodes", "differs again"),
    (_Loose, "test_bad_calls_change_nothing_and_say_why", "it changed the state"),
    (_Drawing, "test_describing_changes_nothing", "describe said"),
    (_saying(""), "test_describing_changes_nothing", "nothing to say is None or no lines, found the text ''"),
    (_saying([Line(" ")]), "test_describing_changes_nothing", "nothing to say is None or no lines, found the text ' '"),
    (_saying([Line("Half.", "")]), "test_describing_changes_nothing", "what 'Half.' came from, found ''"),
    (_saying("One.\nTwo."), "test_describing_changes_nothing", "one line of printable text, found 'One"),
    (_saying([Line("Half.", "in(a\x00)")]), "test_describing_changes_nothing", "one line of printable text, found 'in"),
    (_saying("Yes.", "human"), "test_active_channels_answer_only_the_step_that_asked", "nobody asked yet"),
    (_Nagging, "test_active_channels_answer_only_the_step_that_asked", "a refused call asked nothing"),
    (_Mislaid, "test_splits_are_respected", "asked for .*, found a task of"),
    (_Lucky, "test_chance_does_not", "random calls solved 100%"),
    (_Lost, "test_the_oracle_solves_it", "seeds it did not"),
    (_Silent, "test_the_oracle_solves_it", "info\\['success'\\]"),
    (_Leaky, "test_a_restored_snapshot_goes_on_as_before", "state_digest differs after restore"),
]


def contract_of(env):
    gymnasium.registry.pop("faulty/Env-v0", None)
    gymnasium.register("faulty/Env-v0", entry_point=env)
    contract = type("Contract", (EnvContract,), {"env_id": "faulty/Env-v0"})()
    made = []

    def new():
        from trajgen.wrappers.making import make

        made.append(make("faulty/Env-v0"))
        return made[-1]

    return contract, new


@pytest.mark.parametrize(("env", "test", "said"), FAULTS)
def test_a_fault_is_found_by_the_test_that_is_named_for_it(env, test, said):
    contract, new = contract_of(env)
    with pytest.raises(pytest.fail.Exception, match=said):
        getattr(contract, test)(new)


def test_an_exception_on_a_bad_call_is_found():
    contract, new = contract_of(_Brittle)
    with pytest.raises((TypeError, KeyError)):
        contract.test_bad_calls_change_nothing_and_say_why(new)


@pytest.mark.parametrize("wrong", [7, [7], [Line("Half.", "engine")]])
def test_what_is_no_line_is_found(wrong):
    contract, new = contract_of(_saying(wrong))
    with pytest.raises((TypeError, ValueError), match=r"describe\('scene'\)"):
        contract.test_describing_changes_nothing(new)


@pytest.mark.parametrize("said", [None, [], (), "Half.", [Line("Half.", "goal()"), Line("Rest.")]])
def test_every_way_to_say_something_passes(said):
    contract, new = contract_of(_saying(said))
    contract.test_describing_changes_nothing(new)
    contract.test_active_channels_answer_only_the_step_that_asked(new)


def test_splits_go_by_the_task_key_where_there_is_one():
    contract, new = contract_of(_Layouts)
    contract.test_splits_are_respected(new)


def test_printing_is_found(capfd):
    contract, new = contract_of(_Loud)
    with pytest.raises(pytest.fail.Exception, match="printed to stdout"):
        contract.test_nothing_is_printed(new, capfd)
