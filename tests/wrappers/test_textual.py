"""A foreign environment behind our contract, shown on hand-made ones that check what they are given."""

import json
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from trajgen import abilities
from trajgen.errors import ConfigError
from trajgen.protocols import Digest, FeedbackSource, ForeignAdapter, Snapshot
from trajgen.spaces import ObservationSpace, ToolSpace
from trajgen.splits import SPLITS, split_of
from trajgen.types import ToolCall, stored, to_json
from trajgen.wrappers.textual import Textual, is_foreign, textual


class Workshop(gymnasium.Env):
    """Every supported kind of space, nested; it refuses actions outside its space.

    More words that are no part of the first sentence.
    """

    def __init__(self, threshold=None, max_steps=None, length=9):
        self.action_space = spaces.Dict(
            arm=spaces.Tuple((spaces.Box(-1, 1, (2,), np.float32), spaces.Discrete(3, start=1))),
            mode=spaces.MultiDiscrete([2, 4]),
            lamps=spaces.MultiBinary(3),
            say=spaces.Text(4),
        )
        self.observation_space = spaces.Dict(
            arm=spaces.Box(-np.inf, np.inf, (2,), np.float64),
            heard=spaces.Text(4, min_length=0),
            pair=spaces.Tuple((spaces.Discrete(10), spaces.MultiBinary(3))),
        )
        self.spec = EnvSpec("Workshop-v0", reward_threshold=threshold, max_episode_steps=max_steps)
        self.length = length
        self.given_options = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.given_options.append(options)
        self.arm, self.heard, self.time, self.lamps = self.np_random.normal(size=2), "", 0, np.zeros(3, np.int8)
        return self._see(), {"took_s": 0.1}

    def step(self, action):
        assert action in self.action_space
        assert self.time < self.length, "stepped after the end"
        self.arm += action["arm"][0]
        self.heard, self.lamps, self.time = action["say"], action["lamps"], self.time + 1
        reward = 1.0 if action["arm"][1] == 3 else -1.0
        return self._see(), reward, self.time == self.length, False, {"took_s": 0.1}

    def _see(self):
        return {"arm": self.arm, "heard": self.heard, "pair": (self.time, self.lamps)}


def call(third=3, **changed):
    arguments = {"arm_0_0": 0.1, "arm_0_1": -0.25, "arm_1": third, "mode_0": 1, "mode_1": 3, "lamps_0": 1}
    return ToolCall("act", arguments | {"lamps_1": 0, "lamps_2": 1, "say": "hey"} | changed)


BAD_CALLS = [
    ToolCall(None),
    ToolCall("akt", call().arguments),
    ToolCall("act"),
    call(arm_0_0=1.5),
    call(arm_0_0="left"),
    call(arm_0_0=float("nan")),
    call(arm_1=0),
    call(lamps_0=True),
    call(say="too long"),
    call(say="?!"),
    call(extra=1),
]


def test_its_spaces_become_ours():
    env = textual(Workshop(), adapters=())
    assert is_foreign(env.foreign)
    assert not is_foreign(env)
    assert isinstance(env.action_space, ToolSpace)
    assert isinstance(env.observation_space, ObservationSpace)
    assert env.unwrapped is env


def test_check_env_passes_without_a_warning():
    env = textual(Workshop(), adapters=())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env, skip_render_check=True, skip_close_check=True)


def test_the_first_text_states_goal_ends_and_meaning_and_later_ones_do_not():
    env = textual(Workshop(threshold=2.5, max_steps=7), adapters=())
    first, _ = env.reset(seed=0)
    assert first.text.startswith(
        "You act in Workshop-v0. Every supported kind of space, nested; it refuses actions outside its space.\n"
    )
    assert "More words" not in first.text
    assert "a success when its rewards add up to 2.5 or more" in first.text
    assert "usually ended after 7 steps" in first.text
    assert "- pair.0: a whole number from 0 to 9" in first.text
    later = env.step(call())[0]
    assert "pair.0: 1" in later.text
    assert "Workshop" not in later.text
    assert "from 0 to 9" not in later.text


def test_arguments_survive_a_store_and_give_the_same_action_to_the_bit():
    env = textual(Workshop(), adapters=())
    env.reset(seed=1)
    again = textual(Workshop(), adapters=())
    again.reset(seed=1)
    for _ in range(9):
        drawn = env.action_space.sample()
        kept = ToolCall(drawn.tool, json.loads(to_json(drawn.arguments)))
        one, other = env.step(drawn), again.step(kept)
        assert stored(one[0]) == stored(other[0])
        assert one[1:] == other[1:]
        assert env.state_digest() == again.state_digest()


@pytest.mark.parametrize("bad", BAD_CALLS, ids=str)
def test_a_bad_call_changes_nothing_and_is_told_why(bad):
    env = textual(Workshop(), adapters=())
    env.reset(seed=0)
    env.step(call())
    before = env.state_digest()
    observation, reward, terminated, truncated, info = env.step(bad)
    assert observation.text == "The call was not executed."
    assert (reward, terminated, truncated, info) == (0.0, False, False, {"success": None})
    assert env.state_digest() == before
    assert env.describe("error")
    assert env.describe("success") == "The last call failed."
    env.step(call())
    assert env.describe("error") is None
    assert env.describe("success") == "The last call was executed."
    assert env.state_digest() != before


@given(st.dictionaries(st.sampled_from(list(call().arguments)), st.none() | st.integers() | st.text() | st.floats()))
@settings(max_examples=200)
def test_no_arguments_raise(arguments):
    env = textual(Workshop(), adapters=())
    env.reset(seed=0)
    for _ in range(2):
        observation, *_ = env.step(ToolCall("act", arguments))
        assert observation.text == "The call was not executed."


def test_a_call_after_the_end_changes_nothing_and_never_reaches_the_environment():
    env = textual(Workshop(length=1), adapters=())
    env.reset(seed=0)
    assert env.step(call())[2] is True
    before = env.state_digest()
    assert env.step(call())[2] is True
    assert env.describe("error") == "the episode is over"
    assert env.state_digest() == before


def test_a_call_before_the_reset_is_gymnasiums_own_error():
    with pytest.raises(gymnasium.error.ResetNeeded):
        textual(Workshop(), adapters=()).step(call())


@pytest.mark.parametrize(
    ("threshold", "rewards", "expected"),
    [
        (2.0, [1, 1, -1], [False, True, False]),
        (None, [1, 1], [None, None]),
        (-2.0, [-1, 1, -1, 1], [False, False, False, True]),  # met all along, but counts at the usual end
        (0.0, [-1, -1, 1, -1], [False, False, False, False]),
    ],
)
def test_success_is_the_return_against_the_threshold(threshold, rewards, expected):
    env = textual(Workshop(threshold, max_steps=4), adapters=())
    assert env.reset(seed=0)[1]["success"] is (None if threshold is None else False)
    found = [env.step(call(3 if reward == 1 else 1))[4]["success"] for reward in rewards]
    assert found == expected


def test_a_threshold_below_zero_counts_when_the_world_ends_the_episode():
    env = textual(Workshop(-5.0, max_steps=99, length=2), adapters=())
    env.reset(seed=0)
    assert [env.step(call(1))[4]["success"] for _ in range(2)] == [False, True]


def test_the_scene_is_the_return_so_far():
    env = textual(Workshop(threshold=475), adapters=())
    env.reset(seed=0)
    env.step(call())
    assert env.describe("scene") == "Return so far 1; a success takes 475."
    assert env.describe("object") is None


def test_nothing_of_the_foreign_info_is_passed_on():
    env = textual(Workshop(), adapters=())
    assert env.reset(seed=0)[1] == {"success": None}
    assert env.step(call())[4] == {"success": None}


def test_options_beside_the_split_go_to_the_foreign_reset():
    env = textual(Workshop(), adapters=())
    env.reset(seed=0, options={"split": "train", "low": 1})
    env.reset(seed=0, options={"split": None})
    assert env.foreign.given_options[0] == {"low": 1}
    assert env.foreign.given_options[-1] is None


@pytest.mark.parametrize("split", SPLITS)
def test_every_seed_is_a_task_of_every_split_and_the_same_one_each_time(split):
    env = textual(Workshop(), adapters=())
    firsts = [env.reset(seed=seed, options={"split": split})[0] for seed in range(5)]
    again = [textual(Workshop(), adapters=()).reset(seed=seed, options={"split": split})[0] for seed in range(5)]
    assert firsts == again
    assert len({first.arrays["arm"].tobytes() for first in firsts}) == 5
    for first in firsts:
        record = {"arrays": {n: [a.dtype.str, list(a.shape), a.tobytes().hex()] for n, a in first.arrays.items()}}
        assert split_of(record | {"strings": {"heard": ""}}) == split


def test_an_unknown_split_is_refused():
    with pytest.raises(
        ConfigError, match="expected one of train, validation, test, found 'tests'; did you mean 'test'"
    ):
        textual(Workshop(), adapters=()).reset(seed=0, options={"split": "tests"})


def test_a_split_that_no_start_falls_in_is_refused():
    class OneStart(Workshop):
        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.arm = np.zeros(2)
            return self._see(), {}

    env = textual(OneStart(), adapters=())
    env.reset(seed=0, options={"split": "train"})
    with pytest.raises(ConfigError, match="too few distinct starts"):
        env.reset(seed=0, options={"split": "test"})


# ------------------------------------------------------------------------------------- what adapters add


class KnowsNothing(ForeignAdapter):
    """What it leaves out answers None."""


class WorkshopAdapter(ForeignAdapter):
    """Knows the workshop, and checks that it is asked about nothing else."""

    def goal(self, env):
        assert isinstance(env, Workshop)
        return f"Light lamps for {env.length} steps."

    def observation_text(self, env, observation):
        assert observation in env.observation_space
        return f"{int(observation['pair'][1].sum())} lamps burn."

    def solved(self, env, total_reward, *, terminated):
        return terminated and total_reward > 0

    def state(self, env):
        return repr((env.arm.tolist(), env.lamps.tolist(), env.time)).encode()

    def snapshot(self, env):
        return {k: np.copy(v) if isinstance(v, np.ndarray) else v for k, v in vars(env).items() if k != "_np_random"}

    def restore(self, env, saved):
        vars(env).update({k: np.copy(v) if isinstance(v, np.ndarray) else v for k, v in saved.items()})


def test_an_adapters_words_replace_the_numbers_and_their_meaning():
    env = textual(Workshop(), adapters=[KnowsNothing(), WorkshopAdapter()])
    first, info = env.reset(seed=0)
    assert first.text == "Light lamps for 9 steps.\n0 lamps burn."
    assert info == {"success": False}
    assert env.step(call())[0].text == "2 lamps burn."
    assert env.describe("scene") == "The goal is not reached."


def test_an_adapters_verdict_counts_only_without_a_threshold():
    for threshold, expected in ((None, True), (50.0, False)):
        env = textual(Workshop(threshold, length=1), adapters=[WorkshopAdapter()])
        env.reset(seed=0)
        assert env.step(call())[4] == {"success": expected}


def test_a_snapshot_holds_the_counters_and_can_be_restored_many_times():
    env = textual(Workshop(threshold=2), adapters=[WorkshopAdapter()])
    env.reset(seed=0)
    env.step(call())
    keeper = abilities.find(env, Snapshot)
    assert keeper is env
    saved, before = keeper.snapshot(), env.state_digest()
    ends = []
    for _ in range(2):
        ends.append((env.step(call()), env.state_digest()))
        keeper.restore(saved)
        assert env.state_digest() == before
        assert env.describe("scene") == "Return so far 1; a success takes 2."
    assert ends[0] == ends[1]


@pytest.mark.parametrize(
    "env",
    [
        textual(Workshop(), adapters=()),
        textual(gymnasium.wrappers.TimeLimit(Workshop(), 3), adapters=[WorkshopAdapter()]),
    ],
    ids=["nobody knows it", "a wrapper holds state that nobody copies"],
)
def test_there_is_no_snapshot_where_none_is_exact(env):
    assert abilities.find(env, Snapshot) is None
    assert abilities.find(env, Digest) is env
    assert abilities.find(env, FeedbackSource) is env


def test_the_state_of_foreign_wrappers_is_in_the_digest():
    wrapper = gymnasium.wrappers.TimeLimit(Workshop(), 3)
    env = textual(wrapper, adapters=())
    env.reset(seed=0)
    before = env.state_digest()
    wrapper._elapsed_steps = 2
    assert env.state_digest() != before


def test_a_foreign_time_limit_truncates():
    env = textual(gymnasium.wrappers.TimeLimit(Workshop(threshold=-9), 2), adapters=())
    env.reset(seed=0)
    assert env.step(call(1))[3] is False
    _, _, terminated, truncated, info = env.step(call(1))
    assert (terminated, truncated, info) == (False, True, {"success": True})


def test_the_actions_enum_of_an_environment_names_its_actions():
    import enum

    class Moves(enum.IntEnum):
        left = 0
        right = 1

    class Walk(gymnasium.Env):
        action_space, observation_space, actions = spaces.Discrete(2), spaces.Discrete(2), Moves

    class Odd(Walk):
        action_space = spaces.Discrete(3)

    (act,) = Textual(Walk(), adapters=()).action_space.tools
    assert act.parameters["properties"]["action"]["enum"] == ["left", "right"]
    (act,) = Textual(Odd(), adapters=()).action_space.tools
    assert act.parameters["properties"]["action"]["type"] == "integer"
