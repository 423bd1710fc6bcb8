"""What trajgen asks of every agent, as tests to subclass; see `trajgen.testing.contract`. Knows no engine."""

from __future__ import annotations

import asyncio
import gc
import sys
import types
from typing import TYPE_CHECKING, Any, ClassVar

import gymnasium
import pytest

from trajgen import registry
from trajgen.spaces import ToolSpace
from trajgen.testing.drive import Drive, Played, play
from trajgen.testing.env_contract import require
from trajgen.testing.fakes import COUNTER_ID
from trajgen.types import DEFAULT_SHOWN, ToolCall

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trajgen.protocols import AgentFactory, Backend
    from trajgen.types import Json


class AgentContract:
    """Subclass it, name it Test..., set `agent`.

    Attributes:
        agent: Its registered name, or its class.
        agent_config: Keys of its table.
        env_id: What it is played in; by default `CounterEnv`, which has every ability.
        options: For every reset of the environment.
        seeds: Tasks it is played on.
        max_steps: Budget of an episode.
    """

    agent: ClassVar[Any] = ""  # a name or an AgentFactory
    agent_config: ClassVar[Mapping[str, Json]] = {}
    env_id: ClassVar[str] = COUNTER_ID
    options: ClassVar[Mapping[str, Json]] = {}
    seeds: ClassVar[Sequence[int]] = range(5)
    max_steps: ClassVar[int] = 20

    def backends(self) -> Mapping[str, Backend]:
        """Return a new backend for each role the agent names; override it for agents with a model."""
        return {}

    def play(self, **how: Any) -> Played:  # keywords of `Drive`
        """Play one episode."""
        return play(self.env_id, self._factory(), **self._how(how))

    def _how(self, how: Mapping[str, Any]) -> dict[str, Any]:
        usual = {"config": self.agent_config, "options": self.options, "max_steps": self.max_steps}
        return {**usual, "backends": self.backends(), **how}

    def _factory(self) -> AgentFactory:
        require(bool(self.agent), f"{type(self).__name__}: set agent")
        if self.env_id == COUNTER_ID and COUNTER_ID not in gymnasium.registry:
            gymnasium.register(COUNTER_ID, entry_point="trajgen.testing.fakes:CounterEnv")
        if isinstance(self.agent, str):
            return registry.agent(self.agent)
        factory: AgentFactory = self.agent
        return factory

    def test_it_says_what_it_is(self) -> None:
        """Have a version, needs that exist, a config and the names of its backends."""
        factory = self._factory()
        require(isinstance(factory.version, str) and bool(factory.version), f"version: found {factory.version!r}")
        unknown = set(factory.needs) - {"oracle", "affordance", "legal", "score"}
        require(not unknown, f"needs: unknown {sorted(unknown)}")
        require(isinstance(factory.prompts, tuple), "prompts: expected a tuple of every fixed text it uses")
        missing = set(factory.backends) - set(self.backends())
        require(not missing, f"override `backends` to return {sorted(missing)}")

    def test_the_same_generator_gives_the_same_turns(self) -> None:
        """Draw from `rng` alone: no clock, no global generator, nothing kept between episodes."""
        for seed in self.seeds:
            first, again = self.play(seed=seed, rng_seed=seed), self.play(seed=seed, rng_seed=seed)
            require(bool(first.turns), f"seed {seed}: it took no turn")
            require(first.turns == again.turns, f"seed {seed}: other turns the second time")

    def test_episodes_side_by_side_do_not_mix(self) -> None:
        """Play the same whether alone or among others in one event loop."""
        alone = [self.play(seed=seed, rng_seed=seed).turns for seed in self.seeds]

        async def together() -> list[Played]:
            drives = [Drive(self.env_id, self._factory(), **self._how({"seed": s, "rng_seed": s})) for s in self.seeds]
            return await asyncio.gather(*[drive.play() for drive in drives])

        mixed = [played.turns for played in asyncio.run(together())]
        require(mixed == alone, "other turns when several episodes are played at once")

    def test_its_calls_fit_or_are_labelled(self) -> None:
        """Emit calls that fit, unless a model wrote them (`raw`) or it says itself what is wrong (`problem`)."""
        for seed in self.seeds:
            played = self.play(seed=seed)
            space = ToolSpace(played.tools)
            for call in (c for turn in played.turns for c in turn.calls):
                problem = space.problem(ToolCall(call.tool, call.arguments))
                honest = problem is None or call.problem is not None or call.raw is not None
                require(honest, f"seed {seed}: {call.tool}: {problem}")

    def test_it_never_says_what_it_was_not_told(self) -> None:
        """Speak of shown feedback only. Agents that ask for the oracle may know more."""
        if "oracle" in self._factory().needs:
            pytest.skip("it may read the state")
        for shown in (DEFAULT_SHOWN, ("error",), ()):
            played = self.play(shown=shown)
            told = "\n".join(played.told)
            secret = [line for line in played.hidden if line not in told]
            for turn in played.turns:
                said = "\n".join(filter(None, (turn.text, turn.reasoning, turn.plan)))
                leaked = [line for line in secret if line in said]
                require(not leaked, f"shown {list(shown)}: it said {leaked}, which it was not told")

    def test_it_does_not_hold_the_environment(self) -> None:
        """Reach the environment through what it was handed alone."""
        drive = Drive(self.env_id, self._factory(), **self._how({}))
        asyncio.run(drive.play())
        found = _reachable(drive.agent, gymnasium.Env, beyond=(drive.aids, *drive.aids))
        require(found is None, f"the agent holds the environment: {found}")


_OPAQUE = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.FrameType, type, str, bytes, int)


def _reachable(root: object, kind: type, beyond: Sequence[object]) -> str | None:
    """Return the type names on the way from `root` to an instance of `kind`; None where there is no way."""
    seen = {id(o) for o in (*beyond, sys.modules)}
    ways: list[tuple[object, str]] = [(root, type(root).__name__)]
    while ways:
        at, way = ways.pop()
        if isinstance(at, kind):
            return way
        if id(at) in seen or isinstance(at, _OPAQUE):
            continue
        seen.add(id(at))
        ways += [(o, f"{way} > {type(o).__name__}") for o in gc.get_referents(at)]
    return None
