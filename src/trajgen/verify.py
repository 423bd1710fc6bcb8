"""Re-executes a stored episode and compares. Trusts nothing of the row but the task and the calls.

A replay takes the path the episode took: the same `EnvSession`, fed with the stored calls. Compared at every step:
observation, reward, ends, success, feedback and the state digest, all to the bit. What the row says of the whole
episode (its group, its outcome, the expert's steps) is worked out anew from the replay. Knows no agent and no file.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from trajgen.errors import EnvFault, boundary
from trajgen.ids import task_id
from trajgen.replies.native import CUT_OFF
from trajgen.session import EnvSession
from trajgen.store.text import clean_text
from trajgen.strict import shown
from trajgen.types import ENGINE, ObservationRecord, Reset, ToolCall, as_written, stored

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from trajgen.feedback.telling import Said
    from trajgen.session import Begun, Landing
    from trajgen.types import Episode, Feedback, Step

_ENDS_PROCESSES = frozenset({"Crash", "Hang"})  # failures whose cause would end this process too
_LOST = "\N{REPLACEMENT CHARACTER}"  # stands where text could not be stored

Status = Literal["replays", "diverges", "not_replayable", "failed"]


class Divergence(NamedTuple):
    """The first difference. `step` is -1 for the reset, the last one for the outcome; `expected` is what is stored."""

    step: int
    field: str
    expected: str
    found: str


class Verdict(NamedTuple):
    """What a replay came to.

    Attributes:
        status: `replays`; `diverges`; `not_replayable`: the environment makes no promise; `failed`: the row is of an
            episode that failed, whose steps up to the failure replay, or that is not executed since it would end
            this process.
        n_steps: Steps that were compared and equal.
        why: For `not_replayable`: who says so.
    """

    episode_id: str
    status: Status
    n_steps: int
    divergence: Divergence | None = None
    why: str | None = None


def verify(episode: Episode) -> Verdict:
    """Rebuild the task, execute the stored calls again and compare step by step, then the outcome.

    Raises:
        UserError: the environment is not installed here, or does not take the stored options.
    """
    for found in _group_differences(episode):
        return Verdict(episode.episode_id, "diverges", 0, found)
    if ends_process(episode):
        return Verdict(episode.episode_id, "failed", 0)
    task = episode.task
    try:
        session = EnvSession(task.env_id, task.wrappers, msgspec.json.decode(task.make_options))
    except EnvFault as fault:
        return _unless_failed(episode, Divergence(-1, "making the environment", "it can be made", str(fault)))
    try:
        verdict = _judged(episode, session)
    finally:
        fault_at_close = _close(session)
    return verdict if fault_at_close is None else _closed_badly(episode, verdict, fault_at_close)


def _judged(episode: Episode, session: EnvSession) -> Verdict:
    if not session.replayable:
        return Verdict(
            episode.episode_id, "not_replayable", 0, why=f"{episode.task.env_id} says it is nondeterministic"
        )
    for n_equal, found in _differences(episode, session):
        return Verdict(episode.episode_id, "diverges", n_equal, found)
    return Verdict(episode.episode_id, "failed" if episode.failure else "replays", len(episode.steps))


def _unless_failed(episode: Episode, divergence: Divergence) -> Verdict:
    """An environment that cannot be made again where it could not be made before is no divergence."""
    if episode.failure is not None and not was_reset(episode):
        return Verdict(episode.episode_id, "failed", 0)
    return Verdict(episode.episode_id, "diverges", 0, divergence)


def _close(session: EnvSession) -> EnvFault | None:
    try:
        session.close()
    except EnvFault as fault:
        return fault
    return None


def _closed_badly(episode: Episode, verdict: Verdict, fault: EnvFault) -> Verdict:
    """A row that says nothing of a failure, though its environment cannot be closed, was not played like this."""
    if verdict.status != "replays":
        return verdict
    divergence = Divergence(len(episode.steps) - 1, "the environment", "it can be closed", str(fault))
    return Verdict(episode.episode_id, "diverges", verdict.n_steps, divergence)


def ends_process(episode: Episode) -> bool:
    """Say whether what the episode failed of would end this process too, were it executed again."""
    return episode.failure is not None and episode.failure.type in _ENDS_PROCESSES


def was_reset(episode: Episode) -> bool:
    """Say whether the episode got as far as its first observation: a row that did not holds nothing but its end."""
    nothing = Reset(ObservationRecord(""))
    empty = not (episode.tools or episode.steps or episode.turns or episode.task.goal) and episode.reset == nothing
    early = episode.failure is not None or episode.outcome.stop_reason == "deadline"
    return not (empty and early and episode.oracle_steps is None)


# ------------------------------------------------------------------------------------------ the whole episode


class _End(NamedTuple):
    """What a replay has come to so far: what an outcome is made of."""

    return_: float = 0.0
    success: bool | None = None
    terminated: bool = False
    truncated: bool = False

    def after(self, landing: Landing) -> _End:
        # one addition a step, from 0.0 and in order, as it was played: other orders round differently
        return _End(self.return_ + landing.reward, landing.success, landing.terminated, landing.truncated)


class Moment(NamedTuple):
    """A point of a re-execution: before the reset (`step` -1) or a stored call, or after it.

    Attributes:
        landing: What the execution brought; None before it, and where the environment raised.
        differences: What is not as it is stored, in the order it is compared.
        fault: What the environment raised; the last moment then.
    """

    step: int
    landing: Landing | None = None
    differences: tuple[Divergence, ...] = ()
    fault: EnvFault | None = None


def executed(episode: Episode, session: EnvSession) -> Iterator[Moment]:
    """Execute the reset and the stored calls again, one by one, as far as moments are asked for.

    An episode that ended before its reset was over has none.
    """
    number, over, task = -1, False, episode.task
    try:
        if was_reset(episode):
            yield Moment(-1)
            begun = session.begin(task.seed, msgspec.json.decode(task.options), task.split)
            yield Moment(-1, begun.landing, _at(-1, _reset_differences(episode, begun)))
        for number, step in enumerate(episode.steps):
            call = ToolCall(step.tool, msgspec.json.decode(step.arguments))
            early = [("steps", "another step", "the episode had ended")] * over
            yield Moment(number, None, _at(number, [*early, *_refusal_differences(episode, step, call, session)]))
            landing = session.execute(call, _refusal(step))
            yield Moment(number, landing, _at(number, _step_differences(step, landing)))
            over = over or landing.terminated or landing.truncated
    except EnvFault as fault:
        yield Moment(number, None, _at(number, [("the environment", "it returns", str(fault))]), fault)


_Found = tuple[int, Divergence]  # after how many equal steps


def _differences(episode: Episode, session: EnvSession) -> Iterator[_Found]:
    """Execute the episode as far as the differences are asked for; the first one is where it goes apart."""
    end, n_steps = _End(), len(episode.steps)
    for moment in executed(episode, session):
        for found in moment.differences:
            yield max(moment.step, 0), found
        if moment.landing is not None:
            end = _End(success=moment.landing.success) if moment.step < 0 else end.after(moment.landing)
    for found in _at(n_steps - 1, [*_turn_differences(episode), *_outcome_differences(episode, end)]):
        yield n_steps, found


_Difference = tuple[str, str, str]


def _at(step: int, differences: Iterable[_Difference]) -> tuple[Divergence, ...]:
    return tuple(Divergence(step, *difference) for difference in differences)


def _group_differences(episode: Episode) -> Iterator[Divergence]:
    task = episode.task
    make_options, options = msgspec.json.decode(task.make_options), msgspec.json.decode(task.options)
    group = task_id(task.env_id, task.wrappers, make_options, options, task.split, task.seed)
    for field, expected, found in _pair("group_id", episode.group_id, group):
        yield Divergence(-1, field, expected, found)


def _turn_differences(episode: Episode) -> Iterator[_Difference]:
    """Every turn left a step or a call that was not executed; only a last one that ended the episode may have none."""
    said = [t.turn for t in episode.turns if not t.unexecuted]
    if said and (episode.failure is not None or episode.outcome.stop_reason == "agent_stop"):
        said = [number for number in said if number != episode.turns[-1].turn]
    missing = sorted(set(said) - {step.turn for step in episode.steps})
    if missing:
        yield "steps", f"turn {missing[0]} was said", "it has no step and no call that was not executed"


def _outcome_differences(episode: Episode, end: _End) -> Iterator[_Difference]:
    outcome, failed = episode.outcome, episode.failure is not None
    yield from _pair("outcome.success", outcome.success, None if failed else end.success)
    if _bits(outcome.return_) != _bits(end.return_):
        yield "outcome.return_", repr(outcome.return_), repr(end.return_)
    if not _may_stop(outcome.stop_reason, end, failed=failed):
        yield "outcome.stop_reason", shown(outcome.stop_reason, 200), _how_it_ended(end, failed=failed)


def _may_stop(reason: str, end: _End, *, failed: bool) -> bool:
    """Say whether a replay that came to `end` can have stopped for `reason`. The budgets themselves are not stored."""
    if failed or reason == "failure":
        return failed and reason == "failure"
    if end.terminated or reason == "terminated":
        return end.terminated and reason == "terminated"
    return not end.truncated or reason == "max_steps"


def _how_it_ended(end: _End, *, failed: bool) -> str:
    if failed:
        return "the episode failed"
    last = "terminated" if end.terminated else "truncated" if end.truncated else "ended neither way"
    return f"no failure, and the last step {last}"


# ----------------------------------------------------------------------------------------------- one step


def _refusal(step: Step) -> str | None:
    """Return why the engine refused the call, where it did: such a step never reached the environment."""
    return next((f.text for f in step.feedback if f.channel == "error" and f.source == ENGINE), None)


def _refusal_differences(episode: Episode, step: Step, call: ToolCall, session: EnvSession) -> Iterator[_Difference]:
    """A refusal is believed where the row shows a reply that was no call; else the tools must refuse it too."""
    said = _refusal(step)
    if said is None or _was_no_call(episode, step, said):
        return
    with boundary("env"):
        problem = session.env.action_space.problem(call)  # type: ignore[attr-defined] # `make` promises a ToolSpace
    if problem is None:
        yield "refusal", shown(said, 200), "the call fits its tool"
    elif _LOST not in (step.tool or ""):  # such a name was quoted as it was, which is not stored
        yield from _pair("refusal", clean_text(said), clean_text(problem))


def _was_no_call(episode: Episode, step: Step, said: str) -> bool:
    """Say whether the stored call is not what the agent wrote: malformed, cut off, or with arguments JSON cannot hold."""
    if step.raw is not None or step.tool is None:
        return True
    if step.arguments == "{}" and any(c.turn == step.turn and c.finish_reason in CUT_OFF for c in episode.model_calls):
        return True
    unwritable = step.arguments == "{}" or "null" in step.arguments
    return unwritable and said.startswith(f"{step.tool}: the arguments are not JSON: ")


def _reset_differences(episode: Episode, begun: Begun) -> Iterator[_Difference]:
    reset, landing = episode.reset, begun.landing
    tools = [(clean_text(t.name), clean_text(t.description), as_written(t.parameters)) for t in begun.tools]
    yield from _observation_differences(reset.observation, stored(landing.observation))
    yield from _pair("tools", [(t.name, t.description, t.parameters) for t in episode.tools], tools)
    yield from _pair("goal", clean_text(episode.task.goal), clean_text(begun.goal))
    yield from _pair("feedback", _sentences(reset.feedback), _sentences(landing.said))
    yield from _pair("state_digest", reset.state_digest, landing.digest)
    yield from _pair("oracle_steps", episode.oracle_steps, begun.oracle_steps)


def _step_differences(step: Step, landing: Landing) -> Iterator[_Difference]:
    yield from _observation_differences(step.observation, stored(landing.observation))
    yield from _pair("reward", _bits(step.reward), _bits(landing.reward))
    yield from _pair("terminated", step.terminated, landing.terminated)
    yield from _pair("truncated", step.truncated, landing.truncated)
    yield from _pair("success", step.success, landing.success)
    yield from _pair("feedback", _sentences(step.feedback), _sentences(landing.said))
    yield from _pair("state_digest", step.state_digest, landing.digest)


def _observation_differences(expected: ObservationRecord, found: ObservationRecord) -> Iterator[_Difference]:
    yield from _pair("observation.text", clean_text(expected.text), clean_text(found.text))
    yield from _pair("observation.arrays", _arrays(expected), _arrays(found))
    # not their bytes, which the content digest leaves out too: another driver draws the same state in other pixels
    yield from _pair("number of observation.images", len(expected.images), len(found.images))


def _arrays(record: ObservationRecord) -> list[tuple[str, str, tuple[int, ...], bytes]]:
    return [(clean_text(a.name), a.dtype, a.shape, a.data) for a in record.arrays]


def _pair(field: str, expected: Any, found: Any) -> Iterator[_Difference]:
    if expected != found:
        yield field, shown(expected, 200), shown(found, 200)


def _bits(value: float) -> tuple[float, bytes] | bytes:
    """Compare floats by their bits: NaN equals itself, and -0.0 is not 0.0."""
    packed = struct.pack("<d", value)
    return packed if value != value else (value, packed)  # noqa: PLR0124 - only NaN differs from itself


def _sentences(feedback: Iterable[Feedback | Said]) -> list[tuple[str, str, str]]:
    """Return what was said, and by whom, as it is stored; whether the agent saw it is the job's choice."""
    return [(f.channel, clean_text(f.text), clean_text(f.source)) for f in feedback]
