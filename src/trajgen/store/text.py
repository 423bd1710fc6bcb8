"""Text that can be stored: no lone surrogates. Knows nothing of files.

A Python string may hold half of a UTF-16 pair (half an emoji in a cut reply, file names read with surrogateescape), which is no
text and has no UTF-8. Each is replaced by U+FFFD, once, before an episode reaches the journal, and the count is
returned; every other string is stored exactly.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from trajgen.types import Episode

_LONE = re.compile("[\ud800-\udfff]")


class Cleaned(NamedTuple):
    """An episode that can be stored, and how many lone surrogates were replaced in it."""

    episode: Episode
    n_replaced: int


def clean_text(text: str) -> str:
    """Return `text` with every lone surrogate replaced by U+FFFD; what has none is returned as it is."""
    return text if text.isascii() else _LONE.sub("\ufffd", text)


def clean(episode: Episode) -> Cleaned:
    """Clean every string of an episode. For the rare one that could not be encoded: it visits every field."""
    return Cleaned(_clean(episode), _count(episode))


def _clean(value: Any) -> Any:  # a field of a record, which may be of any type a record has
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, tuple):
        return tuple(map(_clean, value))
    if isinstance(value, msgspec.Struct):
        return type(value)(*(_clean(getattr(value, name)) for name in value.__struct_fields__))
    return value


def _count(value: Any) -> int:
    if isinstance(value, str):
        return len(_LONE.findall(value))
    if isinstance(value, tuple):
        return sum(map(_count, value))
    if isinstance(value, msgspec.Struct):
        return sum(_count(getattr(value, name)) for name in value.__struct_fields__)
    return 0
