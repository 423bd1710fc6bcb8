"""What all text formats do alike: reasoning apart, truncated replies never executed, not too many calls. Never raises.

A format hands `read` one function from the text without its reasoning to what it found there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from trajgen.replies import native
from trajgen.replies.calls import Written, cut_off, made, shown, unreadable
from trajgen.types import Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from trajgen.chat import Reply
    from trajgen.types import Call, Tool

MAX_CALLS = 100
_TAG = re.compile(r"<(/?)think>")
_UNFINISHED_THOUGHT = (
    "the reply ends inside <think>, so nothing of it was executed; close the thought, then call a tool"
)


class Found(NamedTuple):
    """What a format found in a text.

    Attributes:
        text: What the model says apart from calls.
        stop: The model ends the episode.
    """

    text: str
    calls: Sequence[Written] = ()
    stop: bool = False


class Parted(NamedTuple):
    """A text without its reasoning. `unfinished`: it ends inside a thought."""

    text: str
    reasoning: str
    unfinished: bool = False


def read(reply: Reply, tools: Sequence[Tool], find: Callable[[str, Sequence[Tool]], Found]) -> Turn:
    """Read a reply in one text format; calls that the server has taken out of the text already are read as native."""
    if (unusable := unreadable(reply)) is not None:
        return unusable
    if reply.calls:
        return native.turn_of(reply, tools)
    parted = part(reply.text or "")
    found = find(parted.text, tools)
    why_not = cut_off(reply.finish_reason) or (_UNFINISHED_THOUGHT if parted.unfinished else None)
    calls = _made(found.calls, tools, why_not)
    return Turn(
        text=shown(found.text.strip()),
        calls=calls,
        reasoning=shown(joined([reply.reasoning or "", parted.reasoning])),
        problem=None if calls else why_not,
        stop=found.stop and why_not is None,
    )


def part(text: str) -> Parted:
    """Take `<think>...</think>` out of a text, and all before a `</think>` that was opened in the prompt.

    Wherever it stands: a call that is only thought of must not be executed. So `<think>` cannot be said in an argument.
    """
    kept: list[str] = []
    thought: list[str] = []
    at, inside = 0, False
    for tag in _TAG.finditer(text):
        if tag[1]:
            if not inside and (thought or kept):
                continue  # closes nothing
            thought.append(text[at : tag.start()])
        elif inside:
            continue
        else:
            kept.append(text[at : tag.start()])
        inside, at = not tag[1], tag.end()
    (thought if inside else kept).append(text[at:])
    return Parted("".join(kept), joined(thought), inside)


def joined(pieces: Iterable[str]) -> str:
    """Join what is said before, between and after calls, a line each."""
    return "\n".join(stripped for piece in pieces if (stripped := piece.strip()))


def _made(calls: Sequence[Written], tools: Sequence[Tool], why_not: str | None) -> tuple[Call, ...]:
    read_ = tuple(made(written, tools, why_not) for written in calls[:MAX_CALLS])
    if len(calls) <= MAX_CALLS:
        return read_
    problem = f"the reply makes {len(calls)} calls; only the first {MAX_CALLS} are read"
    return (*read_, made(Written(None, ""), tools, why_not or problem))
