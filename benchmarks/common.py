"""What every benchmark shares: figures beside their floors, CPU accounting, interleaved repeats, the table.

CPU time is that of this process and of the children it has waited for, so a server that still runs is not in it.
Knows nothing of trajgen.
"""

from __future__ import annotations

import resource
import statistics
import time
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class Goal(NamedTuple):
    """What a figure should hold: its ratio to the floor, its difference from it, or the figure itself."""

    of: Literal["ratio", "difference", "figure"]
    is_: Literal["<=", ">="]
    bound: float

    def met(self, figure: float, floor: float | None) -> bool:
        """Say whether the figure holds it."""
        value = figure
        if floor is not None and self.of != "figure":
            value = figure / floor if self.of == "ratio" else figure - floor
        return value <= self.bound if self.is_ == "<=" else value >= self.bound

    def __str__(self) -> str:
        what = {"ratio": "ratio ", "difference": "more by ", "figure": ""}[self.of]
        return f"{what}{self.is_} {self.bound:g}"


class Figure(NamedTuple):
    """One measured line.

    Attributes:
        value: In `unit`.
        floor: The same quantity of the least that could do it, measured in the same run; None where there is none.
        floor_is: What that was.
    """

    name: str
    value: float
    unit: str
    floor: float | None = None
    floor_is: str = ""
    goal: Goal | None = None

    @property
    def ratio(self) -> float | None:
        """The figure over its floor."""
        return None if self.floor is None else self.value / self.floor

    @property
    def met(self) -> bool | None:
        """Whether the goal holds; None where there is none."""
        return None if self.goal is None else self.goal.met(self.value, self.floor)


class Spent(NamedTuple):
    """What a piece of work took."""

    wall_s: float
    cpu_s: float


def cpu_s() -> float:
    """Return user and system seconds of this process and of its finished children."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def spent(work: Callable[[], object]) -> Spent:
    """Do some work once and say what it took."""
    wall, cpu = time.perf_counter(), cpu_s()
    work()
    return Spent(time.perf_counter() - wall, cpu_s() - cpu)


def interleaved(kinds: Mapping[str, Callable[[], Spent]], repeats: int) -> dict[str, Spent]:
    """Measure each kind in turn, `repeats` times over, and return the medians: a slow minute then hits all alike."""
    runs: dict[str, list[Spent]] = {kind: [] for kind in kinds}
    for _ in range(repeats):
        for kind, measure in kinds.items():
            runs[kind].append(measure())
    return {
        kind: Spent(*(statistics.median(column) for column in zip(*found, strict=True))) for kind, found in runs.items()
    }


_HEADINGS = ("name", "figure", "floor", "ratio", "goal", "")


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as aligned text, one line each."""
    rows = [_HEADINGS, *map(_cells, figures)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEADINGS))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in {1, 3} else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _cells(figure: Figure) -> tuple[str, ...]:
    floor = "" if figure.floor is None else f"{_number(figure.floor)} {figure.floor_is}"
    met = {None: "", True: "met", False: "MISSED"}[figure.met]
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
    return figure.name, f"{_number(figure.value)} {figure.unit}", floor, ratio, str(figure.goal or ""), met


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def to_json(figures: Sequence[Figure]) -> str:
    """Return the figures as a JSON list of objects, with `ratio` and `met` worked out."""
    rows = [
        {**figure._asdict(), "goal": str(figure.goal or "") or None, "ratio": figure.ratio, "met": figure.met}
        for figure in figures
    ]
    return msgspec.json.format(msgspec.json.encode(rows)).decode()
