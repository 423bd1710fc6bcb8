"""Replies as a person types them in a test or a job file. Parsed strictly: a slip of the pen is an error.

    get(cup)                        one call; values without a name go to the tool's arguments in order
    get(thing=cup, n=2); look()     two calls of one turn
    I need a cup. >> get(cup)       a thought, then the call
    Nothing to do here. >>          a thought without a call

A value is JSON where it reads as JSON; else the bare word up to the next comma or parenthesis, as text. For an argument
whose schema says string, a bare word is text even where it reads as a number.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from trajgen.errors import nearest
from trajgen.strict import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trajgen.types import Json, Tool

_NAME = re.compile(r"\s*([A-Za-z_][\w.-]*)\s*\(\s*")
_KEY = re.compile(r"([A-Za-z_]\w*)\s*=\s*")
_BARE = re.compile(r"[^,()]+")
_SPACE = re.compile(r"\s*")
_decoder = json.JSONDecoder()


class Value(NamedTuple):
    """One value of a call: `word` is what was typed, where it was typed bare."""

    key: str | None
    value: Json
    word: str | None


class Typed(NamedTuple):
    """One call before its values are matched with a tool's arguments."""

    tool: str
    values: tuple[Value, ...]


class TypedReply(NamedTuple):
    """One reply: what is said, and the calls."""

    text: str | None
    calls: tuple[Typed, ...]


def parse(reply: str) -> TypedReply:
    """Read one reply.

    Raises:
        ValueError: it is not in the notation; the message shows the place.
    """
    before, mark, after = reply.partition(">>")
    text, rest = (before.strip() or None, after) if mark else (None, reply)
    calls: list[Typed] = []
    at = _SPACE.match(rest).end()  # type: ignore[union-attr] # matches anything
    while at < len(rest):
        call, at = _call(rest, at)
        calls.append(call)
        if at < len(rest):
            at = _after(rest, at, ";")
    if not calls and text is None:
        raise ValueError(f'{shown(reply)}: expected a call such as get(cup), or "a thought >>"')
    return TypedReply(text, tuple(calls))


def arguments(call: Typed, tools: Sequence[Tool]) -> dict[str, Json]:
    """Match values with the arguments of the tool, by name and then by order.

    Raises:
        ValueError: a value without a name has no argument left to go to.
    """
    tool = next((t for t in tools if t.name == call.tool), None)
    properties: dict[str, Any] = {} if tool is None else tool.parameters.get("properties", {})
    named = {v.key for v in call.values}
    free = [name for name in properties if name not in named]
    found: dict[str, Json] = {}
    for value in call.values:
        if value.key is None and not free:
            raise ValueError(_no_place(call, value, tool, tools))
        key = value.key if value.key is not None else free.pop(0)
        is_text = properties.get(key, {}).get("type") == "string"
        found[key] = value.word if is_text and value.word is not None else value.value
    return found


def _no_place(call: Typed, value: Value, tool: Tool | None, tools: Sequence[Tool]) -> str:
    if tool is None:
        hint = nearest(call.tool, [t.name for t in tools])
        return f"{call.tool}({shown(value.value)}): no tool {call.tool!r}, so the value needs a name, as in x=1{hint}"
    return f"{call.tool}: no argument is left for the value {shown(value.value)}"


def _call(text: str, at: int) -> tuple[Typed, int]:
    name = _NAME.match(text, at)
    if name is None:
        raise ValueError(_slip(text, at, "a call such as get(cup)"))
    at = name.end()
    values: list[Value] = []
    while not text.startswith(")", at):
        value, at = _value(text, at)
        values.append(value)
        if not text.startswith(")", at):
            at = _after(text, at, ",")
    return Typed(name[1], tuple(values)), _SPACE.match(text, at + 1).end()  # type: ignore[union-attr] # as above


def _value(text: str, at: int) -> tuple[Value, int]:
    key = _KEY.match(text, at)
    if key is not None:
        at = key.end()
    try:
        value, end = _decoder.raw_decode(text, at)
        end = _SPACE.match(text, end).end()  # type: ignore[union-attr] # as above
        if text[end : end + 1] in {",", ")"}:
            word = None if text[at] == '"' else text[at:end].strip()
            return Value(key and key[1], value, word), end
    except json.JSONDecodeError:
        pass  # a bare word
    bare = _BARE.match(text, at)
    if bare is None or text[at] in '"[{':
        raise ValueError(_slip(text, at, "a value"))
    return Value(key and key[1], bare[0].strip(), bare[0].strip()), bare.end()


def _after(text: str, at: int, mark: str) -> int:
    if not text.startswith(mark, at):
        raise ValueError(_slip(text, at, f"{mark!r} or the end"))
    return _SPACE.match(text, at + 1).end()  # type: ignore[union-attr] # as above


def _slip(text: str, at: int, expected: str) -> str:
    return f"{shown(text)}: expected {expected} at character {at + 1}, found {shown(text[at : at + 20] or 'the end')}"
