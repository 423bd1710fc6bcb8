"""One episode: what is stored of it, what the agent is told, and how it can end."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from trajgen import config, rows
from trajgen.chat import Reply
from trajgen.errors import BackendFault
from trajgen.ids import content_digest, episode_id, task_id
from trajgen.messages import episode_messages
from trajgen.rollout import rollout
from trajgen.rows import EpisodeSpec
from trajgen.stage import InlineStage
from trajgen.testing.fakes import COUNTER_ID, ScriptedBackend
from trajgen.types import Call, Episode, Turn

GUESS = "counting/Guess-v0"


class _Guard:
    def enter(self, episode_id: str, timeout_s: float) -> None:
        assert len(episode_id) == 32
        assert timeout_s > 0

    def leave(self) -> None:
        pass


def spec_of(data: dict[str, Any], **more: Any) -> EpisodeSpec:
    entry = config.parse({"seeds": "0:1", **data}).entries[0]
    seed = more.pop("seed", 0)
    group = task_id(entry.env_id, entry.wrappers, entry.make_options, entry.options, entry.split, seed)
    return EpisodeSpec(entry=entry, episode_id=episode_id(entry.key, group, 0, 0), group_id=group, seed=seed, **more)


def played(data: dict[str, Any], backends: dict[str, Any] | None = None, **more: Any) -> Episode:
    spec = spec_of(data, **more)
    return asyncio.run(rollout(spec, InlineStage(_Guard(), spec.episode_id, 5.0), backends or {}))


def by_llm(replies: Any, **data: Any) -> Episode:
    backend = {"kind": "scripted", "replies": ["submit()"]}
    job = {"agent": {"name": "llm", "backend": "b"}, "backend": {"b": backend}, **data}
    return played(job, {"backend": ScriptedBackend(replies)})


def test_the_oracle_solves_the_task_in_the_steps_it_announced():
    episode = played({"env": COUNTER_ID, "agent": "oracle"})
    assert episode.outcome.success is True
    assert episode.outcome.stop_reason == "terminated"
    assert len(episode.steps) == episode.oracle_steps
    assert all(turn.by == "oracle" for turn in episode.turns)


def test_equal_specs_give_equal_content():
    one, two = (played({"env": COUNTER_ID, "agent": "random"}) for _ in range(2))
    assert content_digest(one) == content_digest(two)


def test_another_seed_gives_another_episode():
    data = {"env": COUNTER_ID, "agent": "random"}
    assert content_digest(played(data, seed=1)) != content_digest(played(data, seed=2))


def test_every_passive_channel_is_recorded_but_only_the_jobs_are_shown():
    episode = played({"env": COUNTER_ID, "agent": "oracle", "feedback": ["scene"]})
    for step in episode.steps:
        assert {f.channel for f in step.feedback} >= {"success", "object", "scene", "progress"}
        assert {f.channel for f in step.feedback if f.shown} == {"scene"}


def test_a_call_that_does_not_fit_is_a_step_that_changes_nothing_and_says_why():
    episode = by_llm(["add(n=99)", "ad(n=1)", "add()"], env=COUNTER_ID, budget={"max_steps": 3})
    assert len(episode.steps) == 3
    assert {step.state_digest for step in episode.steps} == {episode.reset.state_digest}
    errors = [next(f for f in step.feedback if f.channel == "error") for step in episode.steps]
    assert all(line.shown and line.source == "engine" for line in errors)
    assert "99" in errors[0].text
    assert "did you mean 'add'" in errors[1].text


def test_the_engines_errors_are_shown_even_where_the_job_shows_nothing():
    episode = by_llm(["nonsense()"], env=COUNTER_ID, feedback=[], budget={"max_steps": 1})
    assert [f.channel for f in episode.steps[0].feedback if f.shown] == ["error"]


def test_a_reply_without_a_call_is_a_step_without_a_tool_and_a_correction_in_the_chat():
    episode = by_llm([Reply("Let me think.")], env=COUNTER_ID, budget={"max_steps": 1})
    (step,) = episode.steps
    assert step.tool is None
    assert step.call_id == ""
    messages = episode_messages(episode)
    assert [m.role for m in messages] == ["system", "user", "assistant", "user"]
    assert "calls no tool" in messages[-1].content


def test_several_calls_of_one_turn_are_consecutive_steps_and_the_rest_is_unexecuted():
    episode = by_llm([_two_calls()], env=COUNTER_ID, options={"target": 9}, budget={"max_steps": 1})
    assert [s.call_id for s in episode.steps] == ["call_0_0"]
    assert [(u.call_id, u.why) for u in episode.turns[0].unexecuted] == [
        ("call_0_1", "the budget of steps was used up")
    ]
    assert episode.outcome.stop_reason == "max_steps"
    assert episode_messages(episode)[-1].content == "not executed: the budget of steps was used up"


def _two_calls() -> Any:
    from trajgen.chat import EmittedCall

    return Reply(None, calls=(EmittedCall("x", "add", '{"n":1}'), EmittedCall("y", "add", '{"n": 2}')))


def test_what_a_model_wrote_is_kept_beside_what_was_executed():
    episode = by_llm([_two_calls()], env=COUNTER_ID, budget={"max_steps": 2})
    assert [(s.arguments, s.raw) for s in episode.steps] == [('{"n":1}', None), ('{"n":2}', '{"n": 2}')]


def test_the_recorded_messages_are_those_the_map_gives():
    episode = by_llm(["add(n=1)", Reply("hm"), "add(n=77)", "submit()"], env=COUNTER_ID)
    chat = episode_messages(episode)
    seen: list[Any] = []
    for call in episode.model_calls:
        seen = [*seen[: call.n_kept], *call.messages_new]
    n_seen = len(seen)
    assert chat[:n_seen] == seen
    assert [m.role for m in chat[n_seen:]] == ["assistant", "tool"]
    assert all(call.n_kept > 0 for call in episode.model_calls[1:])


def test_an_environment_that_raises_makes_a_failed_episode_that_keeps_its_steps():
    episode = played({"env": COUNTER_ID, "agent": "oracle", "options": {"raise_at": 2, "target": 9}})
    assert episode.failure is not None
    assert (episode.failure.boundary, episode.failure.type) == ("env", "RuntimeError")
    assert episode.outcome.success is None
    assert episode.outcome.stop_reason == "failure"
    assert len(episode.steps) == 1
    assert [u.why for u in episode.turns[-1].unexecuted] == ["the environment failed"]


def test_an_environment_that_raises_at_reset_makes_a_failed_episode_without_steps():
    episode = played({"env": COUNTER_ID, "agent": "oracle", "options": {"raise_at": 0}})
    assert episode.failure is not None
    assert episode.steps == ()


def test_a_providers_failure_is_raised_and_is_no_sample():
    class Down:
        async def generate(self, *_: Any, **__: Any) -> Reply:
            raise ConnectionError("refused")

        async def close(self) -> None: ...

    backend = {"b": {"kind": "scripted", "replies": ["submit()"]}}
    with pytest.raises(BackendFault, match="ConnectionError: refused"):
        played({"env": COUNTER_ID, "agent": {"name": "llm", "backend": "b"}, "backend": backend}, {"backend": Down()})


class _Slow:
    """A server that answers so many times and then no more."""

    def __init__(self, n_answers: int) -> None:
        self._left = n_answers

    async def generate(self, *_: Any, **__: Any) -> Reply:
        self._left -= 1
        if self._left < 0:
            await asyncio.sleep(30)
        return Reply("hm")

    async def close(self) -> None: ...


SLOW_JOB = {
    "env": COUNTER_ID,
    "agent": {"name": "llm", "backend": "b"},
    "backend": {"b": {"kind": "scripted", "replies": ["submit()"]}},
    "budget": {"episode_timeout_s": 0.2},
}


def test_an_episode_whose_model_is_slow_ends_at_its_deadline():
    episode = played(SLOW_JOB, {"backend": _Slow(2)})
    assert episode.outcome.stop_reason == "deadline"
    assert episode.failure is None
    assert len(episode.steps) == 2


def test_an_episode_whose_server_never_answered_is_no_sample():
    with pytest.raises(BackendFault, match="no answer within"):
        played(SLOW_JOB, {"backend": _Slow(0)})


@pytest.mark.parametrize(
    "wrong", [None, "text", Turn(text=3), Turn(calls=("get",)), Turn(calls=[]), Turn(by="me")], ids=str
)  # type: ignore[arg-type]
def test_an_agent_that_returns_no_turn_fails_its_episode_and_says_what_was_wrong(wrong: Any):
    from trajgen.rows import checked

    with pytest.raises(TypeError, match=r"act\(\)"):
        checked(wrong)


@pytest.mark.parametrize(
    "error", [SystemExit(0), RuntimeError("x"), asyncio.CancelledError(), BaseException("odd")], ids=repr
)
def test_whatever_an_environment_raises_is_its_failure(error: BaseException):
    from trajgen.errors import EnvFault, boundary

    with pytest.raises(EnvFault), boundary("env"):
        raise error


def test_an_exception_that_cannot_say_what_it_is_is_attributed_all_the_same():
    from trajgen.errors import AgentFault, boundary

    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError("no words")

    with pytest.raises(AgentFault, match="cannot be read: ValueError"), boundary("agent"):
        raise Mute


def test_the_task_seed_reaches_no_prompt():
    episode = by_llm(["submit()"], env=COUNTER_ID, options={"target": 9}, seeds="987654:987655")
    sent = msgspec.json.encode([call.messages_new for call in episode.model_calls])
    assert b"987654" not in sent


def test_a_foreign_environments_own_budget_is_the_default():
    episode = played({"env": "CartPole-v1", "agent": "random"})
    assert len(episode.steps) < 500
    mountain = played({"env": "MountainCar-v0", "agent": "random"})
    assert len(mountain.steps) == 200
    assert mountain.outcome.stop_reason == "max_steps"


def test_arguments_that_are_no_json_are_refused_and_the_row_can_be_stored():
    for bad in (float("nan"), "\ud800", object()):
        arguments = rows.arguments_of(Call("add", {"n": bad}))
        assert arguments.problem is not None
        assert "not JSON" in arguments.problem
        msgspec.json.decode(arguments.json)


def test_a_turn_that_stops_ends_the_episode_and_says_who_stopped():
    episode = played({"env": GUESS, "agent": {"name": "halving", "patience": 1}, "budget": {"max_steps": 9}})
    assert episode.outcome.stop_reason == "agent_stop"
    assert episode.turns[-1].text == "I give up."
    assert Turn(stop=True).calls == ()
