"""What happened in an episode -> the row that is stored of it. Pure; plays nothing, knows no agent and no file."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, get_args

import msgspec
from msgspec import Struct, field

from trajgen.entries import Entry
from trajgen.provenance import provenance
from trajgen.session import Begun
from trajgen.types import (
    AgentRecord,
    Author,
    Call,
    Episode,
    Failure,
    Imagined,
    Observation,
    Option,
    Outcome,
    Reset,
    Step,
    StopReason,
    Task,
    ToolRecord,
    Turn,
    TurnRecord,
    UnexecutedCall,
    as_written,
    stored,
    to_json,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trajgen.recording import RecordingBackend
    from trajgen.session import Landing
    from trajgen.types import Feedback

ROLE = "agent"
_AUTHORS: tuple[Author, ...] = get_args(Author)


class EpisodeSpec(Struct, frozen=True):
    """Everything that decides one episode.

    Attributes:
        memory_in: The lesson of the trial before, where there was one.
        reflect: Another trial may follow, so a failed episode is to be reflected on.
        git: The driver's checkout, for provenance.
    """

    entry: Entry
    episode_id: str
    group_id: str
    seed: int
    sample: int = 0
    trial: int = 0
    memory_in: str | None = None
    reflect: bool = False
    git: str | None = None


class Log(Struct):
    """What is known of an episode; grows while it is played.

    Attributes:
        success: Of the last step, or of the reset.
        stop: Why it ended; None while it goes on.
    """

    begun: Begun | None = None
    reset: Reset | None = None
    turns: list[TurnRecord] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    return_: float = 0.0
    success: bool | None = None
    stop: StopReason | None = None
    prompt: str | None = None
    reflection: str | None = None
    failure: Failure | None = None

    def outcome(self) -> Outcome:
        """Return how it ended; a failed episode has no success, whatever its last step said."""
        if self.failure is not None:
            return Outcome(success=None, return_=self.return_, stop_reason="failure")
        return Outcome(self.success, self.return_, self.stop or "failure")


class Arguments(Struct, frozen=True):
    """A call's arguments as they are stored: JSON; and why the call cannot be executed, if so."""

    json: str
    problem: str | None


def arguments_of(call: Call) -> Arguments:
    """Write a call's arguments as JSON; what JSON cannot hold makes the call one that cannot be executed."""
    try:
        written = as_written(call.arguments)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        return Arguments("{}", f"{call.tool}: the arguments are not JSON: {error}")
    if "null" in written and msgspec.json.decode(written) != call.arguments:
        return Arguments(written, f"{call.tool}: the arguments are not JSON: NaN and infinity have no place in it")
    return Arguments(written, call.problem)


def checked(turn: object) -> Turn:
    """Return `turn` where it is one whose every field can be stored; a struct does not check what it is made of.

    Raises: TypeError: says which field is wrong; the agent's fault.
    """
    if not isinstance(turn, Turn):
        raise TypeError(f"act(): expected a Turn, found {type(turn).__name__}")
    texts = (turn.text, turn.reasoning, turn.plan, turn.label, turn.problem)
    if not all(text is None or type(text) is str for text in texts) or turn.by not in _AUTHORS:
        raise TypeError(f"act(): text, reasoning, plan, label and problem are text or None, by one of {_AUTHORS}")
    if not (turn.loss_weight is None or isinstance(turn.loss_weight, int | float)):
        raise TypeError("act(): loss_weight is a number or None")
    if not (isinstance(turn.calls, tuple) and all(map(_is_call, turn.calls))):
        raise TypeError("act(): calls is a tuple of Call(tool: str | None, arguments: dict, raw, problem: str | None)")
    if turn.options or turn.imagined:
        msgspec.convert(msgspec.to_builtins(turn.options), tuple[Option, ...])
        msgspec.convert(msgspec.to_builtins(turn.imagined), tuple[Imagined, ...])
    return turn


def _is_call(call: object) -> bool:
    return (
        isinstance(call, Call)
        and isinstance(call.arguments, Mapping)
        and all(text is None or type(text) is str for text in (call.tool, call.raw, call.problem))
    )


def step_of(
    turn: int,
    call_id: str,
    call: Call,
    arguments: str,
    landing: Landing,
    feedback: tuple[Feedback, ...],
    agent_s: float,
) -> Step:
    """Return the record of one executed call."""
    return Step(
        turn=turn,
        call_id=call_id,
        tool=call.tool,
        arguments=arguments,
        raw=None if call.raw == arguments else call.raw,
        observation=stored(landing.observation),
        reward=landing.reward,
        terminated=landing.terminated,
        truncated=landing.truncated,
        success=landing.success,
        feedback=feedback,
        state_digest=landing.digest,
        agent_s=agent_s,
        env_s=landing.env_s,
    )


def turn_of(number: int, turn: Turn, unexecuted: tuple[UnexecutedCall, ...]) -> TurnRecord:
    """Return the record of one reply."""
    return TurnRecord(
        turn=number,
        role=ROLE,
        by=turn.by,
        text=turn.text,
        reasoning=turn.reasoning,
        plan=turn.plan,
        options=turn.options,
        imagined=turn.imagined,
        unexecuted=unexecuted,
        label=turn.label,
        loss_weight=turn.loss_weight,
    )


def unexecuted(call_id: str, call: Call, why: str) -> UnexecutedCall:
    """Return the record of a call that was never executed."""
    return UnexecutedCall(call_id, call.tool, arguments_of(call).json, call.raw, why)


def shown(feedback: tuple[Feedback, ...]) -> tuple[Feedback, ...]:
    """Return the lines an agent sees."""
    return tuple(line for line in feedback if line.shown)


def as_seen(step: Step) -> Step:
    """Return a step without what was only recorded: hidden channels, reward, success, digest, time."""
    return msgspec.structs.replace(
        step, feedback=shown(step.feedback), reward=0.0, success=None, state_digest=None, env_s=0.0
    )


def episode_of(spec: EpisodeSpec, log: Log, recorders: Iterable[RecordingBackend]) -> Episode:
    """Return the row of an episode."""
    recorders = list(recorders)
    exact = [r.tokens_exact for r in recorders if r.tokens_exact is not None]
    tools = log.begun.tools if log.begun else ()
    return Episode(
        episode_id=spec.episode_id,
        group_id=spec.group_id,
        trial=spec.trial,
        sample=spec.sample,
        task=_task(spec, log),
        agents=(_agent(spec.entry, log.prompt),),
        tools=tuple(ToolRecord(ROLE, t.name, t.description, as_written(t.parameters)) for t in tools),
        reset=log.reset or Reset(stored(Observation(""))),
        turns=tuple(log.turns),
        steps=tuple(log.steps),
        model_calls=tuple(call for r in recorders for call in r.calls),
        tokens_exact=all(exact) if exact else None,
        outcome=log.outcome(),
        failure=log.failure,
        oracle_steps=log.begun.oracle_steps if log.begun else None,
        memory_in=spec.memory_in,
        reflection=log.reflection,
        provenance=provenance(spec.entry.env_id, spec.git),
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
    )


def _task(spec: EpisodeSpec, log: Log) -> Task:
    entry = spec.entry
    return Task(
        env_id=entry.env_id,
        wrappers=entry.wrappers,
        make_options=to_json(entry.make_options),
        options=to_json(entry.options),
        split=entry.split,
        seed=spec.seed,
        goal=log.begun.goal if log.begun else "",
    )


def _agent(entry: Entry, prompt: str | None) -> AgentRecord:
    choice = entry.agent
    models = {role: backend.identity() for role, backend in choice.backends.items()}
    return AgentRecord(
        role=ROLE,
        name=choice.name,
        version=choice.version,
        config=to_json(choice.config),
        backend=to_json(models) if models else None,
        system_prompt=prompt,
    )
