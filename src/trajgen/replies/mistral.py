"""Mistral: `[TOOL_CALLS][{"name": ..., "arguments": {...}}]`, and since v11 `[TOOL_CALLS]name[ARGS]{...}`. Never raises.

The newer form has one mark a call, and may carry `[CALL_ID]` and an id after the name, or leave `[ARGS]` away.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from trajgen.replies import scan
from trajgen.replies.calls import UNFINISHED, Written
from trajgen.replies.reading import Found, joined, read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trajgen.chat import Reply
    from trajgen.types import Tool, Turn

MARK = "[TOOL_CALLS]"
_MARKS = (MARK, "[CALL_ID]", "[ARGS]")
_NAMED = re.compile(r"\s*+([^\[{\n]*+)(?:\[CALL_ID\][^\[{\n]*+)?+(?:\[ARGS\])?+\s*+")
_END = "</s>"


def turn_of(reply: Reply, tools: Sequence[Tool]) -> Turn:
    """Read one reply as a turn; see `native.turn_of`."""
    return read(reply, tools, _found)


def _found(text: str, _: Sequence[Tool]) -> Found:
    text = text.rstrip().removesuffix(_END)
    said: list[str] = []
    calls: list[Written] = []
    at = 0
    while (mark := text.find(MARK, at)) >= 0:
        said.append(text[at:mark])
        begin = scan.blank(text, mark + len(MARK))
        listed = text.startswith("[", begin) and not text.startswith(_MARKS, begin)
        found, end = _list(text, begin) if listed else _named(text, begin)
        calls += found
        if end is None:
            return Found(joined(said), calls)
        at = end
    return Found(joined([*said, text[at:]]), calls)


def _list(text: str, begin: int) -> tuple[list[Written], int | None]:
    listed = scan.elements(text, begin)
    if listed.end is not None:
        return [scan.call_of(value) for value in listed.values], listed.end
    whole = [scan.call_of(value) for value in listed.values]
    # the list was not meant to end here, so none of it is executed
    return [Written(c.name, c.raw, c.problem or UNFINISHED) for c in whole] or [scan.unfinished(text[begin:])], None


def _named(text: str, begin: int) -> tuple[list[Written], int | None]:
    if text[begin : begin + 1] == "{":  # one object without its list
        end = scan.value_end(text, begin)
        return [scan.unfinished(text[begin:]) if end is None else scan.call_of(text[begin:end])], end
    head = _NAMED.match(text, begin)
    if head is None:  # it matches nothing, too
        return [], begin
    name, at = head[1].strip(), head.end()
    if text.startswith(("{", '"', "["), at) and not text.startswith(_MARKS, at):
        end = scan.value_end(text, at)
        return [Written(name, text[at:], UNFINISHED) if end is None else Written(name, text[at:end])], end
    following = text.find(MARK, at)
    following = len(text) if following < 0 else following
    return [Written(name, text[at:following].strip(), UNFINISHED)], following
