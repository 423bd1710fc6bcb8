"""Where everything a person reads leaves the process. Knows what is dangerous in a terminal, and no verb.

Data is hostile: a task, a model or an exception may hold escape sequences, markup or characters that turn text
around. Whatever is printed goes through `inert` or is JSON in ASCII.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from trajgen.words import inert

if TYPE_CHECKING:
    from cyclopts import CycloptsError
    from rich.console import Console, RenderableType

    from trajgen.types import Json


def prepare() -> None:
    """Make the standard streams take any text, whatever the locale."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def kept_clean() -> contextlib.redirect_stdout[TextIO]:
    """Keep stdout for results while environments and agents run here: what they print goes to stderr."""
    return contextlib.redirect_stdout(sys.stderr)


def flush() -> None:
    """Send what is buffered, so that a closed pipe is met here and not at exit."""
    sys.stdout.flush()


def abandon() -> None:
    """Give up stdout: nobody reads it. What is still buffered goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def one_line(text: str, limit: int = 200) -> str:
    """Return `inert` text on one line, cut to `limit` characters."""
    flat = inert(" ".join(text.split()))
    return flat if len(flat) <= limit else flat[: limit - 3] + "..."


def say(text: str = "") -> None:
    """Print a line on stdout."""
    sys.stdout.write(inert(text) + "\n")


def tell(text: str) -> None:
    """Print a line on stderr: progress, advice and errors, never results."""
    sys.stderr.write(inert(text) + "\n")
    sys.stderr.flush()


def error(message: str) -> None:
    """Print what went wrong on stderr."""
    tell(f"error: {message}")


def usage(wrong: CycloptsError) -> str:
    """Return the message for a command line that cannot be read, and where its help is."""
    verbs = " ".join(wrong.command_chain or ())
    return f"{wrong}\ntype: trajgen {verbs + ' ' if verbs else ''}--help"


def say_json(document: Json) -> None:
    """Print one JSON document on stdout: ASCII, and without NaN or infinity, which become null."""
    sys.stdout.write(json.dumps(_finite(document), indent=2, ensure_ascii=True, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return value


def console(*, stderr: bool = False) -> Console:
    """Return a console that reads no markup, no emoji names and no highlights into text."""
    from rich.console import Console  # 60 ms that --json need not pay

    class _Plain(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # `main` answers it

    return _Plain(stderr=stderr, markup=False, emoji=False, highlight=False, soft_wrap=False)


def say_rich(*parts: RenderableType) -> None:
    """Print styled parts on stdout, a line or more each; their text must be inert already."""
    from rich.text import Text  # see `console`

    out = console()
    if out.is_terminal:
        for part in parts:
            out.print(part)
        return
    for part in parts:
        with out.capture() as printed:
            # a line of text is not broken where nobody looks at its width; grids break theirs at 80
            out.print(part, soft_wrap=isinstance(part, Text))
        sys.stdout.write("".join(f"{line.rstrip()}\n" for line in printed.get().splitlines()))


def typed(*words: str | Path) -> str:
    """Return a command as a person can paste it here: `trajgen` by its path where the shell would not find this one."""
    program, *rest = map(str, words)
    return shlex.join([_this_program() if program == "trajgen" else program, *rest])


def _this_program() -> str:
    started = Path(sys.argv[0])
    found = shutil.which("trajgen")
    if started.name != "trajgen" or (found is not None and Path(found).resolve() == started.resolve()):
        return "trajgen"
    near = os.path.relpath(started)
    return str(started) if near.startswith("..") else near
