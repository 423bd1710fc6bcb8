"""How far a run is, while it runs: bars in a terminal, a plain line every few seconds elsewhere. Both on stderr.

Fed with the driver's snapshots; knows nothing of how episodes are played.
"""

from __future__ import annotations

import contextlib
import sys
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from trajgen.cli import output
from trajgen.cli.labels import labels
from trajgen.cli.table import percent
from trajgen.store.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

    from trajgen.cli.labels import Label
    from trajgen.driver import Snapshot

_LINE_EVERY_S = 3.0
_WINDOW_S = 10.0  # rates are those of the last so many seconds
_BAR = 8  # columns, where there is no room for more
_OTHERS = 42  # columns of all that is neither name nor bar, gaps included


class Rate(NamedTuple):
    """How fast it goes. `left_s` is None where nothing was finished lately."""

    steps_per_s: float
    left_s: float | None


class Pace:
    """Rates over a moving window; pure bookkeeping of snapshots."""

    def __init__(self) -> None:
        self._seen: deque[Snapshot] = deque()

    def add(self, snapshot: Snapshot) -> None:
        """Take in the newest snapshot."""
        self._seen.append(snapshot)
        while len(self._seen) > 2 and snapshot.elapsed_s - self._seen[1].elapsed_s >= _WINDOW_S:  # noqa: PLR2004 - two ends
            self._seen.popleft()

    def entry(self, index: int) -> Rate:
        """Return the rate of one entry."""
        new, old = self._seen[-1], self._seen[0]
        return _rate(new.tallies[index], old.tallies[index], new.planned[index], new.elapsed_s - old.elapsed_s)

    def whole(self) -> Rate:
        """Return the rate of the job; what is left is judged by all of this session, since entries differ."""
        new, old = self._seen[-1], self._seen[0]
        lately = _rate(_sum(new), _sum(old), sum(new.planned), new.elapsed_s - old.elapsed_s)
        n_played = done(_sum(new)) - new.n_before
        left = sum(new.planned) - done(_sum(new))
        return Rate(lately.steps_per_s, left * new.elapsed_s / n_played if n_played > 0 else None)


def done(tally: Tally) -> int:
    """Return how many planned episodes need no playing any more."""
    return tally.n_episodes + tally.n_unneeded


def _sum(snapshot: Snapshot) -> Tally:
    return sum(snapshot.tallies, Tally())


def _rate(new: Tally, old: Tally, planned: int, took_s: float) -> Rate:
    if took_s <= 0:
        return Rate(0.0, None)
    n = done(new) - done(old)
    return Rate((new.n_steps - old.n_steps) / took_s, (planned - done(new)) * took_s / n if n > 0 else None)


def duration(seconds: float | None) -> str:
    """Return a time as a person says it: `8 s`, `3 min 05 s`, `2 h 10 min`; "-" for None."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def success(tally: Tally) -> str:
    """Return the success rate so far; "-" where no row says whether it succeeded."""
    return f"{percent(tally.n_success / tally.n_judged)} %" if tally.n_judged > 0 else "-"


def troubles(snapshot: Snapshot) -> list[str]:
    """Return what went wrong and is being made good, in words; usually nothing."""
    said = []
    if snapshot.n_returned:
        said.append(f"{snapshot.n_returned} units retried")
    if snapshot.n_lost:
        said.append(f"{snapshot.n_lost} workers lost")
    return said


def line(snapshot: Snapshot, pace: Pace) -> str:
    """Return everything in one plain line."""
    tally, rate = _sum(snapshot), pace.whole()
    parts = [
        f"{done(tally):,} of {sum(snapshot.planned):,} done",
        f"{tally.n_failed:,} failed",
        *troubles(snapshot),
        f"success {success(tally)}",
        f"{rate.steps_per_s:,.0f} steps/s",
        f"{duration(rate.left_s)} left",
    ]
    return f"[{duration(snapshot.elapsed_s)}] " + ", ".join(parts)


@contextlib.contextmanager
def watching() -> Iterator[Callable[[Snapshot], None]]:
    """Give what the driver calls with each snapshot: bars where stderr is a terminal, else plain lines."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.live import Live

    console = output.console(stderr=True)
    # a worker that has to end this process writes to the real stderr, so that is left alone
    with Live(console=console, auto_refresh=False, redirect_stderr=False, redirect_stdout=False) as live:
        # were this process ended in mid-view, nobody would bring the cursor back
        console.show_cursor(show=True)
        bars = _Bars(console)
        yield lambda snapshot: live.update(bars(snapshot), refresh=True)


class _Lines:
    def __init__(self) -> None:
        self._pace = Pace()
        self._said_s = 0.0
        self._finished = False

    def __call__(self, snapshot: Snapshot) -> None:
        self._pace.add(snapshot)
        finished = done(_sum(snapshot)) >= sum(snapshot.planned) and not self._finished
        if finished or snapshot.elapsed_s - self._said_s >= _LINE_EVERY_S:
            self._finished = finished
            self._said_s = snapshot.elapsed_s
            output.tell(line(snapshot, self._pace))


class _Bars:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._pace = Pace()
        self._labels: list[Label] = []

    def __call__(self, snapshot: Snapshot) -> RenderableType:
        from rich.console import Group

        self._pace.add(snapshot)
        if len(self._labels) != len(snapshot.entries):
            self._labels = labels(snapshot.entries)
        return Group(bars(snapshot, self._pace, self._labels, *self._console.size), total_line(snapshot, self._pace))


def total_line(snapshot: Snapshot, pace: Pace) -> Text:
    """Return the line under the bars."""
    from rich.text import Text

    tally, rate = _sum(snapshot), pace.whole()
    text = Text(f"{done(tally):,}/{sum(snapshot.planned):,} episodes, {tally.n_failed:,} failed, ")
    text.append(f"{duration(snapshot.elapsed_s)} gone, {duration(rate.left_s)} left", "bold")
    for trouble in troubles(snapshot):
        text.append(f", {trouble}", "yellow")
    text.append("  (Ctrl-C stops)", "dim")
    return text


def bars(snapshot: Snapshot, pace: Pace, names: list[Label], width: int, height: int) -> Table:
    """Return a line per entry; where they do not all fit, those that are being played."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    shown = _fitting(snapshot, max(height - 3, 1))
    any_failed = any(t.n_failed for t in snapshot.tallies)
    room = width - _OTHERS - (len("failed") + 2 if any_failed else 0)
    n_name = min(max(len(str(names[i])) for i in shown), max(room - _BAR, _BAR))
    n_bar = min(max(room - n_name, _BAR), 3 * _BAR)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", no_wrap=True)
    heads = ("", "done", *(("failed",) if any_failed else ()), "success", "steps/s", "left")
    for head in heads:
        table.add_column(head, justify="right" if head else "left", no_wrap=True, header_style="dim")
    for index in shown:
        tally, planned, rate = snapshot.tallies[index], snapshot.planned[index], pace.entry(index)
        finished = done(tally) >= planned
        table.add_row(
            _short(str(names[index]), n_name),
            ProgressBar(total=max(planned, 1), completed=done(tally), width=n_bar, finished_style="green"),
            f"{done(tally):,}/{planned:,}",
            *((_failed(tally.n_failed),) if any_failed else ()),
            success(tally),
            "" if finished else f"{rate.steps_per_s:,.0f}",
            "" if finished else clock(rate.left_s),
        )
    return table


def clock(seconds: float | None) -> str:
    """Return a time in few columns: `0:08`, `3:05`, `2:10:00`; "-" for None."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _short(name: str, room: int) -> str:
    """Cut a name in its front, where its environment is, so that the agent stays readable."""
    whole = output.one_line(name)
    return whole if len(whole) <= room else "..." + whole[-(room - 3) :]


def _failed(n_failed: int) -> Text:
    from rich.text import Text

    return Text(f"{n_failed:,}" if n_failed else "-", "red" if n_failed else "dim")


def _fitting(snapshot: Snapshot, n: int) -> list[int]:
    everything = [i for i, planned in enumerate(snapshot.planned) if planned]
    if len(everything) <= n:
        return everything
    # under way first, then waiting, then finished
    by_interest = sorted(
        everything, key=lambda i: (done(snapshot.tallies[i]) >= snapshot.planned[i], not done(snapshot.tallies[i]))
    )
    return sorted(by_interest[:n])
