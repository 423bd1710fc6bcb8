"""The table environment x agent that ends a run and begins `show`: from counts to lines, and to JSON.

Reads commit records through `store.reader`, never a shard unless episodes were played again.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len
from rich.text import Text

from trajgen.cli.labels import labels
from trajgen.cli.output import one_line
from trajgen.compare.stats import Interval, wilson
from trajgen.store.plan import read_plan
from trajgen.store.reader import EntrySummary, summary
from trajgen.store.tally import Tally
from trajgen.words import inert

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trajgen.cli.labels import Label
    from trajgen.store.layout import RunDir
    from trajgen.types import Json

_HEADS = ("", "episodes", "success (95 %)", "steps", "oracle", "return", "feedback", "failed")
_CAN_GO = ("feedback", "return", "oracle")  # in this order, where the terminal is too narrow
_NOTE = "oracle: steps of the solved episodes / steps its expert needs on the same tasks"
_GAP = "  "


class Row(NamedTuple):
    """One entry of a run, named and counted."""

    label: Label
    summary: EntrySummary

    @property
    def missing(self) -> int:
        """Episodes that are still to be played."""
        tally = self.summary.tally
        return self.summary.planned - tally.n_episodes - tally.n_unneeded


def rows_of(run: RunDir) -> list[Row]:
    """Count a run, an entry a row; entries that plan nothing are left out."""
    names = labels(read_plan(run).entries)
    return [Row(names[s.entry], s) for s in summary(run) if s.planned]


def total(rows: Sequence[Row]) -> Tally:
    """Return what all rows come to."""
    return sum((row.summary.tally for row in rows), Tally())


# ------------------------------------------------------------------------------------- for a person


def lines(rows: Sequence[Row], width: int | None) -> Iterator[Text]:
    """Yield the table as lines of inert text.

    Args:
        width: Columns of the terminal; None where there is none, so that no column has to go.
    """
    cells = [(_HEADS, "bold"), *((_cells(row), "") for row in rows)]
    kept = columns([c for c, _ in cells], _CAN_GO, width)
    sizes = [max(cell_len(c[i]) for c, _ in cells) for i in kept]
    yield line([_HEADS[i] for i in kept], sizes, "bold")
    task = None
    for row, (row_cells, _) in zip(rows, cells[1:], strict=True):
        if row.label.task != task:
            task = row.label.task
            yield Text(inert(task), "cyan")
        yield line([row_cells[i] for i in kept], sizes, "red" if row.summary.tally.n_failed else "")
    if any(row.summary.tally.solved_oracle_steps for row in rows) and _HEADS.index("oracle") in kept:
        yield Text(_NOTE, "dim")
    yield from _causes(rows)


def columns(table: Sequence[Sequence[str]], can_go: Sequence[str], width: int | None) -> list[int]:
    """Return the places of the columns that fit.

    Args:
        table: Rows of cells, the heads first.
        can_go: Heads of the columns that may be left out, the least needed first.
        width: Columns of the terminal; None keeps all.
    """
    kept = list(range(len(table[0])))
    for name in can_go:
        if width is None or used(table, kept) <= width:
            break
        kept.remove(table[0].index(name))
    return kept


def used(table: Sequence[Sequence[str]], kept: Sequence[int]) -> int:
    """Return how many columns of a terminal the columns `kept` of a table take."""
    return sum(max(cell_len(row[i]) for row in table) + len(_GAP) for i in kept) - len(_GAP)


def line(cells: Sequence[str], sizes: Sequence[int], style: str, n_left: int = 1) -> Text:
    """Return a row of a table: its first `n_left` cells begin, the others end at the edge of their column."""
    padded = []
    for place, (cell, size) in enumerate(zip(cells, sizes, strict=True)):
        space = " " * (size - cell_len(cell))
        padded.append(cell + space if place < n_left else space + cell)
    return Text(_GAP.join(padded).rstrip(), style)


def _cells(row: Row) -> tuple[str, ...]:
    tally, planned = row.summary.tally, row.summary.planned
    done = tally.n_episodes + tally.n_unneeded
    n_fine = tally.n_episodes - tally.n_failed
    return (
        _GAP + inert(row.label.agent),
        f"{tally.n_episodes:,}" if done == planned else f"{done:,}/{planned:,}",
        success_cell(tally),
        f"{tally.n_steps / tally.n_episodes:.1f}" if tally.n_episodes else "-",
        f"x{tally.solved_steps / tally.solved_oracle_steps:.2f}" if tally.solved_oracle_steps else "-",
        f"{tally.return_sum / n_fine:.4g}" if n_fine else "-",
        f"{sum(tally.n_feedback.values()):,}",
        f"{tally.n_failed:,}" if tally.n_failed else "-",
    )


def success_cell(tally: Tally) -> str:
    """Return the success rate with its 95 % interval; "-" where no row says whether it succeeded."""
    if tally.n_judged < 1:
        return "-"
    return share_cell(tally.n_success / tally.n_judged, wilson(tally.n_success, tally.n_judged))


def share_cell(share: float, interval: Interval) -> str:
    """Return a share of 1 in per cent with its interval."""
    return f"{percent(share)} % ({percent(interval.low)}-{percent(interval.high)})"


def percent(share: float) -> str:
    """Return a share of 1 in per cent: whole numbers in the middle, one decimal near the ends."""
    value = 100 * share
    near_an_end = 0 < min(value, 100 - value) < 10  # noqa: PLR2004 - where a whole number would say too little
    return f"{value:.1f}" if near_an_end else f"{value:.0f}"


def _causes(rows: Sequence[Row]) -> Iterator[Text]:
    """Yield why episodes failed, the most frequent cause of each entry first."""
    for row in rows:
        for cause, n in sorted(row.summary.tally.failures.items(), key=lambda item: -item[1]):
            yield Text(f"failed: {n:,} of {one_line(str(row.label))}: {one_line(cause)}", "red")


# ------------------------------------------------------------------------------------- for a program


def document(rows: Sequence[Row]) -> list[Json]:
    """Return the table as JSON: an object per entry; what cannot be told is null."""
    return [_entry_document(row) for row in rows]


def _entry_document(row: Row) -> Json:
    tally, found = row.summary.tally, row.summary
    n_fine = tally.n_episodes - tally.n_failed
    judged = tally.n_judged > 0
    return {
        "env": found.env_id,
        "agent": found.agent,
        "label": str(row.label),
        "split": found.split,
        "planned": found.planned,
        "episodes": tally.n_episodes,
        "failed": tally.n_failed,
        "unneeded": tally.n_unneeded,
        "missing": row.missing,
        "successes": tally.n_success,
        "judged": tally.n_judged,
        "success": tally.n_success / tally.n_judged if judged else None,
        "success_95": list(wilson(tally.n_success, tally.n_judged)) if judged else None,
        "mean_steps": tally.n_steps / tally.n_episodes if tally.n_episodes else None,
        "steps_to_oracle": tally.solved_steps / tally.solved_oracle_steps if tally.solved_oracle_steps else None,
        "mean_return": tally.return_sum / n_fine if n_fine else None,
        "steps": tally.n_steps,
        "turns": tally.n_turns,
        "feedback": dict(tally.n_feedback),
        "failures": dict(tally.failures),
        "stop_reasons": dict(Counter(tally.stop_reasons)),
    }
