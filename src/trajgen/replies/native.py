"""Replies with native tool calls, in the OpenAI sense. A total function of what the server returned; never raises.

Whether a call fits its tool is not judged here: the action space does that for every agent alike. What is judged is
whether there is a call at all: an executable one has a name and a JSON object, and was written to its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trajgen.replies.calls import CUT_OFF, Written, cut_off, made, shown, unreadable
from trajgen.types import Turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trajgen.chat import Reply
    from trajgen.types import Tool

__all__ = ["CUT_OFF", "turn_of"]


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
    if (unusable := unreadable(reply)) is not None:
        return unusable
    why_not = cut_off(reply.finish_reason)
    calls = tuple(made(Written(emitted.name, emitted.arguments), tools, why_not) for emitted in reply.calls)
    problem = None if calls else why_not
    return Turn(text=shown(reply.text), calls=calls, reasoning=shown(reply.reasoning), problem=problem)
