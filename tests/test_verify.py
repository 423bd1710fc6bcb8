"""Replay: an honest row replays to the bit, and any change of it is found at its step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from test_rollout import COUNTER_ID, by_llm, played
from trajgen.chat import Reply
from trajgen.verify import verify

if TYPE_CHECKING:
    from trajgen.types import Episode


@pytest.mark.parametrize(
    "job",
    [
        {"env": COUNTER_ID, "agent": "oracle"},
        {"env": COUNTER_ID, "agent": "random"},
        {"env": "counting/Guess-v0", "agent": "planner"},
        {"env": "counting/Guess-v0", "agent": "planner", "wrappers": ["shouting"]},
        {"env": "CartPole-v1", "agent": "random"},
        {"env": "FrozenLake-v1", "agent": "random"},
        {"env": "InvertedPendulum-v5", "agent": "random"},
        {"env": "Reacher-v5", "agent": "random"},
        {"env": "MiniGrid-Empty-5x5-v0", "agent": "random"},
    ],
    ids=str,
)
def test_what_was_played_replays_to_the_bit(job: dict[str, Any]):
    for seed in range(3):
        verdict = verify(played(job, seed=seed))
        assert verdict.status == "replays", verdict


def test_refused_calls_and_replies_without_a_call_replay_too():
    episode = by_llm(["add(n=99)", Reply("hm"), "nonsense()", "add(n=1)", "submit()"], env=COUNTER_ID)
    verdict = verify(episode)
    assert (verdict.status, verdict.n_steps) == ("replays", 5)


def with_step(episode: Episode, number: int, **changes: Any) -> Episode:
    steps = list(episode.steps)
    steps[number] = msgspec.structs.replace(steps[number], **changes)
    return msgspec.structs.replace(episode, steps=tuple(steps))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"reward": 0.5}, "reward"),
        ({"reward": float("nan")}, "reward"),
        ({"terminated": True}, "terminated"),
        ({"success": True}, "success"),
        ({"state_digest": b"x" * 16}, "state_digest"),
        ({"feedback": ()}, "feedback"),
        ({"arguments": '{"n":1}'}, "feedback"),
    ],
    ids=str,
)
def test_a_changed_step_is_found_with_its_number_and_field(changes: dict[str, Any], field: str):
    episode = played({"env": COUNTER_ID, "agent": "oracle", "options": {"target": 12}})
    divergence = verify(with_step(episode, 1, **changes)).divergence
    assert divergence is not None
    assert (divergence.step, divergence.field) == (1, field)


def test_a_changed_observation_is_found():
    episode = played({"env": "CartPole-v1", "agent": "random"})
    seen = episode.steps[2].observation
    array = seen.arrays[0]
    flipped = bytes([array.data[0] ^ 1]) + array.data[1:]
    changed = msgspec.structs.replace(seen, arrays=(msgspec.structs.replace(array, data=flipped),))
    divergence = verify(with_step(episode, 2, observation=changed)).divergence
    assert divergence is not None
    assert (divergence.step, divergence.field) == (2, "observation.arrays")


def test_a_changed_seed_is_found_at_the_reset():
    episode = played({"env": COUNTER_ID, "agent": "oracle"})
    changed = msgspec.structs.replace(episode, task=msgspec.structs.replace(episode.task, seed=99))
    verdict = verify(changed)
    assert verdict.divergence is not None
    assert verdict.divergence.step == -1


def test_an_environment_that_says_it_is_nondeterministic_is_not_replayable():
    import gymnasium

    name = "trajgen-testing/Loose-v0"
    gymnasium.register(name, entry_point="trajgen.testing.fakes:CounterEnv", nondeterministic=True)
    try:
        verdict = verify(played({"env": name, "agent": "random", "options": {"nondeterministic": True}}))
    finally:
        del gymnasium.registry[name]
    assert verdict.status == "not_replayable"
    assert name in (verdict.why or "")


def test_an_environment_that_hides_its_randomness_diverges():
    verdict = verify(played({"env": COUNTER_ID, "agent": "oracle", "options": {"nondeterministic": True}}))
    assert verdict.status == "diverges"


def test_a_failed_row_replays_up_to_its_failure():
    verdict = verify(played({"env": COUNTER_ID, "agent": "oracle", "options": {"raise_at": 3, "target": 12}}))
    assert (verdict.status, verdict.n_steps) == ("failed", 2)
