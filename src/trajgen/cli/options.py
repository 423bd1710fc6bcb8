"""The flags that several verbs share, so that they are called and explained alike."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from trajgen.errors import ConfigError, nearest
from trajgen.limits import MAX_WORKERS
from trajgen.strict import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trajgen.types import Json

_MAX_DIGITS = 9

RunArg = Annotated[str, Parameter(name="RUN", help="A run's folder, or its name in runs/.")]
AsJson = Annotated[
    bool,
    Parameter(name="--json", negative="", show_default=False, help="Print one JSON document; progress goes to stderr."),
]
Sets = Annotated[
    list[str] | None,
    Parameter(
        name="--set",
        negative="",
        show_default=False,
        consume_multiple=True,
        help="Change a key: a.b=1, entry.0.seeds='\"0:5\"'; repeatable.",
    ),
]
Workers = Annotated[
    str | None,
    Parameter(
        name="--workers", help="'auto': Ray, a worker a CPU; N: Ray, N workers; 0: in this process, without Ray."
    ),
]
AllowMixed = Annotated[
    bool,
    Parameter(
        name="--allow-mixed",
        negative="",
        show_default=False,
        help="Go on with a run that another version of trajgen began.",
    ),
]
Address = Annotated[str | None, Parameter(name="--address", help="An existing Ray cluster: 'auto', or HOST:PORT.")]


def read_workers(text: str) -> int | None:
    """Read `--workers`; None is one a CPU.

    Raises:
        ConfigError: neither a whole number from 0 nor "auto".
    """
    if text == "auto":
        return None
    if not (text.isascii() and text.isdecimal()):
        raise ConfigError(
            f"--workers: expected 'auto' or a whole number from 0, found {text!r}{nearest(text, ['auto'])}"
        )
    if len(text) > _MAX_DIGITS or int(text) > MAX_WORKERS:
        raise ConfigError(f"--workers: expected at most {MAX_WORKERS:,}, found {shown(text)}")
    return int(text)


def read_settings(flag: str, texts: Iterable[str]) -> dict[str, Json]:
    """Read KEY=VALUE words; VALUE as TOML, a bare word as text. A later one of a key wins.

    Raises:
        ConfigError: no `=`, or nothing before it.
    """
    found: dict[str, Json] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise ConfigError(f"{flag} {text}: expected KEY=VALUE")
        try:
            found[key] = tomllib.loads(f"v = {value}")["v"]
        except (ValueError, RecursionError):  # beside TOML's own: thousands of digits, or of brackets
            found[key] = value
    return found
