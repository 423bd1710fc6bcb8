"""What lies on the table, in words: kinds, colours, names. Knows no physics."""

from __future__ import annotations

from typing import Literal, get_args

from msgspec import Struct

Kind = Literal["block", "bowl", "can"]
KINDS: tuple[Kind, ...] = get_args(Kind)
COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.84, 0.15, 0.16),
    "orange": (0.96, 0.52, 0.12),
    "yellow": (0.95, 0.80, 0.18),
    "green": (0.20, 0.60, 0.24),
    "blue": (0.14, 0.38, 0.75),
    "purple": (0.50, 0.26, 0.60),
    "pink": (0.93, 0.52, 0.70),
    "brown": (0.48, 0.31, 0.20),
    "gray": (0.52, 0.54, 0.56),
    "white": (0.95, 0.95, 0.95),
}


class Thing(Struct, frozen=True):
    """One object; kind and colour together name it, and no two of a scene are alike."""

    kind: Kind
    colour: str

    @property
    def name(self) -> str:
        """Return e.g. `red block`."""
        return f"{self.colour} {self.kind}"
