"""A scripted planner: one strategy per environment, from text and shown feedback only.

The closed loop of Inner Monologue (arXiv 2207.05608) with a script in the model's place: it says a thought, calls a
tool, hears what came of it, and plans anew where it was told that something failed. Because it sees what a language
model would see and nothing else, ablations of feedback mean something for it. Strategies are plug-ins of the group
`trajgen.planners`; this agent knows none by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import msgspec
from msgspec import Struct

from trajgen import registry
from trajgen.errors import UnknownName

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from trajgen.protocols import Aids, Backend, Opening, PlannerStrategy
    from trajgen.types import Feedback, Need, Step, ToolCall, Turn


class PlannerConfig(Struct, frozen=True):
    """It has no keys."""


class PlannerAgent:
    """Hands everything shown to the environment's strategy, and plays what it says."""

    version: ClassVar[str] = "1"
    needs: ClassVar[frozenset[Need]] = frozenset()
    config: ClassVar[type[Struct]] = PlannerConfig
    backends: ClassVar[tuple[str, ...]] = ()
    prompts: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: PlannerConfig, backends: Mapping[str, Backend], aids: Aids) -> None:
        """Take what every factory is given; it needs none of it."""

    def reset(self, opening: Opening) -> None:
        """Find the strategy and start it.

        Raises:
            UnknownName: nobody wrote a strategy for this environment.
        """
        self._strategy = _strategy(opening.task.env_id)
        self._strategy.start(opening.observation.text, opening.tools, _shown(opening.feedback), opening.rng)

    async def act(self) -> Turn:
        """Play the strategy's next turn."""
        return self._strategy.next()

    def observe(self, step: Step, *, legal: Sequence[ToolCall] | None) -> None:
        """Tell the strategy what it may know."""
        self._strategy.saw(msgspec.structs.replace(step, feedback=_shown(step.feedback)))


def _shown(feedback: Iterable[Feedback]) -> tuple[Feedback, ...]:
    return tuple(f for f in feedback if f.shown)


def _strategy(env_id: str) -> PlannerStrategy:
    # "package.module:Id-v0" imports the module first; the id is what strategies are registered under
    found = registry.planner(env_id.rpartition(":")[2])
    if found is None:
        known = ", ".join(registry.plug_ins("planners")) or "none"
        raise UnknownName(
            f"agent planner: no strategy for {env_id!r}; environments that have one: {known}. "
            f'Write one (trajgen.protocols.PlannerStrategy) and register it in the entry-point group "trajgen.planners"'
        )
    return found()
