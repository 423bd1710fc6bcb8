"""Prompts that are files: read where they lie, filled in, and tools put into words for models that are told of them in text.

A prompt is a text file beside its agent, with `$name` where something is filled in (`string.Template`), so that a person
can read it, copy it and put another in its place. Pure text; knows no model, no server and no agent.
"""

from __future__ import annotations

import string
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, overload

from trajgen.errors import ConfigError, nearest
from trajgen.types import as_written

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from trajgen.types import Json, Tool

_SHOWN_CHOICES = 30


class PromptFiles:
    """An agent's `prompts`: the texts of files in the folder `prompts` beside it, read when they are first asked for.

    Args:
        also: Fixed texts of its prompts that lie elsewhere; they come last.
    """

    def __init__(self, *names: str, also: Sequence[str] = ()) -> None:
        self.names, self._also = names, tuple(also)

    @overload
    def __get__(self, instance: None, owner: type) -> tuple[str, ...]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> tuple[str, ...]: ...
    def __get__(self, instance: object | None, owner: type) -> tuple[str, ...]:
        """Return the texts, in the order of the names."""
        package = owner.__module__.rpartition(".")[0]
        return (*(_read(package, name) for name in self.names), *self._also)


@cache
def _read(package: str, name: str) -> str:
    return resources.files(package).joinpath("prompts", name).read_text(encoding="utf-8").strip()


def filled(template: str, values: Mapping[str, str]) -> str:
    """Return a prompt with its `$names` filled in; `$$` is a dollar.

    Raises:
        ConfigError: it has a name that is not among `values`, or a lone `$`.
    """
    try:
        return string.Template(template).substitute(values)
    except KeyError as error:
        name = str(error.args[0])
        hint = nearest(name, values) or f"; there are: {', '.join('$' + v for v in values)}"
        raise ConfigError(f"prompt: nothing is known for ${name}{hint}") from None
    except ValueError:
        raise ConfigError("prompt: a '$' must be followed by a name, or be written '$$'") from None


def tool_lines(tools: Iterable[Tool]) -> str:
    """Return one line a tool: how it is called, and what it does.

    As in `pick(object: "red block" | "blue bowl"): Pick up an object.`; an argument that may be left out ends in `?`.
    """
    return "\n".join(f"{tool.name}({_parameters(tool)}): {' '.join(tool.description.split())}" for tool in tools)


def _parameters(tool: Tool) -> str:
    properties = tool.parameters.get("properties")
    if not isinstance(properties, dict):
        return ""
    required = tool.parameters.get("required") or ()
    return ", ".join(f"{name}{'' if name in required else '?'}: {_kind(s)}" for name, s in properties.items())


def _kind(schema: Json) -> str:
    """Say in a few characters what a value may be."""
    if not isinstance(schema, dict):
        return "any"
    if choices := schema.get("enum"):
        more = f" | ... ({len(choices)} in all)" if len(choices) > _SHOWN_CHOICES else ""
        return " | ".join(map(as_written, choices[:_SHOWN_CHOICES])) + more
    if "const" in schema:
        return as_written(schema["const"])
    kind = schema.get("type", "any")
    named = " or ".join(kind) if isinstance(kind, list) else str(kind)
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is None and high is None:
        return named
    return f"{named} from {low} to {high}" if None not in (low, high) else f"{named}, {_bound(low, high)}"


def _bound(low: Json, high: Json) -> str:
    return f"at most {high}" if low is None else f"at least {low}"
