"""What is in a record, put into words that a person can read and that do no harm. Knows no terminal and no picture.

Data is hostile: a task, a model or an exception may hold escape sequences or characters that turn text around.
Whoever shows text of a record, in a terminal or in a film, makes it `inert` first.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trajgen.types import StopReason

_TAB = "    "

ENDS: Mapping[StopReason, str] = {
    "terminated": "the environment ended it",
    "max_steps": "the budget of steps was used up",
    "max_turns": "the budget of turns was used up",
    "deadline": "its time ran out",
    "context": "the model's context was full",
    "agent_stop": "the agent stopped",
    "failure": "it failed",
}


def inert(text: str) -> str:
    r"""Return `text` with every control, format and bidirectional character written out as `\x1b` or `\u202e`.

    Newlines stay; a tab becomes four spaces.
    """
    return text if text.isprintable() else "".join(map(_inert_char, text))


def _inert_char(char: str) -> str:
    if char.isprintable() or char == "\n" or unicodedata.category(char) == "Zs":
        return char
    return _TAB if char == "\t" else char.encode("unicode_escape").decode("ascii")


def call_words(tool: str | None, arguments: str) -> str:
    """Return a call as a person writes it: `pick(object="red block")`.

    Args:
        arguments: A JSON object; anything else is put between the brackets as it is.
    """
    import msgspec  # the command line's help needs `inert` alone

    try:
        parsed = msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        return f"{tool}({arguments})"
    if not isinstance(parsed, dict):
        return f"{tool}({arguments})"
    return f"{tool}({', '.join(f'{k}={msgspec.json.encode(v).decode()}' for k, v in parsed.items())})"
