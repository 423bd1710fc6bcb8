r"""Calls written as in Python, `tool(a=1, b=["x", None])`: found and rewritten as JSON, never evaluated. Never raises.

Not by way of `ast`: its parser recurses, warns of `\d`, and takes seconds for a megabyte. Literals are what JSON knows,
and tuples; anything else is refused as no JSON.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

from trajgen.replies.arguments import cut
from trajgen.replies.calls import UNFINISHED, Written, takes
from trajgen.replies.values import known, properties

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trajgen.types import Tool

_QUOTED = r""""[^"\\]*+(?:\\.[^"\\]*+)*+"|'[^'\\]*+(?:\\.[^'\\]*+)*+'"""
_HEAD = re.compile(r"\s*+([A-Za-z_][\w.-]*+)\(")
_MARK = re.compile(_QUOTED + r"""|[()\[\]{},"']""", re.DOTALL)
_KEY = re.compile(r"\s*+([A-Za-z_]\w*+)\s*+=(?!=)")
_TOKEN = re.compile(_QUOTED + r"|[A-Za-z_]\w*+|[()]|,\s*+(?=[)\]}])", re.DOTALL)
_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U(000[0-9a-fA-F]{5}|0010[0-9a-fA-F]{4})|(.))", re.DOTALL
)
_ESCAPED = dict(zip("ntr\\'\"abfv0", "\n\t\r\\'\"\a\b\f\v\0", strict=True)) | {"\n": ""}
_CLOSERS = {"(": ")", "[": "]", "{": "}"}
_WORDS = {"True": "true", "False": "false", "None": "null", "(": "[", ")": "]"}


class Spelled(NamedTuple):
    """One call as it stands in a text.

    Attributes:
        parts: What stands between its commas.
        raw: What stands between its parentheses.
        end: The index after it; None where it is not closed.
    """

    name: str
    parts: Sequence[str]
    raw: str
    end: int | None


def call_at(text: str, at: int = 0) -> Spelled | None:
    """Return the call that begins at `at`, after white space; None where none does."""
    head = _HEAD.match(text, at)
    if head is None:
        return None
    begin = start = head.end()
    open_ = [")"]
    parts: list[str] = []
    for found in _MARK.finditer(text, begin):
        mark = found[0]
        if mark in _CLOSERS:
            open_.append(_CLOSERS[mark])
        elif mark == "," and len(open_) == 1:
            parts.append(text[start : found.start()])
            start = found.end()
        elif mark in {"'", '"'} or (mark in {")", "]", "}"} and mark != open_.pop()):
            break  # a string that is never closed, or brackets that do not match
        elif not open_:
            last = text[start : found.start()]
            parts += [last] if last.strip() else []
            return Spelled(head[1], parts, text[begin : found.start()], found.end())
    return Spelled(head[1], (), text[begin:], None)


def written(call: Spelled, tools: Sequence[Tool]) -> Written:
    """Return a call with its arguments as JSON; those without a name are its tool's first ones."""
    if call.end is None:
        return Written(call.name, call.raw, UNFINISHED)
    names = list(properties(call.name, tools))
    pairs: list[str] = []
    for index, part in enumerate(call.parts):
        key = _KEY.match(part)
        if key is None and index >= len(names):
            if known(call.name, tools) is None:
                return Written(call.name, call.raw, arguments="")  # the action space says that there is no such tool
            return Written(
                call.name,
                call.raw,
                f"{call.name}: {cut(part.strip())!r} is one value too many{takes(call.name, tools)}",
            )
        name, value = (key[1], part[key.end() :]) if key else (names[index], part)
        pairs.append(f"{json.dumps(name)}: {literal(value.strip())}")
    return Written(call.name, call.raw, arguments="{" + ", ".join(pairs) + "}")


def literal(text: str) -> str:
    """Rewrite a Python literal as JSON; what is none becomes what is no JSON either."""
    return _TOKEN.sub(_token, text)


def _token(found: re.Match[str]) -> str:
    token = found[0]
    if token[0] in "\"'":
        return json.dumps(_ESCAPE.sub(_character, token[1:-1]) if "\\" in token else token[1:-1])
    return "" if token[0] == "," else _WORDS.get(token, token)


def _character(found: re.Match[str]) -> str:
    digits = found[1] or found[2] or found[3]
    return chr(int(digits, 16)) if digits else _ESCAPED.get(found[4], found[0])
