"""The state of an environment nobody described: what `vars()` shows of it. Knows no environment.

`fingerprint` reads the plain values (numbers, text, arrays, enums, generators, and lists, tuples and dicts of them);
`copied` and `put_back` are what adapters build exact snapshots from. Neither looks inside other objects, so an
environment whose state lives in one needs an adapter (`trajgen.protocols.ForeignAdapter.state`).
"""

from __future__ import annotations

import copy
import enum
import functools
import re
from typing import Any

import gymnasium
import msgspec
import numpy as np

_MAX_DEPTH = 6
_FOR_THE_EYE = re.compile(r"render|window|screen|surf|clock|viewer|isopen|_imgs?$|^tile_|^highlight$|font")
_NOT_STATE = frozenset({"spec", "metadata"})
_PLAIN = frozenset({float, int, bool, str, type(None)})
_GENERATOR = frozenset({"_np_random", "_np_random_seed"})


def is_state(name: str, value: object) -> bool:
    """Say whether an attribute can hold simulator state: no space, no picture, no window."""
    return _is_state_name(name) and not isinstance(value, (gymnasium.Space, gymnasium.Env))


@functools.lru_cache(maxsize=4_096)
def _is_state_name(name: str) -> bool:
    return name not in _NOT_STATE and _FOR_THE_EYE.search(name) is None


def fingerprint(env: object) -> bytes:
    """Return the plain attributes of an environment as bytes: equal values give equal bytes, by name.

    Its random generator is left out, as in `ForeignAdapter.state`.
    """
    plain: list[object] = []  # written at once: most attributes are numbers, and this runs at every step
    parts: list[bytes] = []
    for name, value in sorted(vars(env).items()):
        if name in _GENERATOR or not _is_state_name(name):
            continue
        if type(value) in _PLAIN:
            plain += (name, value)
        elif is_state(name, value):
            mark = len(parts)
            parts.append(name.encode())
            if not _write(value, parts, 0):
                del parts[mark:]  # an object nobody can read
    return b"\0".join([_written(plain), *parts])


def _written(plain: list[object]) -> bytes:
    try:
        return msgspec.msgpack.encode(plain)
    except OverflowError:  # an int beyond 64 bits
        return repr(plain).encode()


def _write(value: Any, parts: list[bytes], depth: int) -> bool:
    """Append `value`; say whether it could be read."""
    if type(value) in _PLAIN:
        parts.append(repr(value).encode())
    elif isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            return False
        parts.append(f"{value.dtype.str}{value.shape}".encode())
        parts.append(value.tobytes())
    elif isinstance(value, np.generic):
        parts.append(f"{value.dtype.str}{value.item()!r}".encode())
    elif isinstance(value, enum.Enum):
        parts.append(f"{type(value).__name__}.{value.name}".encode())
    elif isinstance(value, (int, float, str, bytes)):
        parts.append(repr(value).encode())
    elif isinstance(value, np.random.Generator):
        parts.append(repr(value.bit_generator.state).encode())
    else:
        return _write_many(value, parts, depth + 1)
    return True


def _write_many(value: Any, parts: list[bytes], depth: int) -> bool:
    if depth > _MAX_DEPTH:
        return False
    if isinstance(value, (list, tuple)):
        parts.append(f"{len(value)}[".encode())
        return all(_write(item, parts, depth) for item in value)
    # tables keyed by numbers (transition probabilities) are models, not state, and large
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        parts.append(f"{len(value)}{{".encode())
        return all(_write(item, parts, depth) for pair in sorted(value.items()) for item in pair)
    return False


def copied(env: Any, *leave: str) -> dict[str, Any]:
    """Return deep copies of an environment's attributes, random generator included.

    Those named in `leave`, and what is no state, are left out.
    """
    kept = {name: value for name, value in vars(env).items() if name not in leave and is_state(name, value)}
    return copy.deepcopy(kept, {id(env): env})  # objects that point back to the environment go on doing so


def put_back(env: Any, saved: dict[str, Any], *leave: str) -> None:
    """Give an environment the attributes that `copied` returned; `saved` can be put back again."""
    for name in [n for n, value in vars(env).items() if n not in saved and n not in leave and is_state(n, value)]:
        delattr(env, name)
    vars(env).update(copy.deepcopy(saved, {id(env): env}))
