"""The arguments of one call as a model wrote them -> a JSON object, or a sentence that says what is wrong. Never raises.

Shared by all formats. Stricter than `json.loads`, since whatever passes is executed, stored and replayed: no NaN, no
infinity, no key twice, no half of a surrogate pair, no number that other parsers would read differently.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trajgen.types import Json

MAX_DEPTH = 32
MAX_DIGITS = 1_000
_SHOWN = 60
_LONG_NUMBER = re.compile(r"\d{18}")
_SURROGATE = re.compile("[\ud800-\udfff]")
# a string that is never closed reaches to the end, and `*+` never goes back: linear on hostile text
_MARKS = re.compile(r'"(?:[^"\\]|\\.)*+\\?(?:"|\Z)|[\[{\]}]', re.DOTALL)


class Parsed(NamedTuple):
    """Either `value`, or `problem`: what is wrong, as the end of a sentence that begins "the arguments ...".

    Attributes:
        decoded_twice: The object was found inside a JSON string, as some models write it.
    """

    value: Mapping[str, Json]
    problem: str | None = None
    decoded_twice: bool = False


def parse_object(raw: str) -> Parsed:
    """Read `raw` as one JSON object; nothing at all is read as an object without keys."""
    if not raw or raw.isspace():
        return Parsed({})
    if (plain := _plain(raw)) is not None:
        return Parsed(plain)
    try:
        value = _strict(raw)
        twice = isinstance(value, str)
        if twice:
            value = _strict(value)
    except _Unusable as why:
        return Parsed({}, str(why))
    if isinstance(value, dict):
        return Parsed(value, decoded_twice=twice)
    return Parsed({}, f'must be a JSON object such as {{"name": "value"}}, found {_kind(value)}: {cut(raw)}')


def storable(text: str) -> str:
    r"""Write halves of surrogate pairs as `\udXXX`, since no UTF-8 file can hold them; leave all else as it is."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def readable(text: str) -> str:
    """Replace halves of surrogate pairs by U+FFFD, for text that is shown to people and models."""
    return text if text.isascii() else _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)


def cut(text: str, limit: int = _SHOWN) -> str:
    """Quote text a model wrote for a message, on one line, cut to about `limit` characters."""
    shown = storable(text[: limit + 1]).encode("unicode_escape").decode() if not text.isprintable() else text
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."


class _Unusable(Exception):
    """Why a text is not usable JSON."""


def _plain(raw: str) -> dict[str, Any] | None:
    """Read an everyday object at a quarter of the cost; None where the careful way has to decide.

    orjson refuses all that is refused here but three things, which are looked for: depth, whole numbers beyond 64 bits
    (which it would round), and keys given twice (a pair of quotes that belongs to no text of the result).
    """
    if "\\" in raw or raw[0] != "{" or _LONG_NUMBER.search(raw) or raw.count("[") + raw.count("{") > MAX_DEPTH:
        return None
    try:
        value: dict[str, Any] = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return value if raw.count('"') == 2 * _n_texts(value) else None


def _n_texts(value: Any) -> int:  # any JSON value
    if isinstance(value, str):
        return 1
    if isinstance(value, dict):
        return len(value) + sum(map(_n_texts, value.values()))
    return sum(map(_n_texts, value)) if isinstance(value, list) else 0


def _strict(text: str) -> Any:  # any JSON value
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        raise _Unusable(f"are nested more than {MAX_DEPTH} deep")
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise _Unusable(f"are not JSON: {error.msg} at character {error.pos + 1} of: {cut(text)}") from None
    if not text.isascii() or "\\u" in text:
        _refuse_surrogates(value)
    return value


def _depth(text: str) -> int:
    """Return how deep brackets nest outside strings; an upper bound where the text is not JSON."""
    deepest = depth = 0
    for mark in _MARKS.findall(text):
        if mark in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif mark in "]}":
            depth -= 1
    return deepest


def _refuse_surrogates(value: Any) -> None:  # any JSON value
    if isinstance(value, str):
        if _SURROGATE.search(value):
            raise _Unusable(f"hold half of a surrogate pair, which is no character: {cut(value)}")
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_surrogates(key)
            _refuse_surrogates(item)
    elif isinstance(value, list):
        for item in value:
            _refuse_surrogates(item)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        raise _Unusable(f"give {cut(counts.most_common(1)[0][0])!r} twice")
    return found


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise _Unusable(f"hold a whole number of {len(digits)} characters; at most {MAX_DIGITS} are read")
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if number in {float("inf"), float("-inf")}:
        raise _Unusable(f"hold a number too large for a float: {cut(digits)}")
    return number


def _constant(name: str) -> float:
    raise _Unusable(f"hold {name}, which is not JSON; give a finite number, or leave the key away")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant)


def _kind(value: Any) -> str:  # any JSON value
    kinds = {"list": "a list", "str": "text", "bool": "true or false", "NoneType": "null"}
    return kinds.get(type(value).__name__, "a number")
