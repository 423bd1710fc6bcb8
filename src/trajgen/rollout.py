"""One episode, in one coroutine. Knows nothing of Ray or files.

The loop is Acme's EnvironmentLoop (arXiv 2006.00979, fig. 2) with language-sized steps: a turn of the agent is a
thought and zero or more calls, each executed call is a step, and what the agent is told of a step is decided here.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from msgspec import Struct

from trajgen import registry
from trajgen.config import DEFAULT_MAX_STEPS, Entry
from trajgen.errors import AgentFault, EnvFault, boundary
from trajgen.feedback.passive import lines
from trajgen.messages import call_id
from trajgen.protocols import Aids, Reflects
from trajgen.provenance import provenance
from trajgen.recording import RecordingBackend
from trajgen.session import EnvSession
from trajgen.types import (
    AgentRecord,
    Call,
    Episode,
    Failure,
    Observation,
    Outcome,
    Provenance,
    Reset,
    Step,
    StopReason,
    Task,
    TaskBrief,
    ToolCall,
    ToolRecord,
    Turn,
    TurnRecord,
    UnexecutedCall,
    as_written,
    stored,
    to_json,
)
from trajgen.wrappers.making import default_max_steps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trajgen.protocols import Agent, Backend
    from trajgen.session import Begun, Landing
    from trajgen.stage import Stage
    from trajgen.types import Feedback

ROLE = "agent"
_WHY = {"max_steps": "the budget of steps was used up", "failure": "the environment failed"}
_NOTHING = Outcome(success=None, return_=0.0, stop_reason="failure")


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


async def rollout(spec: EpisodeSpec, stage: Stage, backends: Mapping[str, Backend]) -> Episode:
    """Play one episode.

    Args:
        spec: What is played.
        stage: Where the environment's code runs; closed by the caller.
        backends: A shared backend for each role the agent names.

    Returns:
        The episode; one whose environment or agent failed has `failure` set and success None.

    Raises:
        Fault: the provider or the engine failed: the episode is to be played again, and is no sample.
        UserError: the job asks for what cannot be.
    """
    game = _Game(spec, stage, backends)
    try:
        await game.play()
    except (EnvFault, AgentFault) as fault:
        game.failure = Failure(fault.boundary, fault.type, fault.message)
    finally:
        await game.close()
    return game.episode()


def condemned(spec: EpisodeSpec, failure: Failure) -> Episode:
    """Return the row of an episode that is not played again because it keeps ending its process."""
    game = _Game(spec, None, {})
    game.failure = failure
    return game.episode()


class _OracleProxy:
    def __init__(self, game: _Game) -> None:
        self._game = game

    async def next(self) -> ToolCall | None:
        session = self._game.session
        return await self._game.stage.run(session.oracle_next)


class _AffordanceProxy:
    def __init__(self, game: _Game) -> None:
        self._game = game

    async def can(self, call: ToolCall) -> float:
        return await self._game.stage.run(self._game.session.can, call)


class _Game:
    """The state of one episode while it is played."""

    stage: Stage
    session: EnvSession
    agent: Agent

    def __init__(self, spec: EpisodeSpec, stage: Stage | None, backends: Mapping[str, Backend]) -> None:
        self.spec = spec
        if stage is not None:
            self.stage = stage
        self._opened = False
        self._recorders = {role: RecordingBackend(b, role, spec.episode_id) for role, b in backends.items()}
        self._begun: Begun | None = None
        self._reset: Reset | None = None
        self._turns: list[TurnRecord] = []
        self._steps: list[Step] = []
        self._return = 0.0
        self._last: Landing | None = None
        self._stop: StopReason | None = None
        self._reflection: str | None = None
        self._prompt: str | None = None
        self.failure: Failure | None = None
        budget = spec.entry.budget
        self._max_steps = budget.max_steps or 0
        self._want_legal = False
        self._deadline = time.monotonic() + budget.episode_timeout_s
        self._thinking: asyncio.Task[Any] | None = None
        self._late = False  # the alarm rang while the agent thought

    # ---- playing

    async def play(self) -> None:
        """Play to the end and reflect on it where that is asked for."""
        with boundary("worker"):
            await self._begin()
            await self._turns_to_the_end()
            if self.spec.reflect and isinstance(self.agent, Reflects) and not self._outcome().success:
                for recorder in self._recorders.values():
                    recorder.purpose = "reflect"
                with boundary("agent"):
                    self._reflection = await self.agent.reflect(self._outcome())

    async def _turns_to_the_end(self) -> None:
        # one timer an episode, where `asyncio.timeout` would set one a turn
        alarm = asyncio.get_running_loop().call_later(self._deadline - time.monotonic(), self._alarm)
        try:
            while self._stop is None:
                await self._turn()
        finally:
            alarm.cancel()

    async def _begin(self) -> None:
        entry = self.spec.entry
        factory = registry.agent(entry.agent.name)
        self._want_legal = "legal" in factory.needs
        self.session = await self.stage.run(_maker(entry, want_legal=self._want_legal))
        self._opened = True
        begun = await self.stage.run(self.session.begin, self.spec.seed, entry.options, entry.split)
        self._begun, self._last = begun, begun.landing
        feedback = lines(begun.landing.said, entry.feedback)
        self._reset = Reset(stored(begun.landing.observation), feedback, begun.landing.digest)
        if not entry.budget.max_steps:
            self._max_steps = default_max_steps(entry.env_id) or DEFAULT_MAX_STEPS
        max_turns = entry.budget.max_turns or self._max_steps
        brief = TaskBrief(entry.env_id, begun.goal, self._max_steps, max_turns)
        aids = Aids(
            _OracleProxy(self) if "oracle" in factory.needs else None,
            _AffordanceProxy(self) if "affordance" in factory.needs else None,
        )
        with boundary("agent"):
            config = msgspec.convert(entry.agent.config, factory.config)
            self.agent = factory(config, self._recorders, aids)
            self.agent.reset(
                brief,
                begun.tools,
                begun.landing.observation,
                feedback=_seen(feedback),
                legal=begun.landing.legal if self._want_legal else None,
                rng=np.random.default_rng(int(self.spec.episode_id, 16)),
                memory=self.spec.memory_in,
            )
            self._prompt = getattr(self.agent, "system_prompt", None)

    async def _turn(self) -> None:
        number = len(self._turns)
        entry = self.spec.entry
        if number >= (entry.budget.max_turns or self._max_steps):
            self._stop = "max_turns" if entry.budget.max_turns else "max_steps"
            return
        if len(self._steps) >= self._max_steps:
            self._stop = "max_steps"
            return
        if time.monotonic() >= self._deadline:
            self._stop = "deadline"
            return
        started = time.perf_counter()
        for recorder in self._recorders.values():
            recorder.turn = number
        turn = await self._act()
        if turn is None:
            self._stop = "deadline"
            return
        await self._perform(number, turn, time.perf_counter() - started)

    async def _act(self) -> Turn | None:
        """Ask the agent; None where the episode's time ran out while it thought."""
        if not self._recorders:
            with boundary("agent"):
                return await self.agent.act()
        self._thinking = task = asyncio.current_task()
        assert task is not None  # noqa: S101 - this is a coroutine
        n_cancels = task.cancelling()
        try:
            with boundary("agent"):
                return await self.agent.act()
        except asyncio.CancelledError:
            if self._late and task.uncancel() <= n_cancels:
                return None  # it was our alarm and nobody else's
            raise
        finally:
            self._thinking = None

    def _alarm(self) -> None:
        """Wake the agent at the episode's deadline; what the environment does by then is played to its end."""
        if self._thinking is not None:
            self._late = True
            self._thinking.cancel()

    async def _perform(self, number: int, turn: Turn, agent_s: float) -> None:
        calls = self._calls_of(turn)
        places = [call_id(number, i) if turn.calls or c.tool else "" for i, c in enumerate(calls)]
        done = 0
        try:
            for place, call in zip(places, calls, strict=True):
                if self._stop is None and len(self._steps) >= self._max_steps:
                    self._stop = "max_steps"
                if self._stop is not None:
                    break
                await self._step(number, place, call, agent_s if done == 0 else 0.0)
                done += 1
        finally:  # also where the environment failed: the turn was said, and its call belongs to the story
            why = _WHY.get(self._stop or "failure", "the episode had ended")
            unexecuted = [_unexecuted(p, c, why) for p, c in zip(places[done:], calls[done:], strict=True)]
            self._turns.append(_turn_record(number, turn, tuple(unexecuted)))
        if self._stop is None and turn.stop:
            self._stop = "agent_stop"
        if self._stop is None and any(
            r.calls and r.calls[-1].error_kind == "context" for r in self._recorders.values()
        ):
            self._stop = "context"

    def _calls_of(self, turn: Turn) -> Sequence[Call]:
        if turn.calls or turn.stop:
            return turn.calls
        said = self._said_aloud(turn)
        # a reply without a call is a step too: it changes nothing and says what was expected
        return (said or Call(None, problem=turn.problem),)

    def _said_aloud(self, turn: Turn) -> Call | None:
        """Return plain text as a call of `say`, where the environment has that tool."""
        say = next((t for t in self.session.tools if t.name == "say"), None)
        if say is None or not turn.text or turn.problem:
            return None
        return Call("say", {next(iter(say.parameters["properties"])): turn.text})

    async def _step(self, number: int, place: str, call: Call, agent_s: float) -> None:
        arguments, problem = _as_json(call)
        # what is executed is what is stored, to the bit: decoded from the record, as a replay will decode it
        executable = ToolCall(call.tool, msgspec.json.decode(arguments))
        landing = await self.stage.run(self.session.execute, executable, problem)
        self._last = landing
        self._return += landing.reward
        feedback = lines(landing.said, self.spec.entry.feedback)
        step = Step(
            turn=number,
            call_id=place,
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
        self._steps.append(step)
        if landing.terminated:
            self._stop = "terminated"
        elif landing.truncated:
            self._stop = "max_steps"
        with boundary("agent"):
            self.agent.observe(_as_seen(step), legal=landing.legal if self._want_legal else None)

    async def close(self) -> None:
        """Close the environment; a simulator that fails here fails the episode."""
        if not self._opened:
            return
        try:
            await self.stage.run(self.session.close)
        except EnvFault as fault:
            self.failure = self.failure or Failure(fault.boundary, fault.type, fault.message)

    # ---- the record

    def _outcome(self) -> Outcome:
        if self.failure is not None:
            return msgspec.structs.replace(_NOTHING, return_=self._return)
        success = self._last.success if self._last else None
        return Outcome(success, self._return, self._stop or "failure")

    def episode(self) -> Episode:
        """Return the row."""
        spec, entry, begun = self.spec, self.spec.entry, self._begun
        choice = entry.agent
        models = {role: b.identity() for role, b in choice.backends.items()}
        tools = begun.tools if begun else ()
        exact = [r.tokens_exact for r in self._recorders.values() if r.tokens_exact is not None]
        return Episode(
            episode_id=spec.episode_id,
            group_id=spec.group_id,
            trial=spec.trial,
            sample=spec.sample,
            task=Task(
                env_id=entry.env_id,
                wrappers=entry.wrappers,
                make_options=to_json(entry.make_options),
                options=to_json(entry.options),
                split=entry.split,
                seed=spec.seed,
                goal=begun.goal if begun else "",
            ),
            agents=(
                AgentRecord(
                    role=ROLE,
                    name=choice.name,
                    version=choice.version,
                    config=to_json(choice.config),
                    backend=to_json(models) if models else None,
                    system_prompt=self._prompt,
                ),
            ),
            tools=tuple(ToolRecord(ROLE, t.name, t.description, as_written(t.parameters)) for t in tools),
            reset=self._reset or Reset(stored(Observation(""))),
            turns=tuple(self._turns),
            steps=tuple(self._steps),
            model_calls=tuple(call for r in self._recorders.values() for call in r.calls),
            tokens_exact=all(exact) if exact else None,
            outcome=self._outcome(),
            failure=self.failure,
            oracle_steps=begun.oracle_steps if begun else None,
            memory_in=spec.memory_in,
            reflection=self._reflection,
            provenance=_provenance(spec),
            created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )


def _maker(entry: Entry, *, want_legal: bool) -> Any:
    return lambda: EnvSession(entry.env_id, entry.wrappers, entry.make_options, want_legal=want_legal)


def _provenance(spec: EpisodeSpec) -> Provenance:
    return provenance(spec.entry.env_id, spec.git)


def _turn_record(number: int, turn: Turn, unexecuted: tuple[UnexecutedCall, ...]) -> TurnRecord:
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


def _unexecuted(place: str, call: Call, why: str) -> UnexecutedCall:
    return UnexecutedCall(place, call.tool, _as_json(call)[0], call.raw, why)


def _seen(feedback: tuple[Feedback, ...]) -> tuple[Feedback, ...]:
    return tuple(f for f in feedback if f.shown)


def _as_seen(step: Step) -> Step:
    """Return the step without what was only recorded: hidden channels, reward, success, digest."""
    return msgspec.structs.replace(
        step, feedback=_seen(step.feedback), reward=0.0, success=None, state_digest=None, env_s=0.0
    )


def _as_json(call: Call) -> tuple[str, str | None]:
    """Return the arguments as stored, and why the call cannot be executed, if so."""
    try:
        arguments = as_written(call.arguments)
    except (TypeError, ValueError, OverflowError) as error:
        return "{}", f"{call.tool}: the arguments are not JSON: {error}"
    if "null" in arguments and msgspec.json.decode(arguments) != call.arguments:
        return arguments, f"{call.tool}: the arguments are not JSON: NaN and infinity have no place in it"
    return arguments, call.problem
