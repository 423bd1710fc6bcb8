"""Finds what an environment can do beside `step`, whatever wrappers are around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    import gymnasium

P = TypeVar("P")


def find(env: gymnasium.Env[Any, Any], ability: type[P]) -> P | None:
    """Return the outermost layer of `env` that has `ability`, a protocol of `trajgen.protocols`; None if none has.

    From the outside in, so that a stateful wrapper's snapshot, which holds the inner one, wins.
    """
    # not `isinstance`, which costs ten times as much for a protocol, and every episode asks for five
    names = [name for name in vars(ability) if not name.startswith("_")]
    layer: object | None = env
    while layer is not None:
        if all(callable(getattr(layer, name, None)) for name in names):
            return cast("P", layer)
        layer = getattr(layer, "env", None)
    return None
