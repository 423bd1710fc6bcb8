"""Finds what an environment can do beside `step`, whatever wrappers are around it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    import gymnasium

P = TypeVar("P")


def find(env: gymnasium.Env[Any, Any], ability: type[P]) -> P | None:
    """Return the outermost layer of `env` that has `ability`, a protocol of `trajgen.protocols`; None if none has.

    From the outside in, so that a stateful wrapper's snapshot, which holds the inner one, wins.
    """
    names = _methods(ability)
    layer: object | None = env
    while layer is not None:
        if all(callable(getattr(layer, name, None)) for name in names):
            return cast("P", layer)
        layer = getattr(layer, "env", None)
    return None


@functools.cache
def _methods(ability: type[Any]) -> tuple[str, ...]:
    """Return what a protocol asks for; `isinstance` finds that out anew each time, which an episode would feel."""
    return tuple(name for name in vars(ability) if not name.startswith("_"))
