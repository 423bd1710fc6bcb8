"""A conversation that has grown too long for the model: which of it is sent. Pure; knows no model and counts no tokens.

The policy is one and explicit: the oldest turns are left out whole, a reply with all that it brought, and the first user
message says how many. The system prompt, the first observation, which states the goal, and the newest turn always stay. What
was sent is in the record of every model call, so nothing is dropped unseen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trajgen.messages import with_postscript

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trajgen.chat import Message


def fitted(messages: Sequence[Message], max_chars: int | None) -> list[Message]:
    """Return the messages to send.

    Args:
        messages: A system prompt and a user message, either of which may be missing, then turns that begin with the
            assistant's message.
        max_chars: Characters of all texts and calls together; about 4 make a token in English. None for no limit.
            Exceeded where what always stays is longer: the model's server has the last word.
    """
    if max_chars is None or sum(map(_n_chars, messages)) <= max_chars:
        return list(messages)
    starts = [i for i, message in enumerate(messages) if message.role == "assistant"]
    if len(starts) < 2:  # noqa: PLR2004 - one turn is the newest
        return list(messages)
    opening = messages[: starts[0]]
    left = max_chars - sum(map(_n_chars, opening))
    first = len(starts) - 1
    size = sum(map(_n_chars, messages[starts[first] :]))
    while first > 0:
        size += sum(map(_n_chars, messages[starts[first - 1] : starts[first]]))
        if size > left:
            break
        first -= 1
    return [*_noted(opening, first), *messages[starts[first] :]]


def _noted(opening: Sequence[Message], n_dropped: int) -> list[Message]:
    if not n_dropped or not opening or opening[-1].role != "user":
        return list(opening)
    turns = "1 turn that followed is" if n_dropped == 1 else f"{n_dropped} turns that followed are"
    return with_postscript(opening, f"(The {turns} left out here.)")


def _n_chars(message: Message) -> int:
    calls = sum(len(call.name) + len(call.arguments) for call in message.tool_calls)
    return len(message.content) + len(message.reasoning_content or "") + calls
