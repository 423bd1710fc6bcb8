"""Plays what the environment's own expert says. It may peek, so it is never the subject of an ablation."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from msgspec import Struct

from trajgen.types import Call, Turn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trajgen.protocols import Aids, Backend, Opening
    from trajgen.types import Need, Step, ToolCall


class OracleConfig(Struct, frozen=True):
    """It has no keys."""


class OracleAgent:
    """One call of the expert a turn, until the expert has no more."""

    version: ClassVar[str] = "1"
    needs: ClassVar[frozenset[Need]] = frozenset({"oracle"})
    config: ClassVar[type[Struct]] = OracleConfig
    backends: ClassVar[tuple[str, ...]] = ()
    prompts: ClassVar[tuple[str, ...]] = ()
    reads_feedback: ClassVar[bool] = False

    def __init__(self, config: OracleConfig, backends: Mapping[str, Backend], aids: Aids) -> None:
        """Keep the expert."""
        if aids.oracle is None:
            raise ValueError("the oracle agent was handed no oracle")
        self._oracle = aids.oracle

    def reset(self, opening: Opening) -> None:
        """Need nothing: the expert reads the state."""

    async def act(self) -> Turn:
        """Play the expert's next call; stop when it has none."""
        call = await self._oracle.next()
        if call is None:
            return Turn(by="oracle", stop=True)
        return Turn(by="oracle", calls=(Call(call.tool, call.arguments),))

    def observe(self, step: Step, *, legal: Sequence[ToolCall] | None) -> None:
        """Need nothing: the expert reads the state."""
