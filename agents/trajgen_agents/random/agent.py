"""Valid calls drawn at random from the tools; never from the legal ones, which would be a hint."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from msgspec import Struct

from trajgen.spaces import ToolSpace
from trajgen.types import Call, Turn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trajgen.protocols import Aids, Backend, Opening
    from trajgen.types import Need, Step, ToolCall


class RandomConfig(Struct, frozen=True):
    """It has no keys."""


class RandomAgent:
    """The floor every other agent is measured against."""

    version: ClassVar[str] = "1"
    needs: ClassVar[frozenset[Need]] = frozenset()
    config: ClassVar[type[Struct]] = RandomConfig
    backends: ClassVar[tuple[str, ...]] = ()
    prompts: ClassVar[tuple[str, ...]] = ()
    reads_feedback: ClassVar[bool] = False

    def __init__(self, config: RandomConfig, backends: Mapping[str, Backend], aids: Aids) -> None:
        """Take what every factory is given; it needs none of it."""

    def reset(self, opening: Opening) -> None:
        """Seed the draw."""
        self._space = ToolSpace(opening.tools, seed=int(opening.rng.integers(2**31)))

    async def act(self) -> Turn:
        """Draw one call."""
        call = self._space.sample()
        return Turn(calls=(Call(call.tool, call.arguments),))

    def observe(self, step: Step, *, legal: Sequence[ToolCall] | None) -> None:
        """Learn nothing."""
