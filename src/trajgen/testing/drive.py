"""One agent in one environment, driven by a loop of twenty lines: what contracts and examples need, and no more.

Not the engine: no budget of time, no record, no recovery. Hidden feedback is kept from the agent as the engine does.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from trajgen.feedback.telling import lines
from trajgen.messages import call_id
from trajgen.protocols import Aids, Opening
from trajgen.session import EnvSession
from trajgen.types import DEFAULT_SHOWN, Call, Step, TaskBrief, ToolCall, Turn, stored, to_json

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from trajgen.protocols import Agent, AgentFactory, Backend
    from trajgen.session import Landing
    from trajgen.types import Channel, Feedback, Json, Tool


class Played(NamedTuple):
    """What happened.

    Attributes:
        told: Everything the agent was told, one text after another: observations and shown feedback.
        hidden: The lines that were kept from it.
    """

    turns: tuple[Turn, ...]
    steps: tuple[Step, ...]
    success: bool | None
    tools: tuple[Tool, ...]
    told: tuple[str, ...]
    hidden: tuple[str, ...]
    agent: Agent


class _OracleAid:
    def __init__(self, session: EnvSession) -> None:
        self._session = session

    async def next(self) -> ToolCall | None:
        return self._session.oracle_next()


class _AffordanceAid:
    def __init__(self, session: EnvSession) -> None:
        self._session = session

    async def can(self, call: ToolCall) -> float:
        return self._session.can(call)


class Drive:
    """One episode.

    Args:
        env_id: As `trajgen.wrappers.making.make` takes it.
        agent: Its factory; `config` holds its keys.
        seed: Of the task; the agent's generator gets `rng_seed`.
        shown: Channels the agent is told of.
    """

    def __init__(
        self,
        env_id: str,
        agent: AgentFactory,
        *,
        config: Mapping[str, Json] | None = None,
        backends: Mapping[str, Backend] | None = None,
        options: Mapping[str, Json] | None = None,
        make_options: Mapping[str, Json] | None = None,
        seed: int = 0,
        rng_seed: int = 0,
        shown: Collection[Channel] = DEFAULT_SHOWN,
        max_steps: int = 50,
        memory: str | None = None,
    ) -> None:
        self._env_id, self._factory, self._max_steps = env_id, agent, max_steps
        self._shown, self._seed, self._rng_seed, self._memory = shown, seed, rng_seed, memory
        self._options = dict(options or {})
        self._wants_legal = "legal" in agent.needs
        self.session = EnvSession(env_id, (), dict(make_options or {}), want_legal=self._wants_legal)
        self.aids = Aids(
            _OracleAid(self.session) if "oracle" in agent.needs else None,
            _AffordanceAid(self.session) if "affordance" in agent.needs else None,
        )
        self.agent = agent(msgspec.convert(dict(config or {}), agent.config), dict(backends or {}), self.aids)
        self._turns: list[Turn] = []
        self._steps: list[Step] = []
        self._told: list[str] = []
        self._hidden: list[str] = []

    async def play(self) -> Played:
        """Play to the end of the episode, the agent's stop or `max_steps`."""
        begun = self.session.begin(self._seed, self._options, None)
        self.agent.reset(
            Opening(
                TaskBrief(self._env_id, begun.goal, self._max_steps, self._max_steps),
                begun.tools,
                begun.landing.observation,
                feedback=self._tell(begun.landing),
                legal=begun.landing.legal if self._wants_legal else None,
                rng=np.random.default_rng(self._rng_seed),
                memory=self._memory,
            )
        )
        success, over = begun.landing.success, False
        while not over and len(self._steps) < self._max_steps:
            await asyncio.sleep(0)  # let other episodes in, as the engine does
            turn = await self.agent.act()
            self._turns.append(turn)
            for index, call in enumerate(turn.calls or (() if turn.stop else (Call(None, problem=turn.problem),))):
                landing = self._step(len(self._turns) - 1, index, call, emitted=bool(turn.calls))
                success, over = landing.success, landing.terminated or landing.truncated
                if over:
                    break
            over = over or turn.stop
        self.session.close()
        return Played(
            tuple(self._turns),
            tuple(self._steps),
            success,
            tuple(begun.tools),
            tuple(self._told),
            tuple(self._hidden),
            self.agent,
        )

    def _step(self, turn: int, index: int, call: Call, *, emitted: bool) -> Landing:
        arguments = to_json(call.arguments)
        executable = ToolCall(call.tool, msgspec.json.decode(arguments))
        landing = self.session.execute(executable, call.problem)
        step = Step(
            turn=turn,
            call_id=call_id(turn, index) if emitted else "",
            tool=call.tool,
            arguments=arguments,
            raw=None if call.raw == arguments else call.raw,
            observation=stored(landing.observation),
            reward=0.0,
            terminated=landing.terminated,
            truncated=landing.truncated,
            success=None,
            feedback=self._tell(landing),
            state_digest=None,
            agent_s=0.0,
            env_s=0.0,
        )
        self._steps.append(step)
        self.agent.observe(step, legal=landing.legal if self._wants_legal else None)
        return landing

    def _tell(self, landing: Landing) -> tuple[Feedback, ...]:
        """Return what is shown; note both halves."""
        said = lines(landing.said, self._shown)
        self._told += [landing.observation.text, *[f.text for f in said if f.shown]]
        self._hidden += [f.text for f in said if not f.shown]
        return tuple(f for f in said if f.shown)


def play(env_id: str, agent: AgentFactory, **how: Any) -> Played:  # the keywords of `Drive`
    """Play one episode and return what happened."""
    return asyncio.run(Drive(env_id, agent, **how).play())
