"""Episodes grouped by the values of some keys, each group counted. Pure; knows no file and no entry."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

from msgspec import Struct

from trajgen.compare.stats import Interval, wilson

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from trajgen.compare.rows import Row


class Cell(Struct, frozen=True):
    """The episodes of one combination of values.

    Attributes:
        values: One per key, in the keys' order.
        n: Episodes that did not fail; `failed` ones are counted apart and in nothing else but `feedback_lines`.
        judged: Those of `n` of which success is known: what `success`, a share of 1, is out of.
        success_95: Wilson's interval.
        median_steps: Of the successful ones.
        mean_return: Over returns that are finite.
        feedback_lines: Shown to the agent, over all episodes.
    """

    values: tuple[str, ...]
    n: int
    failed: int
    judged: int
    successes: int
    success: float | None
    success_95: Interval | None
    mean_steps: float | None
    median_steps: float | None
    mean_return: float | None
    feedback_lines: int


def cell(values: Sequence[str], rows: Iterable[Row]) -> Cell:
    """Count some episodes."""
    played = list(rows)
    fine = [row for row in played if not row.failed]
    judged = sum(row.success is not None for row in fine)
    solved = [row.n_steps for row in fine if row.success]
    return Cell(
        values=tuple(values),
        n=len(fine),
        failed=len(played) - len(fine),
        judged=judged,
        successes=len(solved),
        success=len(solved) / judged if judged else None,
        success_95=wilson(len(solved), judged) if judged else None,
        mean_steps=sum(row.n_steps for row in fine) / len(fine) if fine else None,
        median_steps=float(statistics.median(solved)) if solved else None,
        mean_return=_mean([row.return_ for row in fine if math.isfinite(row.return_)]),
        feedback_lines=sum(row.n_lines for row in played),
    )


def _mean(values: Sequence[float]) -> float | None:
    try:
        return math.fsum(values) / len(values) if values else None
    except OverflowError:  # a sum beyond 1e308 means nothing
        return None
