"""A plain command: `tool value value`, `tool(a=1, b="x")`, or for a text game the line itself. Never raises.

The first line that is not blank is the command; a `>` before it is no part of it. Values are taken in the order of the
tool's arguments, quoted as in a shell, and typed by its JSON Schema.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from trajgen.replies import pythonic
from trajgen.replies.arguments import cut
from trajgen.replies.calls import Written, takes
from trajgen.replies.reading import Found, read
from trajgen.replies.values import as_json, kinds, known, properties, typed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trajgen.chat import Reply
    from trajgen.types import Tool, Turn

_LINE = re.compile(r"\s*+(?:>\s*+)?+([^\r\n]*+)")
_HEAD = re.compile(r"(\S++)\s*+")
# not by way of `shlex`, which takes seconds for a megabyte
_WORD = re.compile(r"""(?:[^\s"'\\]++|"[^"\\]*+(?:\\.[^"\\]*+)*+"|'[^']*+'|\\.)++""", re.DOTALL)
_PIECE = re.compile(r"""[^"'\\]++|"([^"\\]*+(?:\\.[^"\\]*+)*+)"|'([^']*+)'|\\(.)""", re.DOTALL)
_BLANK = re.compile(r"\s*+")
_ESCAPED = re.compile(r'\\(["\\])')


def turn_of(reply: Reply, tools: Sequence[Tool]) -> Turn:
    """Read one reply as a turn; see `native.turn_of`. It has one call, or none where the reply is blank."""
    return read(reply, tools, _found)


def _found(text: str, tools: Sequence[Tool]) -> Found:
    found = _LINE.match(text)
    line = found[1].rstrip() if found else ""
    if found is None or not line:
        return Found("")
    call = pythonic.call_at(text, found.start(1))
    if call is not None and _is_whole(text, call, tools):
        end = len(text) if call.end is None else call.end
        return Found(text[end:], [pythonic.written(call, tools)])
    return Found(text[found.end() :], [_written(line, tools)])


def _is_whole(text: str, call: pythonic.Spelled, tools: Sequence[Tool]) -> bool:
    """Say whether a line that begins like `tool(` is such a call, and not a sentence."""
    if known(call.name, tools) is not None:
        return True
    return _spoken(tools) is None and call.end is not None and not text[call.end :].partition("\n")[0].strip()


def _written(line: str, tools: Sequence[Tool]) -> Written:
    if (spoken := _spoken(tools)) is not None:
        name, argument = spoken
        return Written(name, line, arguments=as_json([(argument, line)]))
    head = _HEAD.match(line)
    name, rest = (head[1], line[head.end() :]) if head else (line, "")
    if known(name, tools) is None:
        return Written(name, rest, arguments="")  # the action space says that there is no such tool
    return _positional(name, rest, tools)


def _positional(name: str, rest: str, tools: Sequence[Tool]) -> Written:
    schemas = properties(name, tools)
    words = _words(rest, len(schemas) + 1)
    if len(schemas) == 1 and (words is None or len(words) > 1):
        (argument,) = schemas
        if "string" in kinds(schemas[argument]):  # the only text needs no quotes
            return Written(name, rest, arguments=as_json([(argument, rest)]))
    if words is None:
        return Written(name, rest, f"{name}: a quote in {cut(rest)!r} is not closed")
    if len(words) > len(schemas):
        hint = f"is one value too many; quote a value with blanks{takes(name, tools)}"
        return Written(name, rest, f"{name}: {cut(words[len(schemas)])!r} {hint}")
    pairs = ((key, typed(word, schemas[key])) for key, word in zip(schemas, words, strict=False))
    return Written(name, rest, arguments=as_json(pairs))


def _spoken(tools: Sequence[Tool]) -> tuple[str, str] | None:
    """Return tool and argument of a text game: one tool that must be told one text, and nothing else."""
    if len(tools) != 1:
        return None
    required = tools[0].parameters.get("required")
    if not isinstance(required, list | tuple) or len(required) != 1:
        return None
    (argument,) = required
    is_text = kinds(properties(tools[0].name, tools).get(argument)) == {"string"}
    return (tools[0].name, argument) if is_text else None


def _words(text: str, most: int) -> list[str] | None:
    """Split as a shell does, into `most` words and no further; None where a quote is not closed."""
    words: list[str] = []
    at = _skip(text, 0)
    while at < len(text) and len(words) < most:
        word = _WORD.match(text, at)
        if word is None:
            return None
        words.append(_PIECE.sub(_plain, word[0]))
        at = _skip(text, word.end())
    return words


def _skip(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def _plain(piece: re.Match[str]) -> str:
    if piece[1] is not None:
        return _ESCAPED.sub(r"\1", piece[1])
    return next((part for part in (piece[2], piece[3]) if part is not None), piece[0])
