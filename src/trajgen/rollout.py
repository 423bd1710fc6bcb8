"""One episode, in one coroutine. Knows nothing of Ray or files.

The loop is Acme's EnvironmentLoop (arXiv 2006.00979, fig. 2) with language-sized steps: a turn of the agent is a
thought and zero or more calls, each executed call is a step, and what the agent is told of a step is decided here.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from trajgen import registry, rows
from trajgen.entries import DEFAULT_MAX_STEPS
from trajgen.errors import AgentFault, BackendFault, EnvFault, WorkerFault, boundary
from trajgen.feedback.telling import lines
from trajgen.messages import call_id
from trajgen.protocols import Aids, Opening, Reflects
from trajgen.recording import RecordingBackend
from trajgen.rows import EpisodeSpec, Log
from trajgen.session import EnvSession
from trajgen.types import Call, Episode, Failure, Reset, StopReason, TaskBrief, ToolCall, Turn, stored
from trajgen.wrappers.making import default_max_steps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trajgen.entries import Entry
    from trajgen.protocols import Agent, Backend
    from trajgen.stage import Stage

_WHY = {"max_steps": "the budget of steps was used up", "failure": "the environment failed"}


async def rollout(spec: EpisodeSpec, stage: Stage, backends: Mapping[str, Backend]) -> Episode:
    """Play one episode.

    Args:
        spec: What is played.
        stage: Where the environment's code runs; closed by the caller.
        backends: A shared backend for each role the agent names.

    Returns:
        The episode; one whose environment or agent failed, or made the engine fail, has `failure` set and success None.

    Raises:
        Fault: the provider or the sandbox failed: the episode is to be played again, and is no sample.
        UserError: the job asks for what cannot be.
    """
    game = _Game(spec, stage, backends)
    try:
        await game.play()
    except (EnvFault, AgentFault, WorkerFault) as fault:
        game.log.failure = Failure(fault.boundary, fault.type, fault.message)
    finally:
        await game.close()
    return rows.episode_of(spec, game.log, game.recorders.values())


def condemned(spec: EpisodeSpec, failure: Failure) -> Episode:
    """Return the row of an episode that is not played again because it keeps ending its process."""
    return rows.episode_of(spec, Log(failure=failure), ())


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
    """One episode while it is played; what is known of it is in `log`."""

    session: EnvSession
    agent: Agent

    def __init__(self, spec: EpisodeSpec, stage: Stage, backends: Mapping[str, Backend]) -> None:
        self.spec, self.stage = spec, stage
        self.log = Log()
        self.recorders = {role: RecordingBackend(b, role, spec.episode_id) for role, b in backends.items()}
        self._opened = False
        self._want_legal = False
        self._mix_rng = np.random.default_rng([int(spec.episode_id, 16), 1])  # the agent's own has no second word
        self._budget = spec.entry.budget
        self._max_steps = self._budget.max_steps or 0
        self._deadline = time.monotonic() + self._budget.episode_timeout_s

    async def play(self) -> None:
        """Play to the end and reflect on it where that is asked for."""
        with boundary("worker"):
            try:
                async with asyncio.timeout(self._budget.episode_timeout_s):
                    await self._begin()
                    while self.log.stop is None:
                        await self._turn()
            except TimeoutError:
                self._late()
            if self.spec.reflect and self._opened and isinstance(self.agent, Reflects) and not self.log.success:
                for recorder in self.recorders.values():
                    recorder.purpose = "reflect"
                with boundary("agent"):
                    lesson = await self.agent.reflect(self.log.outcome())
                    if not isinstance(lesson, str | None):
                        raise TypeError(f"reflect(): expected text or None, found {type(lesson).__name__}")
                    self.log.reflection = lesson

    def _late(self) -> None:
        """The episode's time is up. Where a model's server never answered, that is no sample but its failure."""
        if self.recorders and not any(recorder.calls for recorder in self.recorders.values()):
            raise BackendFault("Silent", f"no answer within the episode's {self._budget.episode_timeout_s:g} s")
        self.log.stop = "deadline"

    async def _begin(self) -> None:
        entry, log = self.spec.entry, self.log
        factory = registry.agent(entry.agent.name)
        self._want_legal = "legal" in factory.needs
        self.session = await self.stage.run(_maker(entry, want_legal=self._want_legal))
        self._opened = True
        log.begun = begun = await self.stage.run(self.session.begin, self.spec.seed, entry.options, entry.split)
        feedback = lines(begun.landing.said, entry.feedback)
        log.reset = Reset(stored(begun.landing.observation), feedback, begun.landing.digest)
        log.success = begun.landing.success
        if not self._max_steps:
            self._max_steps = default_max_steps(entry.env_id) or DEFAULT_MAX_STEPS
        brief = TaskBrief(entry.env_id, begun.goal, self._max_steps, self._budget.max_turns or self._max_steps)
        aids = Aids(
            _OracleProxy(self) if "oracle" in factory.needs else None,
            _AffordanceProxy(self) if "affordance" in factory.needs else None,
        )
        with boundary("agent"):
            config = msgspec.convert(entry.agent.config, factory.config)
            self.agent = factory(config, self.recorders, aids)
            self.agent.reset(
                Opening(
                    brief,
                    begun.tools,
                    begun.landing.observation,
                    feedback=rows.shown(feedback),
                    legal=begun.landing.legal if self._want_legal else None,
                    rng=np.random.default_rng(int(self.spec.episode_id, 16)),
                    memory=self.spec.memory_in,
                )
            )
            log.prompt = getattr(self.agent, "system_prompt", None)
            if not isinstance(log.prompt, str | None):
                raise TypeError(f"system_prompt: expected text or None, found {type(log.prompt).__name__}")

    async def _turn(self) -> None:
        number = len(self.log.turns)
        self.log.stop = self._used_up(number)
        if self.log.stop is not None:
            return
        started = time.perf_counter()
        for recorder in self.recorders.values():
            recorder.turn = number
        turn = await self._experts_turn(number)
        if turn is None:
            with boundary("agent"):
                turn = rows.checked(await self.agent.act())
        await self._perform(number, turn, time.perf_counter() - started)

    async def _experts_turn(self, number: int) -> Turn | None:
        """Return the expert's call where the job mixes it in; None where the turn is the agent's, or the expert has none."""
        mix = self.spec.entry.oracle_mix
        if mix is None:
            return None
        drawn = float(self._mix_rng.random())  # every turn has its draw, so that another `first` moves none
        if number >= mix.first and drawn >= mix.share:
            return None
        call = await self.stage.run(self.session.oracle_next)
        return None if call is None else Turn(calls=(Call(call.tool, call.arguments),), by="oracle")

    def _used_up(self, n_turns: int) -> StopReason | None:
        if self._budget.max_turns and n_turns >= self._budget.max_turns:
            return "max_turns"
        if len(self.log.steps) >= self._max_steps or n_turns >= (self._budget.max_turns or self._max_steps):
            return "max_steps"
        # an agent and an environment that never wait give the timer no chance to ring
        return "deadline" if time.monotonic() >= self._deadline else None

    async def _perform(self, number: int, turn: Turn, agent_s: float) -> None:
        log = self.log
        calls = self._calls_of(turn)
        places = [call_id(number, i) if turn.calls or c.tool else "" for i, c in enumerate(calls)]
        done = 0
        try:
            for place, call in zip(places, calls, strict=True):
                if log.stop is None and len(log.steps) >= self._max_steps:
                    log.stop = "max_steps"
                if log.stop is not None:
                    break
                await self._step(number, place, call, agent_s if done == 0 else 0.0)
                done += 1
        finally:  # also where the environment failed: the turn was said, and its call belongs to the story
            why = _WHY.get(log.stop or "failure", "the episode had ended")
            rest = zip(places[done:], calls[done:], strict=True)
            log.turns.append(rows.turn_of(number, turn, tuple(rows.unexecuted(p, c, why) for p, c in rest)))
        if log.stop is None and turn.stop:
            log.stop = "agent_stop"
        if log.stop is None and any(r.calls and r.calls[-1].error_kind == "context" for r in self.recorders.values()):
            log.stop = "context"

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
        arguments = rows.arguments_of(call)
        # what is executed is what is stored, to the bit: decoded from the record, as a replay will decode it
        executable = ToolCall(call.tool, msgspec.json.decode(arguments.json))
        landing = await self.stage.run(self.session.execute, executable, arguments.problem)
        feedback = lines(landing.said, self.spec.entry.feedback)
        step = rows.step_of(number, place, call, arguments.json, landing, feedback, agent_s)
        log = self.log
        log.steps.append(step)
        log.return_ += landing.reward
        log.success = landing.success
        if landing.terminated:
            log.stop = "terminated"
        elif landing.truncated:
            log.stop = "max_steps"
        with boundary("agent"):
            self.agent.observe(rows.as_seen(step), legal=landing.legal if self._want_legal else None)

    async def close(self) -> None:
        """Close the environment; a simulator that fails here fails the episode."""
        if not self._opened:
            return
        try:
            await self.stage.run(self.session.close)
        except EnvFault as fault:
            self.log.failure = self.log.failure or Failure(fault.boundary, fault.type, fault.message)


def _maker(entry: Entry, *, want_legal: bool) -> Any:
    return lambda: EnvSession(entry.env_id, entry.wrappers, entry.make_options, want_legal=want_legal)
