"""Replay: an honest row replays to the bit, and any change of it is found at its step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium
import msgspec
import pytest

from test_rollout import COUNTER_ID, by_llm, played, spec_of
from trajgen import ToolEnv, tool
from trajgen.chat import EmittedCall, Reply
from trajgen.ids import task_id
from trajgen.rollout import condemned
from trajgen.rows import Log, episode_of
from trajgen.store.text import clean
from trajgen.toolenv import Acted
from trajgen.types import Failure, Feedback
from trajgen.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trajgen.types import Episode, Task


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


def difference(episode: Episode) -> tuple[int, str] | None:
    """Return where a replay goes apart, and in what."""
    found = verify(episode).divergence
    return None if found is None else (found.step, found.field)


def group_of(task: Task) -> str:
    make_options, options = msgspec.json.decode(task.make_options), msgspec.json.decode(task.options)
    return task_id(task.env_id, task.wrappers, make_options, options, task.split, task.seed)


def solved() -> Episode:
    """Five steps; the last one terminates with reward 1."""
    episode = played({"env": COUNTER_ID, "agent": "oracle", "options": {"target": 12}})
    assert (len(episode.steps), episode.outcome.return_) == (5, 1.0)
    return episode


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
    task = msgspec.structs.replace(episode.task, seed=99)
    found = difference(msgspec.structs.replace(episode, task=task, group_id=group_of(task)))
    assert found == (-1, "observation.text")


def test_an_environment_that_says_it_is_nondeterministic_is_not_replayable():
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


# ------------------------------------------------------------------------------------- the whole episode


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"success": False}, "outcome.success"),
        ({"success": None}, "outcome.success"),
        ({"return_": 0.999}, "outcome.return_"),
        ({"return_": float("nan")}, "outcome.return_"),
        ({"stop_reason": "max_steps"}, "outcome.stop_reason"),
        ({"stop_reason": "agent_stop"}, "outcome.stop_reason"),
        ({"stop_reason": "failure"}, "outcome.stop_reason"),
    ],
    ids=str,
)
def test_a_changed_outcome_is_found_at_the_last_step(changes: dict[str, Any], field: str):
    episode = solved()
    verdict = verify(msgspec.structs.replace(episode, outcome=msgspec.structs.replace(episode.outcome, **changes)))
    assert verdict.divergence is not None
    assert (verdict.n_steps, verdict.divergence.step, verdict.divergence.field) == (5, 4, field)


def test_an_episode_that_was_cut_by_its_environment_cannot_have_stopped_of_itself():
    episode = played({"env": "InvertedPendulum-v5", "agent": "random", "budget": {"max_steps": 2}})
    assert verify(episode).status == "replays"
    for claim in ("terminated", "failure"):
        outcome = msgspec.structs.replace(episode.outcome, stop_reason=claim)
        assert difference(msgspec.structs.replace(episode, outcome=outcome)) == (1, "outcome.stop_reason")


@pytest.mark.parametrize("n_left", [0, 1, 4])
def test_dropped_steps_are_found_whatever_the_outcome_says(n_left: int):
    episode = solved()
    cut = msgspec.structs.replace(episode, steps=episode.steps[:n_left])
    assert difference(cut) == (n_left - 1, "steps")
    unsaid = msgspec.structs.replace(cut, turns=episode.turns[:n_left])
    assert difference(unsaid) == (n_left - 1, "outcome.success")
    outcome = msgspec.structs.replace(episode.outcome, success=False, return_=0.0)
    assert difference(msgspec.structs.replace(unsaid, outcome=outcome)) == (n_left - 1, "outcome.stop_reason")


def test_steps_after_the_end_are_found():
    episode = solved()
    longer = msgspec.structs.replace(episode, steps=(*episode.steps, episode.steps[0]))
    assert difference(longer) == (5, "steps")


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"oracle_steps": 1}, "oracle_steps"), ({"group_id": "0" * 32}, "group_id"), ({"tools": ()}, "tools")],
    ids=str,
)
def test_what_is_said_of_the_task_is_worked_out_anew(changes: dict[str, Any], field: str):
    assert difference(msgspec.structs.replace(solved(), **changes)) == (-1, field)


def test_a_row_without_tools_and_steps_is_compared_unless_nothing_else_is_in_it():
    episode = solved()
    outcome = msgspec.structs.replace(episode.outcome, success=None, return_=0.0, stop_reason="failure")
    bare = {"tools": (), "steps": (), "turns": (), "outcome": outcome, "failure": Failure("agent", "KeyError", "x")}
    assert difference(msgspec.structs.replace(episode, **bare)) == (-1, "tools")
    never_reset = played({"env": COUNTER_ID, "agent": "oracle", "options": {"raise_at": 0}})
    assert (never_reset.tools, never_reset.failure is None) == ((), False)
    assert verify(never_reset) == (never_reset.episode_id, "failed", 0, None, None)


def test_a_row_whose_time_was_over_before_its_reset_holds_nothing_to_compare():
    assert verify(episode_of(spec_of({"env": COUNTER_ID, "agent": "oracle"}), Log(stop="deadline"), ())).n_steps == 0


def test_the_outcome_of_a_failed_row_is_compared_too():
    failed = played({"env": COUNTER_ID, "agent": "oracle", "options": {"raise_at": 3, "target": 12}})
    outcome = msgspec.structs.replace(failed.outcome, return_=1.0)
    assert difference(msgspec.structs.replace(failed, outcome=outcome)) == (1, "outcome.return_")


# ------------------------------------------------------------------------------------- feedback and refusals


def test_who_said_it_is_compared_too():
    episode = solved()
    said = tuple(msgspec.structs.replace(f, source="a predicate") for f in episode.steps[2].feedback)
    assert difference(with_step(episode, 2, feedback=said)) == (2, "feedback")
    reset = msgspec.structs.replace(episode.reset, feedback=(Feedback("scene", "All is well.", shown=True),))
    assert difference(msgspec.structs.replace(episode, reset=reset)) == (-1, "feedback")


def refused_once(call: str = "add(n=99)") -> Episode:
    """A refused call without `raw`, as of an agent that writes no text."""
    return with_step(by_llm([call, "submit()"], env=COUNTER_ID), 0, raw=None)


def test_a_call_the_tools_take_was_not_refused():
    episode = refused_once()
    assert verify(episode).status == "replays"
    assert difference(with_step(episode, 0, arguments='{"n":1}')) == (0, "refusal")


def test_a_refusal_in_other_words_is_found():
    episode = refused_once()
    said = tuple(
        msgspec.structs.replace(f, text="Try submit.") if f.channel == "error" else f for f in episode.steps[0].feedback
    )
    assert difference(with_step(episode, 0, feedback=said)) == (0, "refusal")


@pytest.mark.parametrize(
    "reply",
    [
        Reply(None, calls=(EmittedCall("x", "add", '{"n": 1'),)),
        Reply(None, calls=(EmittedCall("x", "submit", "{}"),), finish_reason="length"),
        Reply(None, calls=(EmittedCall("x", "add", '{"n": 1}'),), finish_reason="length"),
        Reply(None, calls=(EmittedCall("x", "no such", "{}"),)),
        Reply(None, calls=(EmittedCall("x", None, "{}"),)),
        Reply(None, error_kind="not_a_completion"),
    ],
    ids=str,
)
def test_a_malformed_reply_of_a_model_replays(reply: Reply):
    verdict = verify(by_llm([reply, "submit()"], env=COUNTER_ID))
    assert (verdict.status, verdict.n_steps) == ("replays", 2), verdict


# ------------------------------------------------------------------------------------- environments that misbehave


@pytest.mark.parametrize("kind", ["Crash", "Hang"])
def test_a_row_that_ended_its_process_is_not_executed(kind: str):
    options = {"exit_at": 0} if kind == "Crash" else {"hold_gil_at": 0}  # would end, or stop, these tests
    spec = spec_of({"env": COUNTER_ID, "agent": "oracle", "options": options})
    episode = condemned(spec, Failure("env", kind, "three times while alone"))
    assert verify(episode) == (episode.episode_id, "failed", 0, None, None)


class UnclosableEnv(ToolEnv):
    """Says half a character; raises in `close` where `stuck`."""

    stuck = False
    tools = (tool("look", "Look."),)

    def begin(self, options):
        self._looked = False
        return "Look \ud83d."

    def act(self, call):
        self._looked = True
        return Acted("You see \ud83d.", terminated=True)

    def solved(self):
        return self._looked

    def state(self):
        return self._looked

    def describe(self, channel):
        return "half: \ude00" if channel == "scene" else super().describe(channel)

    def close(self):
        if self.stuck:
            raise OSError("the window cannot be closed")


@pytest.fixture
def unclosable() -> Iterator[str]:
    gymnasium.register("verify-test/Unclosable-v0", entry_point=UnclosableEnv)
    try:
        yield "verify-test/Unclosable-v0"
    finally:
        del gymnasium.registry["verify-test/Unclosable-v0"]


def test_an_environment_that_fails_when_it_is_closed_fails_its_row_alone(unclosable, monkeypatch):
    sound = played({"env": unclosable, "agent": "random"})
    assert verify(sound).status == "replays"
    monkeypatch.setattr(UnclosableEnv, "stuck", True)
    failed = played({"env": unclosable, "agent": "random"})
    assert failed.failure is not None
    assert verify(failed).status == "failed"
    assert difference(sound) == (0, "the environment")
    assert difference(msgspec.structs.replace(sound, oracle_steps=3)) == (-1, "oracle_steps")


def test_text_that_could_not_be_stored_as_it_was_said_replays_as_it_was_stored(unclosable):
    cleaned = clean(played({"env": unclosable, "agent": "random"}))
    assert cleaned.n_replaced > 2
    assert verify(cleaned.episode).status == "replays"
