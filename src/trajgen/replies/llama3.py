"""Llama 3.1 and later: `{"name": ..., "parameters": {...}}` after an optional `<|python_tag|>`. Never raises.

Several stand one after another, with `;` or white space between. Also `<function=name>{...}</function>`, and the lists of
Llama 3.2 and 4, `[f(a=1), g(b="x")]`, whose arguments are literals.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from trajgen.replies import pythonic, scan
from trajgen.replies.calls import UNFINISHED, Written
from trajgen.replies.reading import Found, joined, read
from trajgen.replies.values import known

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trajgen.chat import Reply
    from trajgen.types import Tool, Turn

PYTHON_TAG = "<|python_tag|>"
_END = re.compile(r"<\|(?:eom_id|eot_id|python_end|end_of_text)\|>\s*+")
_BETWEEN = re.compile(r"(?:[\s;,]|<\|(?:eom_id|eot_id|python_tag)\|>)*+")
_OBJECT = re.compile(r'\{\s*+"(?:name|type|function|parameters|arguments)"\s*+:')
_LIST = re.compile(r"\s*+\[\s*+(?=[A-Za-z_][\w.-]*+\()")
_FUNCTION = re.compile(r"<function=([^<>\n]{0,200}+)>")
_CLOSE = "</function>"


def turn_of(reply: Reply, tools: Sequence[Tool]) -> Turn:
    """Read one reply as a turn; see `native.turn_of`."""
    return read(reply, tools, _found)


def is_pythonic(text: str) -> bool:
    """Say whether a text begins with a list of calls as Python writes them."""
    return _LIST.match(text) is not None


def _found(text: str, tools: Sequence[Tool]) -> Found:
    text = _without_end(text.replace("<|python_start|>", PYTHON_TAG))
    before, tag, after = text.partition(PYTHON_TAG)
    if not tag:
        before, after = "", text
    if (listed := _LIST.match(after)) is not None:
        found = _list(after, listed.end(), tools)
    elif (first := _OBJECT.search(after)) is not None:
        found = _objects(after, first.start())
    elif _FUNCTION.search(after) is not None:
        found = _functions(after)
    elif tag:
        found = _built_in(after, tools)
    else:
        found = Found(after)
    return found._replace(text=joined([before, found.text]))


def _without_end(text: str) -> str:
    # from behind, since a search from the front would begin anew at every blank
    at = len(text)  # one mark after the other
    while (start := text.rfind("<|", 0, at)) >= 0 and _END.fullmatch(text, start, at):
        at = start
    return text[:at].rstrip()


def _objects(text: str, at: int) -> Found:
    before = text[:at]
    calls: list[Written] = []
    while text[at : at + 1] == "{":
        end = scan.value_end(text, at)
        if end is None:
            return Found(before, [*calls, scan.unfinished(text[at:])])
        calls.append(scan.call_of(text[at:end]))
        at = _skip(text, end)
    return Found(joined([before, text[at:]]), calls)


def _skip(text: str, at: int) -> int:
    found = _BETWEEN.match(text, at)
    return found.end() if found else at


def _functions(text: str) -> Found:
    said: list[str] = []
    calls: list[Written] = []
    at = 0
    patient = True  # as in hermes: past a tag inside a string, but only once in vain
    while (tag := _FUNCTION.search(text, at)) is not None:
        said.append(text[at : tag.start()])
        begin = scan.blank(text, tag.end())
        close = text.find(_CLOSE, begin)
        if close < 0:
            return Found(joined(said), [*calls, Written(tag[1].strip(), text[begin:], UNFINISHED)])
        if patient and scan.value_end(text[begin:close], 0) is None:
            further = _close_after_object(text, begin)
            patient, close = further is not None, further or close
        calls.append(Written(tag[1].strip(), text[begin:close].strip()))
        at = close + len(_CLOSE)
    return Found(joined([*said, text[at:]]), calls)


def _close_after_object(text: str, begin: int) -> int | None:
    end = scan.value_end(text, begin)
    if end is None or scan.members(text[begin:end]) is None:
        return None
    close = scan.blank(text, end)
    return close if text.startswith(_CLOSE, close) else None


def _list(text: str, at: int, tools: Sequence[Tool]) -> Found:
    calls: list[Written] = []
    while (call := pythonic.call_at(text, at)) is not None:
        calls.append(pythonic.written(call, tools))
        if call.end is None:
            return Found("", calls)
        at = _skip(text, call.end)
    if text[at : at + 1] == "]":
        return Found(text[at + 1 :], calls)
    # what is not closed was not meant to end here, so none of it is executed
    return Found("", [Written(c.name, c.raw, c.problem or UNFINISHED) for c in calls])


def _built_in(text: str, tools: Sequence[Tool]) -> Found:
    """Read what Llama writes to call tools it was trained with: `brave_search.call(query="...")`."""
    call = pythonic.call_at(text)
    if call is None:
        return Found(
            "", [Written(None, text, f"after {PYTHON_TAG} comes no call") if text.strip() else scan.unfinished("")]
        )
    if known(call.name, tools) is None:
        call = call._replace(name=call.name.removesuffix(".call"))
    return Found(text[call.end :] if call.end is not None else "", [pythonic.written(call, tools)])
