"""Qwen3-Coder: `<tool_call><function=name><parameter=p>value</parameter></function></tool_call>`. Never raises.

Values are plain text, typed by the tool's JSON Schema; one line break after the opening and before the closing tag does
not belong to them. They hold no tags of the format: a value with one in it was not closed, and is not guessed at.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from trajgen.replies.calls import UNFINISHED, Written, takes
from trajgen.replies.reading import Found, joined, read
from trajgen.replies.values import as_json, properties, typed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trajgen.chat import Reply
    from trajgen.types import Tool, Turn

_OPEN = re.compile(r"<function=([^<>\n]{0,200}+)>")
_CLOSE = "</function>"
_AROUND = re.compile(r"</?tool_call>")
_PARAMETER = re.compile(r"<parameter=([^<>\n]{0,200}+)>|</parameter>")


def turn_of(reply: Reply, tools: Sequence[Tool]) -> Turn:
    """Read one reply as a turn; see `native.turn_of`."""
    return read(reply, tools, _found)


def _found(text: str, tools: Sequence[Tool]) -> Found:
    said: list[str] = []
    calls: list[Written] = []
    opened = list(_OPEN.finditer(text))
    closed = [m.start() for m in re.finditer(_CLOSE, text)]
    at = next_close = 0
    for number, tag in enumerate(opened):
        said.append(text[at : tag.start()])
        limit = opened[number + 1].start() if number + 1 < len(opened) else len(text)
        while next_close < len(closed) and closed[next_close] < tag.end():
            next_close += 1
        is_closed = next_close < len(closed) and closed[next_close] < limit
        end = closed[next_close] if is_closed else limit
        raw = text[tag.end() : end]
        name = tag[1].strip()
        calls.append(_written(name, raw, tools) if is_closed else Written(name, raw.strip(), UNFINISHED))
        at = end + len(_CLOSE) if is_closed else end
    said.append(text[at:])
    return Found(joined(_AROUND.sub("", piece) for piece in said), calls)


def _written(name: str, raw: str, tools: Sequence[Tool]) -> Written:
    schemas = properties(name, tools)
    pairs: list[tuple[str, object]] = []
    open_: re.Match[str] | None = None
    at = 0
    for tag in _PARAMETER.finditer(raw):
        if (open_ is None) == (tag[1] is None):
            return Written(name, raw.strip(), _unclosed(name, open_, tools))
        if open_ is None:
            if raw[at : tag.start()].strip():
                break
            open_ = tag
        else:
            key = open_[1].strip()
            pairs.append((key, typed(_unwrapped(raw[open_.end() : tag.start()]), schemas.get(key))))
            open_, at = None, tag.end()
    if open_ is not None or raw[at:].strip():
        return Written(name, raw.strip(), _unclosed(name, open_, tools))
    return Written(name, raw.strip(), arguments=as_json(pairs))


def _unclosed(name: str, open_: re.Match[str] | None, tools: Sequence[Tool]) -> str:
    which = f"the parameter {open_[1].strip()!r} is not closed" if open_ else "there is text outside of parameters"
    return f"{name[:64]!r}: {which}; write <parameter=NAME>value</parameter>{takes(name, tools)}"


def _unwrapped(value: str) -> str:
    return value.removeprefix("\n").removesuffix("\n")
