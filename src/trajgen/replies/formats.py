"""The text formats by name, and `auto`, which tells them apart by their marks. They do not know of each other or of this.

A format is a total function from a reply and the tools to a turn.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from trajgen.chat import Reply
from trajgen.errors import ConfigError, nearest
from trajgen.replies import command, fenced, hermes, llama3, mistral, native, qwen, react
from trajgen.replies.reading import part
from trajgen.strict import shown
from trajgen.types import Tool, Turn

Reader = Callable[[Reply, Sequence[Tool]], Turn]
_WRAPPED = re.compile(r"<tool_call>\s*+(<function=)?")
_BARE = re.compile(r"<function=[^<>\n]{0,200}+>\s*+(\{)?")


def detect(reply: Reply, tools: Sequence[Tool]) -> Turn:
    """Read a reply in the first format whose marks it bears; without any, it is a reply without a call.

    Marks inside of reasoning do not count. `command` bears none, so it is never the one.
    """
    return _reader_of(reply)(reply, tools)


FORMATS: Mapping[str, Reader] = MappingProxyType(
    {
        "auto": detect,
        "native": native.turn_of,
        "hermes": hermes.turn_of,
        "qwen": qwen.turn_of,
        "llama3": llama3.turn_of,
        "mistral": mistral.turn_of,
        "react": react.turn_of,
        "fenced": fenced.turn_of,
        "command": command.turn_of,
    }
)


def reader(name: str) -> Reader:
    """Return a format's `turn_of`.

    Raises:
        ConfigError: there is no such format; the message names the nearest.
    """
    if name not in FORMATS:
        raise ConfigError(f"format: expected one of {', '.join(FORMATS)}, found {shown(name)}{nearest(name, FORMATS)}")
    return FORMATS[name]


def _reader_of(reply: Reply) -> Reader:
    if reply.calls or reply.error_kind is not None or not reply.text:
        return native.turn_of
    text = part(reply.text).text
    if (marked := _marked(text)) is not None:
        return marked
    if fenced.has_call(text):
        return fenced.turn_of
    return react.turn_of if react.has_action(text) else native.turn_of


def _marked(text: str) -> Reader | None:
    """Return the format whose own tags are in a text."""
    if (wrapped := _WRAPPED.search(text)) is not None:
        return qwen.turn_of if wrapped[1] else hermes.turn_of
    if mistral.MARK in text:
        return mistral.turn_of
    if llama3.PYTHON_TAG in text or llama3.is_pythonic(text):
        return llama3.turn_of
    if (bare := _BARE.search(text)) is not None:
        return llama3.turn_of if bare[1] else qwen.turn_of
    return None
