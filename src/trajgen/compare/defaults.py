"""What an environment does where a job leaves an option out. Imports no environment that is not an installed plug-in."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from trajgen import registry
from trajgen.errors import UserError

if TYPE_CHECKING:
    from trajgen.types import Json


class Default(NamedTuple):
    """An option and its value as JSON data."""

    name: str
    value: Json


@functools.cache
def option_defaults(env_id: str) -> tuple[Default, ...]:
    """Return the reset options an environment has a default for.

    None are known where it says no `options_type`, is no plug-in (the id alone must not make us import a stranger's
    module), or cannot be imported here: to look at a run takes no simulator.
    """
    if not registry.is_plug_in(env_id):
        return ()
    try:
        made_by = registry.env_type(env_id)
    except UserError:
        return ()
    options = getattr(made_by, "options_type", None)
    if not (isinstance(options, type) and issubclass(options, msgspec.Struct)):
        return ()
    return tuple(_defaults(options))


def _defaults(options: type[msgspec.Struct]) -> list[Default]:
    found = []
    for field in msgspec.structs.fields(options):
        if field.default is not msgspec.NODEFAULT:
            value = field.default
        elif field.default_factory is not msgspec.NODEFAULT:
            value = field.default_factory()
        else:
            continue
        found.append(Default(field.encode_name, msgspec.to_builtins(value)))
    return found
