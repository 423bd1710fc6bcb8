"""How far something countable is, on stderr: a bar in a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING

from trajgen.cli import output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

_LINE_EVERY_S = 3.0


@contextlib.contextmanager
def counting(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Give what is to be called after each of `total` items; `what` says what is done to them, e.g. "replaying"."""
    if sys.stderr.isatty():
        with _bar(what, total, output.console(stderr=True)) as advance:
            yield advance
    else:
        yield _Lines(what, total)


class _Lines:
    def __init__(self, what: str, total: int) -> None:
        self._what, self._total, self._n = what, total, 0
        self._said_s = time.monotonic()

    def __call__(self) -> None:
        self._n += 1
        if time.monotonic() - self._said_s >= _LINE_EVERY_S:
            self._said_s = time.monotonic()
            output.tell(f"{self._what}: {self._n:,} of {self._total:,}")


@contextlib.contextmanager
def _bar(what: str, total: int, console: Console) -> Iterator[Callable[[], None]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)
