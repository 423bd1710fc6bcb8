"""Replies with native tool calls, in the OpenAI sense. A total function of what the server returned; never raises.

Whether a call fits its tool is not judged here: the action space does that for every agent alike. What is judged is
whether there is a call at all: an executable one has a name and a JSON object, and was written to its end.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from trajgen.errors import nearest
from trajgen.replies.arguments import cut, parse_object, readable, storable
from trajgen.types import Call, Turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trajgen.chat import EmittedCall, Reply
    from trajgen.types import Tool

CUT_OFF = frozenset({"length", "max_tokens", "model_length", "content_filter"})  # finish reasons of unfinished replies
_SENDABLE = re.compile(r"[A-Za-z0-9_-]{1,64}")  # what servers accept as a name when the history is sent back


def turn_of(reply: Reply, tools: Sequence[Tool]) -> Turn:
    """Read one reply as a turn.

    Args:
        reply: As a backend returned it.
        tools: What could be called; their names and arguments help to say what is wrong.

    Returns:
        The thought and its calls, in order. `Call.raw` is what the model wrote; `Call.problem` is set where a call
        cannot be executed as written, `Turn.problem` where the reply as a whole is of no use. Arguments that are a
        JSON string of an object are taken as that object; `raw` keeps the string.
    """
    text = readable(reply.text) if reply.text else None
    reasoning = readable(reply.reasoning) if reply.reasoning else None
    if reply.error_kind is not None:
        return Turn(text=text, reasoning=reasoning, problem=f"the reply could not be read ({reply.error_kind})")
    cut_off = _cut_off(reply.finish_reason)
    calls = tuple(_call(emitted, tools, cut_off) for emitted in reply.calls)
    return Turn(text=text, calls=calls, reasoning=reasoning, problem=None if calls else cut_off)


def _cut_off(finish_reason: str | None) -> str | None:
    if finish_reason not in CUT_OFF:
        return None
    return f"the reply was truncated (finish reason {finish_reason!r}), so nothing of it was executed; say it shorter"


def _call(emitted: EmittedCall, tools: Sequence[Tool], cut_off: str | None) -> Call:
    raw = storable(emitted.arguments)
    name, unnamed = _name(emitted.name, tools)
    if cut_off or unnamed:
        return Call(name, {}, raw, cut_off or unnamed)
    parsed = parse_object(emitted.arguments)
    if parsed.problem is not None:
        return Call(name, {}, raw, f"{name}: the arguments {parsed.problem}{_takes(name, tools)}")
    return Call(name, parsed.value, raw)


def _name(given: str | None, tools: Sequence[Tool]) -> tuple[str | None, str | None]:
    """Return the name to keep, and why it is none. A name that servers would refuse in a history is not kept."""
    if given and _SENDABLE.fullmatch(given):
        return given, None
    names = [t.name for t in tools]
    if given in names:
        return given, None
    known = "; the tools are: " + ", ".join(names)
    if not given or given.isspace():
        return None, f"the call names no tool{known}"
    return None, f"{cut(given)!r} is not the name of a tool{nearest(given[:100], names) or known}"


def _takes(name: str | None, tools: Sequence[Tool]) -> str:
    for tool in tools:
        if tool.name == name:
            properties = tool.parameters.get("properties")
            return f"; it takes: {', '.join(properties) or 'nothing'}" if isinstance(properties, dict) else ""
    return ""
