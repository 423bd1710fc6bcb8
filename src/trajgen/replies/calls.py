"""What all formats share of one call: is it named, is it whole, what does its tool take. Knows no format; never raises.

Whether a call fits its tool is not judged here: the action space does that for every agent alike.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from trajgen.errors import nearest
from trajgen.replies.arguments import cut, parse_object, readable, storable
from trajgen.types import Call, Turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trajgen.chat import Reply
    from trajgen.types import Tool

CUT_OFF = frozenset({"length", "max_tokens", "model_length", "content_filter"})  # finish reasons of unfinished replies
UNFINISHED = "the call was truncated: it ends before it is closed, so it was not executed; write it to its end"
_SENDABLE = re.compile(r"[A-Za-z0-9_-]{1,64}")  # what servers accept as a name when the history is sent back


class Written(NamedTuple):
    """One call as a format found it in a text.

    Attributes:
        name: As the model wrote it; None where it wrote none.
        raw: The text of the arguments, as the model wrote it.
        problem: Why it cannot be executed, where the format's own rules are broken.
        arguments: The arguments as JSON text, where `raw` is not JSON itself.
    """

    name: str | None
    raw: str
    problem: str | None = None
    arguments: str | None = None


def made(written: Written, tools: Sequence[Tool], why_not: str | None = None) -> Call:
    """Make a call of what was written; with `why_not`, one that is never executed."""
    raw = storable(written.raw)
    name, unnamed = known_name(written.name, tools)
    problem = why_not or written.problem or unnamed
    if problem is not None:
        return Call(name, {}, raw, problem)
    parsed = parse_object(written.raw if written.arguments is None else written.arguments)
    if parsed.problem is not None:
        return Call(name, {}, raw, f"{name}: the arguments {parsed.problem}{takes(name, tools)}")
    return Call(name, parsed.value, raw)


def unreadable(reply: Reply) -> Turn | None:
    """Return the turn of a reply that was no chat completion; None where it was one."""
    if reply.error_kind is None:
        return None
    problem = f"the reply could not be read ({reply.error_kind})"
    return Turn(text=shown(reply.text), reasoning=shown(reply.reasoning), problem=problem)


def shown(text: str | None) -> str | None:
    """Return text fit to be shown and stored; None for none."""
    return readable(text) if text else None


def cut_off(finish_reason: str | None) -> str | None:
    """Return why nothing of a reply may be executed, where it was truncated."""
    if finish_reason not in CUT_OFF:
        return None
    return f"the reply was truncated (finish reason {finish_reason!r}), so nothing of it was executed; say it shorter"


def known_name(given: str | None, tools: Sequence[Tool]) -> tuple[str | None, str | None]:
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


def takes(name: str | None, tools: Sequence[Tool]) -> str:
    """Return `; it takes: a, b`, or nothing for a tool nobody knows."""
    for tool in tools:
        if tool.name == name:
            properties = tool.parameters.get("properties")
            return f"; it takes: {', '.join(properties) or 'nothing'}" if isinstance(properties, dict) else ""
    return ""
