r"""What a reply is held to: constraints -> grammars of the embedded engine, and tools -> one JSON Schema and back.

The engine does not enforce `tool_choice`, and templates of small models show neither tools nor calls. So tools become
text of the system message, a call becomes `{"name":...,"arguments":...}` on a line of the reply, and the schema of
just that holds the model to it. What is written and what is read back are equal to the byte, so that a conversation
stays one sequence of tokens. Knows no engine but the two notations it reads: GBNF, and llguidance behind its mark.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw, Struct

from trajgen.chat import EmittedCall, Message
from trajgen.errors import nearest
from trajgen.strict import shown
from trajgen.types import as_written

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from trajgen.types import Json, Tool

KINDS = ("json_schema", "json", "choice", "regex", "grammar")
_LLGUIDANCE = "%llguidance {}\nstart: "
# no blanks, as episodes store calls: a weak model can go on with blanks for ever
_BLANKS = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":", "lenient": True}
_SHORT = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_ASCII = range(0x20, 0x7F)
_BMP = 0xFFFF
_SURROGATES = range(0xD800, 0xE000)

# ------------------------------------------------------------------------------------- constraints


def grammar_of(constraint: Mapping[str, Json]) -> str:
    """Return the grammar that holds a reply to `constraint`.

    Args:
        constraint: One key: `json_schema` (or `json`) with a schema, `choice` with a list of texts, `regex`, or
            `grammar` in GBNF, or in Lark behind `%llguidance {}`.

    Raises:
        ValueError: another key, or a value that is none of these.
    """
    (kind, value), *more = constraint.items() or [("nothing", None)]
    if more or kind not in KINDS:
        raise ValueError(
            f"constraint: expected one key of {', '.join(KINDS)}, found {sorted(constraint)}{nearest(kind, KINDS)}"
        )
    if kind == "choice":
        return choice_grammar(value)
    if kind in {"json_schema", "json"}:
        if not isinstance(value, dict | bool):
            raise ValueError(f"constraint.{kind}: expected a JSON Schema, found {shown(value)}")
        return schema_grammar(value)
    if not isinstance(value, str) or not value:
        raise ValueError(f"constraint.{kind}: expected text, found {shown(value)}")
    return value if kind == "grammar" else f"{_LLGUIDANCE}/{_unslashed(value)}/"


def choice_grammar(choices: Json) -> str:
    """Return a GBNF grammar of exactly these texts.

    Raises:
        ValueError: not a list of texts, none, or a text with NUL or half of a surrogate pair, which no model writes.
    """
    if not isinstance(choices, list | tuple) or not choices or not all(isinstance(c, str) and c for c in choices):
        raise ValueError(f"constraint.choice: expected a list of texts, none empty, found {shown(choices)}")
    for text in choices:
        if any(c == "\0" or ord(c) in _SURROGATES for c in text):
            raise ValueError(f"constraint.choice: {shown(text)} holds a character that no model can write")
    return "root ::= " + " | ".join(f'"{"".join(map(_escaped, text))}"' for text in choices)


def _escaped(character: str) -> str:
    code = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    if code in _ASCII:
        return character
    return f"\\u{code:04X}" if code <= _BMP else f"\\U{code:08X}"


def _unslashed(regex: str) -> str:
    """Escape the slashes that would end it; one that is escaped already stays."""
    out, escaped = [], False
    for c in regex:
        out.append("\\/" if c == "/" and not escaped else c)
        escaped = c == "\\" and not escaped
    return "".join(out)


def schema_grammar(schema: Json) -> str:
    """Return the grammar of a JSON Schema, in llguidance's notation."""
    held = {**schema, "x-guidance": _BLANKS} if isinstance(schema, dict) else schema
    return f"{_LLGUIDANCE}%json {json.dumps(held, ensure_ascii=True)}"


# ------------------------------------------------------------------------------------- tools


def tools_schema(tools: Sequence[Tool]) -> dict[str, Json]:
    """Return the schema of one call of one of `tools`."""
    return {"anyOf": [_call_schema(tool, f"#/anyOf/{i}/properties/arguments/") for i, tool in enumerate(tools)]}


def _call_schema(tool: Tool, place: str) -> dict[str, Json]:
    parameters = _moved({"type": "object", **tool.parameters}, place)
    return {
        "type": "object",
        "properties": {"name": {"const": tool.name}, "arguments": parameters},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _moved(schema: Any, place: str) -> Any:  # JSON in, JSON out
    """Let references inside a schema follow it to where it is put."""
    if isinstance(schema, dict):
        return {
            k: place + v[2:] if k == "$ref" and isinstance(v, str) and v.startswith("#/") else _moved(v, place)
            for k, v in schema.items()
        }
    return [_moved(item, place) for item in schema] if isinstance(schema, list) else schema


class _Written(Struct, forbid_unknown_fields=True):
    name: str
    arguments: Raw


_written = msgspec.json.Decoder(_Written)


def read_call(text: str) -> EmittedCall | None:
    """Return the call that a reply consists of, its arguments as they were written; None where it is none."""
    try:
        found = _written.decode(text)
        return EmittedCall(None, found.name, bytes(found.arguments).decode())
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def written(name: str, arguments: str) -> str:
    """Return a call as `read_call` reads it."""
    return f'{{"name":{json.dumps(name, ensure_ascii=False)},"arguments":{arguments or "{}"}}}'


def tools_prompt(tools: Sequence[Tool]) -> str:
    """Return what the system message says of the tools."""
    lines = [f"- {t.name}: {t.description} Arguments: {as_written(dict(t.parameters))}" for t in tools]
    return "\n".join(
        ["Tools:", *lines, 'Reply with one call and nothing else: {"name":"TOOL","arguments":{"KEY":"VALUE"}}']
    )


def as_text(messages: Sequence[Message], tools: Sequence[Tool]) -> Iterator[Message]:
    """Yield a chat without calls and tool messages, for templates that know of neither.

    Calls stand in the text; what all tools of a turn answered is one user message, since templates want roles to take
    turns. Where there are tools, the system message ends with them.
    """
    rest = list(messages)
    system = rest.pop(0).content if rest and rest[0].role == "system" else None
    parts = [part for part in (system, tools_prompt(tools) if tools else None) if part is not None]
    if parts:
        yield Message("system", "\n\n".join(parts))
    answers: list[str] = []
    for message in rest:
        if message.role == "tool":
            answers.append(message.content)
            continue
        if answers:
            yield Message("user", "\n".join(answers))
            answers = []
        calls = [written(call.name, call.arguments) for call in message.tool_calls]
        said = [message.content] if message.content else []
        yield Message(message.role, "\n".join([*said, *calls]))
    if answers:
        yield Message("user", "\n".join(answers))
