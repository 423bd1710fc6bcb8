"""A foreign observation -> text and arrays. Knows no environment.

The text is for reading: numbers rounded to 4 digits, long arrays summed up in a line. The arrays are exact copies, one
per leaf of the space under its path (`observation` where the space has no parts), and strings are text only.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from gymnasium import spaces

from trajgen.errors import ConfigError
from trajgen.strict import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = "observation"
MAX_NAMED = 64  # components that are told one by one with their names
MAX_LISTED = 160  # numbers that are told as a bare list
_IMAGE_RANK = 3
_IMAGE_DEPTHS = (1, 3, 4)


class Seen(NamedTuple):
    """One foreign observation.

    Attributes:
        text: For reading; rounded.
        arrays: path -> the exact values, copied.
        strings: path -> the parts that are text.
    """

    text: str
    arrays: Mapping[str, Any]
    strings: Mapping[str, str]


class _Leaf(NamedTuple):
    path: str
    steps: tuple[Any, ...]  # keys and indexes that lead to it
    space: spaces.Space[Any]
    names: tuple[str, ...] | None
    short_names: tuple[str, ...]  # without the unit, which is told once


class ObservationReader:
    """Tells what observations of one space mean, and reads them.

    Args:
        names: Of the components of an array, in C order; ignored where the space is no array of that size.
        where: What a message begins with: the environment's id.

    Raises:
        ConfigError: the space holds a part of no fixed shape.
    """

    def __init__(self, space: spaces.Space[Any], names: Sequence[str] | None = None, where: str = "") -> None:
        fits = names is not None and isinstance(space, spaces.Box) and len(names) == math.prod(space.shape)
        self._leaves = tuple(_leaves(space, (), tuple(names) if fits and names else None, where))

    def meaning(self) -> str:
        """Return what the observation holds and in what ranges, one line per part."""
        return "\n".join(line for leaf in self._leaves for line in _meaning(leaf))

    def read(self, observation: Any) -> Seen:
        """Put one observation into words and arrays."""
        parts, arrays, strings = [], {}, {}
        for leaf in self._leaves:
            value = observation
            for step in leaf.steps:
                value = value[step]
            if isinstance(value, str):
                strings[leaf.path] = value
                parts.append(value if leaf.path == ROOT else f"{leaf.path}: {value}")
            else:
                arrays[leaf.path] = array = np.array(value)  # a copy: simulators reuse their buffers
                parts.append(_told(leaf, array))
        return Seen("\n".join(parts), arrays, strings)


def _leaves(
    space: spaces.Space[Any], steps: tuple[Any, ...], names: tuple[str, ...] | None, where: str
) -> Iterator[_Leaf]:
    if isinstance(space, spaces.Dict):
        for key, sub in space.spaces.items():
            yield from _leaves(sub, (*steps, key), None, where)
    elif isinstance(space, spaces.Tuple):
        for i, sub in enumerate(space.spaces):
            yield from _leaves(sub, (*steps, i), None, where)
    elif isinstance(space, (spaces.Graph, spaces.Sequence, spaces.OneOf)):
        raise ConfigError(
            f"{where or 'observation space'}: expected an observation space of Box, Discrete, MultiDiscrete, "
            f"MultiBinary, Text, Dict and Tuple, found {shown(space)}; wrap the environment so that it has one of these"
        )
    else:
        short = tuple(name.partition(" (")[0] for name in names or ())
        yield _Leaf(".".join(map(str, steps)) or ROOT, steps, space, names, short)


# ------------------------------------------------------------------------------------- what it means


def _meaning(leaf: _Leaf) -> Iterator[str]:
    space = leaf.space
    if isinstance(space, spaces.Box):
        yield from _box_meaning(leaf, space)
    elif isinstance(space, spaces.Discrete):
        yield f"- {leaf.path}: a whole number from {int(space.start)} to {int(space.start + space.n - 1)}"
    elif isinstance(space, spaces.MultiDiscrete):
        last = (space.start + space.nvec - 1).ravel().tolist()
        ranges = ", ".join(f"{a} to {b}" for a, b in zip(space.start.ravel().tolist(), last, strict=True))
        size = len(last)
        yield f"- {leaf.path}: {size} whole numbers" + (f": {ranges}" if size <= MAX_NAMED else "")
    elif isinstance(space, spaces.MultiBinary):
        yield f"- {leaf.path}: {math.prod(space.shape)} numbers, each 0 or 1"
    else:
        yield f"- {leaf.path}: text"


def _box_meaning(leaf: _Leaf, space: spaces.Box) -> Iterator[str]:
    size = math.prod(space.shape)
    low, high = space.low.ravel().tolist(), space.high.ravel().tolist()
    if leaf.names is not None and size <= MAX_NAMED:
        for name, a, b in zip(leaf.names, low, high, strict=True):
            yield f"- {name}{_range(a, b)}"
        return
    if _is_image(space):
        yield f"- {leaf.path}: an image of {space.shape[1]} x {space.shape[0]} pixels"
        return
    shape = f" in shape {space.shape}" if len(space.shape) > 1 else ""
    if leaf.names is not None and size <= MAX_LISTED:
        yield f"- {leaf.path}: {size} numbers, in this order: {', '.join(leaf.names)}"
        return
    ranges = sorted(set(zip(low, high, strict=True)))
    if len(ranges) > 1 and size <= MAX_NAMED:
        each = "; ".join(f"{i}{_range(a, b)}" for i, (a, b) in enumerate(zip(low, high, strict=True)))
        yield f"- {leaf.path}: {size} numbers{shape}: {each}"
        return
    yield f"- {leaf.path}: {size} numbers{shape}" + (_range(*ranges[0]) if len(ranges) == 1 else "")


def _range(low: float, high: float) -> str:
    if math.isinf(low) and math.isinf(high):
        return ", any number"
    if math.isinf(high):
        return f", at least {_short(low)}"
    if math.isinf(low):
        return f", at most {_short(high)}"
    return f", from {_short(low)} to {_short(high)}"


def _is_image(space: spaces.Box) -> bool:
    return space.dtype == np.uint8 and len(space.shape) == _IMAGE_RANK and space.shape[2] in _IMAGE_DEPTHS


# ------------------------------------------------------------------------------------- what it is now


def _short(value: float) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _told(leaf: _Leaf, array: Any) -> str:
    if leaf.names is not None and array.size == len(leaf.names) <= MAX_NAMED:
        return ", ".join(
            [f"{name} {_short(value)}" for name, value in zip(leaf.short_names, array.ravel().tolist(), strict=True)]
        )
    if array.ndim == 0:
        return f"{leaf.path}: {_short(array.item())}"
    if isinstance(leaf.space, spaces.Box) and _is_image(leaf.space):
        means = ", ".join(_short(float(mean)) for mean in array.mean(axis=(0, 1)))
        return f"{leaf.path}: an image of {array.shape[1]} x {array.shape[0]} pixels, mean colour ({means})"
    if array.size > MAX_LISTED:
        with np.errstate(over="ignore", invalid="ignore"):  # infinite numbers are told as they are
            low, high, mean = (_short(float(x)) for x in (array.min(), array.max(), array.mean(dtype=np.float64)))
        return f"{leaf.path}: {array.size} numbers from {low} to {high}, mean {mean}"
    return f"{leaf.path}: [{', '.join([_short(value) for value in array.ravel().tolist()])}]"
