"""A foreign action space -> one tool, and the arguments of a call -> an action. Knows no environment.

Every scalar of the space becomes one argument; an array of more than `MAX_ARGUMENTS` scalars becomes one list. What is
stored of a call are its JSON arguments, and the cast to the space's own dtype happens here and nowhere else, so the
same arguments give the same action to the bit. Dict and Tuple spaces may be nested; `Sequence`, `Graph` and `OneOf`
have no fixed number of parts and are refused.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from gymnasium import spaces

from trajgen.errors import ConfigError
from trajgen.strict import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from trajgen.types import Json

MAX_ARGUMENTS = 32  # scalars of one array that still become arguments of their own
_MAX_NAME = 64  # what tool-calling servers accept
_ROOT = "action"

Read = Any  # Callable[[Mapping[str, Json]], Any]: arguments -> (a part of) the action


class Unfit(Exception):
    """The arguments fit the schema, but no action of the space has these values. Says which."""


class ActionReader(NamedTuple):
    """How to call a space.

    Attributes:
        properties: name -> JSON Schema of every argument; all are required.
        read: Arguments that fit the schema -> an action of the space. Raises `Unfit`.
    """

    properties: Mapping[str, Json]
    read: Callable[[Mapping[str, Json]], Any]


class _Part(NamedTuple):
    properties: dict[str, Json]
    read: Read
    exact: bool  # every value that fits the schema is in the space


def action_reader(space: spaces.Space[Any], names: Sequence[str] | None = None, where: str = "") -> ActionReader:
    """Return how to call `space`.

    Args:
        names: Of the values of a Discrete space, or of the components of an array, in C order.
        where: What a message begins with: the environment's id.

    Raises:
        ConfigError: the space holds a part that cannot be called by words.
        ValueError: `names` has another length than the space.
    """
    part = _Compiler(where).part(space, "", names)
    if part.exact:
        return ActionReader(part.properties, part.read)
    return ActionReader(part.properties, _checked(part.read, space))


def _checked(read: Read, space: spaces.Space[Any]) -> Read:
    def read_and_check(arguments: Mapping[str, Json]) -> Any:
        try:
            with np.errstate(over="ignore"):
                action = read(arguments)
        except OverflowError as error:
            raise Unfit(f"a number is too large: {error}") from None
        if not _finite(action) or not space.contains(action):
            raise Unfit(f"the arguments are not in the action space {shown(space, 200)}")
        return action

    return read_and_check


def _finite(action: Any) -> bool:
    """Say whether no number became infinite when it was cast; spaces without bounds contain infinity."""
    if isinstance(action, dict):
        return all(map(_finite, action.values()))
    if isinstance(action, tuple):
        return all(map(_finite, action))
    return not isinstance(action, np.ndarray) or action.dtype.kind != "f" or bool(np.isfinite(action).all())


class _Compiler:
    """Walks one space; holds the argument names that are taken."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.taken: set[str] = set()

    def part(self, space: spaces.Space[Any], path: str, names: Sequence[str] | None = None) -> _Part:
        match space:
            case spaces.Discrete():
                return self.discrete(space, path, names)
            case spaces.Box() | spaces.MultiDiscrete() | spaces.MultiBinary():
                return self.array(space, path, names)
            case spaces.Text():
                return self.text(space, path)
            case spaces.Dict():
                parts = {key: self.part(sub, _joined(path, str(key))) for key, sub in space.spaces.items()}
                return self.merged(list(parts.values()), _read_dict({k: p.read for k, p in parts.items()}))
            case spaces.Tuple():
                listed = [self.part(sub, _joined(path or _ROOT, str(i))) for i, sub in enumerate(space.spaces)]
                return self.merged(listed, _read_tuple([p.read for p in listed]))
        at = f" at {path!r}" if path else ""
        raise ConfigError(
            f"{self.where or 'action space'}: expected an action space of Discrete, Box, MultiDiscrete, MultiBinary, "
            f"Text, Dict and Tuple, found {shown(space)}{at}; wrap the environment so that it has one of these"
        )

    def merged(self, parts: list[_Part], read: Read) -> _Part:
        properties = {name: schema for part in parts for name, schema in part.properties.items()}
        return _Part(properties, read, all(part.exact for part in parts))

    def name(self, wanted: str) -> str:
        """Return `wanted` as an argument name that is not taken yet."""
        clean = re.sub(r"[^A-Za-z0-9_-]+", "_", wanted).strip("_")[:_MAX_NAME] or _ROOT
        found, n = clean, 1
        while found in self.taken:
            n += 1
            found = f"{clean[: _MAX_NAME - 8]}_{n}"
        self.taken.add(found)
        return found

    def discrete(self, space: spaces.Discrete, path: str, names: Sequence[str] | None) -> _Part:
        key, first, n = self.name(path or _ROOT), int(space.start), int(space.n)
        if names is None:
            schema = {"type": "integer", "minimum": first, "maximum": first + n - 1}
            return _Part({key: schema}, lambda arguments: int(arguments[key]), exact=True)
        self.same_length(names, n)
        values = {name: first + i for i, name in enumerate(names)}
        if len(values) != n:
            raise ValueError(f"{self.where}: two actions share a name: {list(names)}")
        return _Part({key: {"type": "string", "enum": list(values)}}, lambda a: values[a[key]], exact=True)

    def array(
        self, space: spaces.Box | spaces.MultiDiscrete | spaces.MultiBinary, path: str, names: Sequence[str] | None
    ) -> _Part:
        shape, dtype = space.shape, np.dtype(space.dtype or np.int8)
        size = math.prod(shape)
        items, exact = _item_schemas(space, size)
        if names is not None:
            self.same_length(names, size)
        if size > MAX_ARGUMENTS:
            return self.listed(items, shape, dtype, path, exact=exact)
        wanted = names or [path or _ROOT] * (size == 1) or [f"{path or _ROOT}_{i}" for i in range(size)]
        keys = [self.name(name) for name in wanted]
        cast = _CASTS[dtype.kind]

        def read(arguments: Mapping[str, Json]) -> Any:
            return np.array([cast(arguments[key]) for key in keys], dtype).reshape(shape)

        return _Part(dict(zip(keys, items, strict=True)), read, exact)

    def listed(
        self, items: list[dict[str, Json]], shape: tuple[int, ...], dtype: np.dtype[Any], path: str, *, exact: bool
    ) -> _Part:
        """Return one list argument; its items' bounds are the widest ones."""
        key, n, cast = self.name(path or _ROOT), len(items), _CASTS[dtype.kind]
        widest = dict(items[0])
        for bound, widen in (("minimum", min), ("maximum", max)):
            found = [item[bound] for item in items if bound in item]
            widest.pop(bound, None)
            if len(found) == n:
                widest[bound] = widen(found)
        schema: dict[str, Json] = {"type": "array", "minItems": n, "maxItems": n, "items": widest}
        if len(shape) > 1:
            schema["description"] = f"An array of shape {shape}, flattened row by row."

        def read(arguments: Mapping[str, Json]) -> Any:
            return np.array([cast(item) for item in arguments[key]], dtype).reshape(shape)

        return _Part({key: schema}, read, exact and all(item == items[0] for item in items))

    def text(self, space: spaces.Text, path: str) -> _Part:
        key = self.name(path or _ROOT)
        characters = space.characters
        if space.max_length == 1:
            return _Part(
                {key: {"type": "string", "enum": [""] * (space.min_length == 0) + list(characters)}},
                lambda arguments: arguments[key],
                exact=True,
            )
        schema = {
            "type": "string",
            "minLength": space.min_length,
            "maxLength": space.max_length,
            "description": f"Made of the characters {characters}",
        }
        # the schema cannot say the characters in a keyword that every sampler knows
        return _Part({key: schema}, lambda arguments: arguments[key], exact=False)

    def same_length(self, names: Sequence[str], n: int) -> None:
        if len(names) != n:
            raise ValueError(f"{self.where}: expected {n} action names, found {len(names)}: {list(names)}")


def _joined(path: str, key: str) -> str:
    return f"{path}_{key}" if path else key


def _read_dict(reads: Mapping[str, Read]) -> Read:
    return lambda arguments: {key: read(arguments) for key, read in reads.items()}


def _read_tuple(reads: Sequence[Read]) -> Read:
    return lambda arguments: tuple(read(arguments) for read in reads)


# JSON writes 1.0 and 1 as it likes; the cast decides
_CASTS: dict[str, Callable[[Any], Any]] = {"f": float, "i": int, "u": int, "b": bool}


def _item_schemas(
    space: spaces.Box | spaces.MultiDiscrete | spaces.MultiBinary, size: int
) -> tuple[list[dict[str, Json]], bool]:
    """Return the schema of each component in C order, and whether the schemas say all the space asks."""
    if isinstance(space, spaces.MultiBinary):
        return [{"type": "integer", "minimum": 0, "maximum": 1} for _ in range(size)], True
    if isinstance(space, spaces.MultiDiscrete):
        firsts, counts = space.start.ravel().tolist(), space.nvec.ravel().tolist()
        return [
            {"type": "integer", "minimum": first, "maximum": first + n - 1}
            for first, n in zip(firsts, counts, strict=True)
        ], True
    if space.dtype is not None and space.dtype.kind == "b":
        return [{"type": "boolean"} for _ in range(size)], True
    low, high = np.broadcast_to(space.low, space.shape).ravel(), np.broadcast_to(space.high, space.shape).ravel()
    return [_number(a, b) for a, b in zip(low, high, strict=True)], bool(_tight(low).all() and _tight(high).all())


def _tight(bounds: NDArray[Any]) -> NDArray[np.bool_]:
    """Say which bounds a schema can hold: not infinite, nor so far out that drawing between them overflows."""
    if bounds.dtype.kind == "f":
        limit = min(float(np.finfo(bounds.dtype).max), 1e307) / 4
        return np.asarray(np.abs(bounds.astype(np.float64)) < limit)
    return np.array([abs(int(b)) < 2**62 for b in bounds], np.bool_)


def _number(low: Any, high: Any) -> dict[str, Json]:
    """Return the schema of one number between two numpy scalars.

    The bounds are written as short decimals (0.4, not 0.4000000059604645): rounding to the dtype keeps order, so
    whatever lies between the decimals lands between the true bounds.
    """
    schema: dict[str, Json] = {"type": "number" if low.dtype.kind == "f" else "integer"}
    convert = float if low.dtype.kind == "f" else int
    for keyword, bound in (("minimum", low), ("maximum", high)):
        if _tight(np.array([bound]))[0]:
            schema[keyword] = convert(str(bound))
    return schema
