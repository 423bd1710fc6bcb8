"""The halving strategy as an agent of its own, with a key and a lesson between trials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from msgspec import Meta, Struct

from counting.planner import HalvingPlanner
from trajgen.types import Turn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trajgen.protocols import Aids, Backend, Opening
    from trajgen.types import Need, Outcome, Step, ToolCall


class HalvingConfig(Struct, frozen=True):
    """Keys: how many guesses it makes before it gives up."""

    patience: Annotated[int, Meta(ge=1)] = 10


class HalvingAgent:
    """Halves, and remembers between trials how far it came."""

    version: ClassVar[str] = "1"
    needs: ClassVar[frozenset[Need]] = frozenset()
    config: ClassVar[type[Struct]] = HalvingConfig
    backends: ClassVar[tuple[str, ...]] = ()
    prompts: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: HalvingConfig, backends: Mapping[str, Backend], aids: Aids) -> None:
        self._left = config.patience
        self._strategy = HalvingPlanner()

    def reset(self, opening: Opening) -> None:
        """Begin where the last trial ended."""
        self._strategy.start(opening.observation.text, opening.tools, opening.feedback, opening.rng)
        if opening.memory is not None:
            self._strategy._low, self._strategy._high = map(int, opening.memory.split(".."))

    async def act(self) -> Turn:
        """Guess, or give up."""
        self._left -= 1
        return self._strategy.next() if self._left >= 0 else Turn(text="I give up.", stop=True)

    def observe(self, step: Step, *, legal: Sequence[ToolCall] | None) -> None:
        """Narrow the range."""
        self._strategy.saw(step)

    async def reflect(self, outcome: Outcome) -> str:
        """Hand the range on."""
        return f"{self._strategy._low}..{self._strategy._high}"
