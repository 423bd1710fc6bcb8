"""Values of formats that write them as plain text: typed by the tool's JSON Schema. Never raises."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from trajgen.replies.arguments import parse_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from trajgen.types import Json, Tool

_PYTHON = {"True": "true", "False": "false", "None": "null"}
_KINDS = {"bool": "boolean", "int": "integer", "float": "number", "str": "string", "NoneType": "null"}


def known(name: str | None, tools: Sequence[Tool]) -> Tool | None:
    """Return the tool of a name."""
    return next((t for t in tools if t.name == name), None)


def properties(name: str | None, tools: Sequence[Tool]) -> Mapping[str, Json]:
    """Return the arguments of a tool, name -> JSON Schema, in their order; none for a tool nobody knows."""
    tool = known(name, tools)
    found = tool.parameters.get("properties") if tool is not None else None
    return found if isinstance(found, dict) else {}


def kinds(schema: Json) -> frozenset[str]:
    """Return the JSON types a schema allows, as far as it says so itself; nothing where it does not."""
    if not isinstance(schema, dict):
        return frozenset()
    given = schema.get("type")
    if given is not None:
        return frozenset([given]) if isinstance(given, str) else frozenset(given)
    if "const" in schema or "enum" in schema:
        return frozenset(_kind(v) for v in schema.get("enum", [schema.get("const")]))
    either = schema.get("anyOf") or schema.get("oneOf") or ()
    return frozenset().union(*map(kinds, either))


def typed(text: str, schema: Json) -> Json:
    """Read a value as its schema has it: text stays text, and so does what is not JSON of a type the schema allows."""
    wanted = kinds(schema) - {"string"}
    if not wanted:
        return text
    parsed = parse_object(f'{{"v": {_PYTHON.get(text.strip(), text)}}}')
    if parsed.problem is not None or len(parsed.value) != 1:
        return text
    value = parsed.value["v"]
    kind = "integer" if isinstance(value, float) and value.is_integer() and "number" not in wanted else _kind(value)
    return value if kind in wanted or (kind == "integer" and "number" in wanted) else text


def as_json(pairs: Iterable[tuple[str, Json]]) -> str:
    """Write arguments as a JSON object; a name given twice stays there twice, so that it is refused."""
    return "{" + ", ".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in pairs) + "}"


def _kind(value: Json) -> str:
    return _KINDS.get(type(value).__name__, "array" if isinstance(value, list) else "object")
