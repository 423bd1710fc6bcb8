"""Finds what an environment can do beside `step`, whatever wrappers are around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import gymnasium

P = TypeVar("P")


def find(env: gymnasium.Env[Any, Any], ability: type[P]) -> P | None:
    """Return the outermost layer of `env` that has `ability`, a protocol of `trajgen.protocols`; None if none has.

    From the outside in, so that a stateful wrapper's snapshot, which holds the inner one, wins.
    """
    layer: object | None = env
    while layer is not None:
        if isinstance(layer, ability):
            return layer
        layer = getattr(layer, "env", None)
    return None
