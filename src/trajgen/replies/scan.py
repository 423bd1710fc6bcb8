"""Finds JSON values in a text by their brackets and quotes, without decoding them, so that raw text is kept as written.

Linear, whatever the text: strings are matched possessively, and nothing is looked at twice.
"""

from __future__ import annotations

import difflib
import json
import re
from typing import TYPE_CHECKING, NamedTuple

from trajgen.replies.arguments import cut, parse_object
from trajgen.replies.calls import UNFINISHED, Written

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMES = ("tool", "name", "function", "action")
ARGUMENTS = ("arguments", "parameters", "args", "input", "action_input")
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_MARK = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[{\]}]', re.DOTALL)
_SCALAR = re.compile(r'[^\s,:\[\]{}"]++')
_BLANK = re.compile(r"[ \t\r\n]*+")
_SEPARATOR = re.compile(r"[ \t\r\n,;]*+")
_NAMED = re.compile(r'"(?:tool|name|function)"\s*+:\s*+"([^"\\]{0,100}+)"')
_FORM = '; write {"name": "...", "arguments": {...}}'
_NEAR = 0.75  # `argunemts` and `params`, but not `comment`
_HEAD = 1_000  # characters in which the name of an unfinished call is looked for


class Elements(NamedTuple):
    """The values of a JSON list as text. `end` is the index after the list; None where it is not closed."""

    values: list[str]
    end: int | None


def blank(text: str, at: int) -> int:
    """Return the index of the first character from `at` on that is not white."""
    found = _BLANK.match(text, at)
    return found.end() if found else at


def value_end(text: str, at: int) -> int | None:
    """Return the index after the JSON value that begins at `at`; None where it is not closed, or none begins there."""
    if text[at : at + 1] not in {"{", "["}:
        found = _STRING.match(text, at) or _SCALAR.match(text, at)
        return found.end() if found else None
    depth = 0
    for mark in _MARK.finditer(text, at):
        first = mark[0]
        if first in {"{", "["}:
            depth += 1
        elif first in {"}", "]"}:
            depth -= 1
            if depth == 0:
                return mark.end()
        elif first == '"':
            return None  # a string that is never closed
    return None


def members(text: str) -> list[tuple[str, str]] | None:
    """Return the keys and values of the JSON object `text`, as text; None where it is not one, or more than one."""
    found: list[tuple[str, str]] = []
    at = blank(text, 0)
    if text[at : at + 1] != "{":
        return None
    at = blank(text, at + 1)
    while text[at : at + 1] != "}" or found:
        if (key := _STRING.match(text, at)) is None:
            return None
        at = blank(text, key.end())
        if text[at : at + 1] != ":":
            return None
        at = blank(text, at + 1)
        if (end := value_end(text, at)) is None:
            return None
        found.append((key[0][1:-1], text[at:end]))
        at = blank(text, end)
        if text[at : at + 1] != ",":
            break
        at = blank(text, at + 1)
    return found if text[at : at + 1] == "}" and blank(text, at + 1) == len(text) else None


def elements(text: str, at: int) -> Elements:
    """Return the values of the JSON list that begins at `at`. Commas are not missed: calls stand apart by themselves."""
    values: list[str] = []
    at += 1
    while True:
        at = _SEPARATOR.match(text, at).end()  # type: ignore[union-attr] # it matches nothing, too
        if text[at : at + 1] == "]":
            return Elements(values, at + 1)
        if (end := value_end(text, at)) is None:
            return Elements(values, None)
        values.append(text[at:end])
        at = end


def call_of(text: str, *, nested: bool = False) -> Written:
    """Read `{"name": ..., "arguments": {...}}`, under any of the keys models use for the two.

    Args:
        text: The whole JSON object.
        nested: The object is the value of `function` in another one, as in the OpenAI form.
    """
    found = members(text)
    if found is None or len({key for key, _ in found}) < len(found):
        return Written(name_in(text), text, _not_an_object(text))
    values = dict(found)
    name = next((values[key] for key in NAMES if key in values), None)
    if name is not None and name.startswith("{") and not nested:
        return call_of(name, nested=True)
    given = [key for key in ARGUMENTS if key in values]
    raw = values[given[0]] if given else ""
    problem = f"the call gives both {given[0]!r} and {given[1]!r}; give one" if given[1:] else None
    if name is None or not name.startswith('"'):
        return Written(None, raw)
    try:
        return Written(json.loads(name), raw, problem or (None if given else _misnamed(values)))
    except ValueError:
        return Written(None, raw, f"the name of the call is no JSON text: {cut(name)}")


def _misnamed(values: Mapping[str, str]) -> str | None:
    """Return what is wrong where the arguments stand under another key: without them, another call would be executed."""
    for key, value in values.items():
        if key not in NAMES and (
            value.startswith("{") or difflib.get_close_matches(key[:_HEAD], ARGUMENTS, cutoff=_NEAR)
        ):
            return f"the call has no 'arguments' but {cut(key)!r}{_FORM}"
    return None


def is_call(text: str) -> bool:
    """Say whether a JSON object means to be a call; one that is not JSON counts as a call that failed."""
    found = members(text)
    return found is None or any(key in NAMES or key in ARGUMENTS for key, _ in found)


def unfinished(text: str) -> Written:
    """Return the call that begins with `text` and is never closed."""
    return Written(name_in(text), text, UNFINISHED)


def name_in(text: str) -> str | None:
    """Return the name in an object that cannot be read, where it can be told."""
    found = _NAMED.search(text, 0, _HEAD)
    return found[1] if found else None


def _not_an_object(text: str) -> str:
    if not text or text.isspace():
        return f"the call is empty{_FORM}"
    return f"the name and arguments of the call {parse_object(text).problem or 'are not one JSON object'}"
