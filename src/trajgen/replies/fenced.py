"""JSON in a fence, or a reply that is nothing but JSON: `{"tool": ..., "arguments": {...}}`, or a list of such. Never raises.

The first fence that holds a call is the turn; what comes after it may rest on results that were made up.
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

_FENCE = "```"
_INFO = re.compile(r"```+[A-Za-z_]*+\s*+")


def turn_of(reply: Reply, tools: Sequence[Tool]) -> Turn:
    """Read one reply as a turn; see `native.turn_of`. Of several fences the first one with a call is read."""
    return read(reply, tools, _found)


def has_call(text: str) -> bool:
    """Say whether a text means to call something in this format."""
    return bool(_found(text, ()).calls)


def _found(text: str, _: Sequence[Tool]) -> Found:
    at = scan.blank(text, 0)
    if text.startswith(("{", "["), at):
        calls, end = _calls(text, at)
        if calls:
            return Found(text[end:], calls)
    at = 0
    while (opening := _INFO.search(text, at)) is not None:
        begin = opening.end()
        close = text.find(_FENCE, begin)
        limit = len(text) if close < 0 else close
        if text.startswith(("{", "["), begin):
            calls, end = _fenced(text, begin, limit)
            if calls:
                after = scan.blank(text, end)
                after += len(_FENCE) if text.startswith(_FENCE, after) else 0
                return Found(joined([text[: opening.start()], text[after:]]), calls)
        at = limit + len(_FENCE)
    return Found(text)


def _fenced(text: str, begin: int, limit: int) -> tuple[list[Written], int]:
    """Read what stands between two fences, or further, where the second stands inside of a string."""
    within = text[begin:limit]
    calls, end = _calls(within, 0)
    if calls and any(call.problem is UNFINISHED for call in calls) and limit < len(text):
        far = scan.value_end(text, begin)
        if far is not None and text.startswith(_FENCE, scan.blank(text, far)):
            further, end_further = _calls(text[begin:far], 0)
            if all(call.problem is None for call in further):
                return further, begin + end_further
    return calls, begin + end


def _calls(text: str, at: int) -> tuple[list[Written], int]:
    """Return the calls of the JSON value at `at`, and where they end; none where it is something else."""
    if text.startswith("{", at):
        end = scan.value_end(text, at)
        if end is None:
            return ([scan.unfinished(text[at:])] if scan.name_in(text[at:]) else []), len(text)
        return ([scan.call_of(text[at:end])] if scan.is_call(text[at:end]) else []), end
    listed = scan.elements(text, at)
    if not listed.values or not all(v.startswith("{") and scan.is_call(v) for v in listed.values):
        return [], len(text) if listed.end is None else listed.end
    calls = [scan.call_of(value) for value in listed.values]
    if listed.end is None:  # it was not meant to end here, so none of it is executed
        return [Written(c.name, c.raw, c.problem or UNFINISHED) for c in calls], len(text)
    return calls, listed.end
