"""Hermes: `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`, any number of times, with text around them.

The format of Hermes 2 Pro, Qwen 2.5 and Qwen 3, and others. A total function; never raises.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from trajgen.replies import scan
from trajgen.replies.reading import Found, joined, read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trajgen.chat import Reply
    from trajgen.replies.calls import Written
    from trajgen.types import Tool, Turn

_TAG = re.compile(r"<(/?)tool_call>")


def turn_of(reply: Reply, tools: Sequence[Tool]) -> Turn:
    """Read one reply as a turn; see `native.turn_of`. A block that is not closed is a call that was truncated."""
    return read(reply, tools, _found)


def _found(text: str, _: Sequence[Tool]) -> Found:
    tags = list(_TAG.finditer(text))
    said: list[str] = []
    calls: list[Written] = []
    at = index = 0
    patient = True  # a tag inside a JSON string is looked past, but the rest of the text only once in vain: linear
    while index < len(tags):
        tag = tags[index]
        index += 1
        if tag[1]:
            continue  # closes nothing
        said.append(text[at : tag.start()])
        end = _limit(text, tags, index)
        if patient and (further := _past_tags(text, tag.end(), end)) is not None:
            while index < len(tags) and tags[index].start() < further:
                index += 1
            patient, end = further > end, max(end, further)
        body = text[tag.end() : end].strip()
        closed = index < len(tags) and bool(tags[index][1])
        calls.append(scan.call_of(body) if closed else scan.unfinished(body))
        if closed:
            end = tags[index].end()
            index += 1
        at = end
    return Found(joined([*said, text[at:]]), calls)


def _limit(text: str, tags: Sequence[re.Match[str]], index: int) -> int:
    return tags[index].start() if index < len(tags) else len(text)


def _past_tags(text: str, begin: int, limit: int) -> int | None:
    """Return where a call ends that has tags in its strings: after `limit`; -1 where it cannot be told; None: before."""
    begin = scan.blank(text, begin)
    near = scan.value_end(text[begin:limit], 0)
    if near is not None or limit == len(text):
        return None
    far = scan.value_end(text, begin)
    if far is None or scan.members(text[begin:far]) is None:
        return -1
    closing = scan.blank(text, far)
    return closing if _TAG.match(text, closing) and text[closing + 1] == "/" else -1
