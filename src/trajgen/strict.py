"""Untyped data -> a struct, or a `ConfigError` that says path, expected, found and the nearest key.

Every place where a person or a model hands trajgen a mapping goes through `convert`: job files, options of
environments and exporters, keys of agents and backends. Structs are read strictly: unknown keys are errors.
"""

from __future__ import annotations

import functools
import re
from typing import Any, TypeVar

import msgspec

from trajgen.errors import ConfigError, nearest

T = TypeVar("T")

_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>.*)`")
_MISSING = re.compile(r"Object missing required field `(?P<key>.*)`")
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
}


def convert(data: Any, type_: type[T], where: str) -> T:  # untyped by nature
    """Read `data` as `type_`, strictly.

    Args:
        data: What a TOML or JSON parser returns.
        where: Prefix of every message: a file's name, then the path to `data` in it.

    Raises:
        ConfigError: `WHERE.PATH: expected ..., found ...` or `WHERE.PATH: unknown key ...; did you mean ...?`.
    """
    _no_unknown_keys(data, type_, where)
    try:
        return msgspec.convert(data, type_)
    except msgspec.ValidationError as error:
        raise ConfigError(_explain(str(error), data, type_, where)) from None


def _no_unknown_keys(data: Any, type_: Any, where: str) -> None:
    """Refuse keys the struct does not have, whatever its own `forbid_unknown_fields` says."""
    known = _keys(type_)
    if known is not None and isinstance(data, dict):
        for key in data:
            if key not in known:
                hint = nearest(str(key), known) or f"; it takes {', '.join(known)}" if known else "; it takes none"
                raise ConfigError(f"{join(where, str(key))}: unknown key{hint}")


@functools.cache
def _keys(type_: Any) -> tuple[str, ...] | None:
    """Return the keys a struct has, None where `type_` is none; asking msgspec costs 30 us, and each reset asks."""
    info = msgspec.inspect.type_info(type_)
    return tuple(f.encode_name for f in info.fields) if isinstance(info, msgspec.inspect.StructType) else None


def _explain(message: str, data: Any, type_: Any, where: str) -> str:
    said, _, path = message.partition(" - at `$")
    steps = re.findall(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]", path.rstrip("`"))
    found: Any = data
    full = where
    for name, index in steps:
        full = f"{full}[{index}]" if index else join(full, name)
        try:
            found = found[int(index)] if index else found[name]
        except (KeyError, IndexError, TypeError, ValueError):
            found = None
    if (unknown := _UNKNOWN.match(said)) is not None:
        return f"{join(full, unknown['key'])}: unknown key"
    if (missing := _MISSING.match(said)) is not None:
        return f"{join(full, missing['key'])}: missing; it must be given"
    if ", found " in said:  # a struct's own check, which begins with the key
        return join(full, said)
    if said.startswith("Invalid enum value") and (choices := _choices(type_, steps)):
        return f"{full}: expected one of {', '.join(choices)}, found {shown(found)}{nearest(str(found), choices)}"
    expected = re.sub(r"`([^`]*)`", lambda m: " or ".join(_WORDS.get(w, w) for w in m[1].split(" | ")), said)
    expected = re.sub(r", got .*$", "", expected)
    return f"{full}: {expected[:1].lower()}{expected[1:]}, found {shown(found)}"


def _choices(type_: Any, steps: list[tuple[str, str]]) -> tuple[str, ...]:
    """Return what a key of a struct may be, where that is a choice of words; else nothing."""
    info = msgspec.inspect.type_info(type_)
    fields = info.fields if isinstance(info, msgspec.inspect.StructType) else ()
    field = next((f.type for f in fields if len(steps) == 1 and f.encode_name == steps[0][0]), None)
    kinds = field.types if isinstance(field, msgspec.inspect.UnionType) else (field,)
    return tuple(str(v) for k in kinds if isinstance(k, msgspec.inspect.LiteralType) for v in k.values)


def shown(value: Any, limit: int = 60) -> str:
    """Quote a value for a message, cut to `limit` characters."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def join(where: str, key: str) -> str:
    """Append a key to a path: `file.toml: budget` + `max_steps` -> `file.toml: budget.max_steps`."""
    if not where or where.endswith(": "):
        return where + key
    return f"{where}.{key}"
