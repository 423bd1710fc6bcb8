"""What `run` and `resume` share: drive a job to its end, say how far it is, and say what came of it.

Decides where a job is played (this process or Ray) and which exit code its report means. Ray is imported only there.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from trajgen.cli import INCOMPLETE, INTERRUPTED, OK, USER_ERROR, output, table
from trajgen.cli.advice import example, next_commands
from trajgen.cli.live import done, duration, watching
from trajgen.driver import preflight, prepared
from trajgen.store.layout import RunDir
from trajgen.store.plan import read_plan
from trajgen.store.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from trajgen.driver import JobReport, Prepared, Snapshot
    from trajgen.entries import Job
    from trajgen.types import Json

_SHOWN_REASONS = 5


class How(NamedTuple):
    """What the flags of a verb say about playing.

    Attributes:
        address: An existing Ray cluster; None starts one.
        retry_failed: Play failed episodes again.
        silent: Show no progress: a person plays in this terminal.
    """

    allow_mixed: bool = False
    retry_failed: bool = False
    address: str | None = None
    as_json: bool = False
    silent: bool = False


class _Last:
    """Keeps the newest snapshot: what is safe when nobody is left to report it."""

    def __init__(self, show: Callable[[Snapshot], None]) -> None:
        self._show = show
        self.snapshot: Snapshot | None = None

    def __call__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._show(snapshot)

    @property
    def n_safe(self) -> int:
        """Episodes that are committed or in a journal."""
        return 0 if self.snapshot is None else done(sum(self.snapshot.tallies, Tally()))


class _Played(NamedTuple):
    """How playing ended; `report` is None where nothing was missing."""

    report: JobReport | None
    n_safe: int
    n_planned: int
    n_missing_in: Mapping[str, int]  # unit id -> episodes


def play(path: Path, job: Job, how: How) -> int:
    """Play all that is missing of the run at `path` and print what came of it.

    Returns: An exit code of `trajgen.cli`.

    Raises:
        UserError: before anything is played.
    """
    with output.kept_clean():
        preflight(job)  # which imports the environments
    with prepared(path, job, allow_mixed=how.allow_mixed, retry_failed=how.retry_failed) as made:
        try:
            with output.kept_clean():
                played = _drive(made, job, how)
        except KeyboardInterrupt:  # while Ray started, or a second one: what is journaled is safe all the same
            output.tell(f"stopped; go on with: {_resume(path)}")
            return INTERRUPTED
    return _tell(RunDir(path), played, how)


def _drive(made: Prepared, job: Job, how: How) -> _Played:
    sizes = {u.id: u.n_episodes(made.plan.entries[u.entry].trials) for u in made.plan.units}
    n_planned, before = made.plan.n_episodes(), sum(map(done, made.before))
    if made.dispatcher.finished:
        return _Played(None, before, n_planned, sizes)
    start = _starter(made, job, how)  # first, since Ray may not be installed
    _announce(made, job, how, n_planned, before)
    with contextlib.nullcontext(_unseen) if how.silent else watching() as show:
        last = _Last(show)
        report = start(last)
    return _Played(report, last.n_safe, n_planned, sizes)


def _unseen(_: Snapshot) -> None:
    """Show nothing."""


def _starter(made: Prepared, job: Job, how: How) -> Callable[[_Last], JobReport]:
    if job.workers == 0:
        from trajgen import local

        return lambda on_update: local.run(made, job.concurrency, on_update)
    # read by ray when it is imported: the view counts lost workers itself, in fewer words
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "A worker died or was killed while executing")
    from trajgen import distributed  # a second of imports, and an extra

    return lambda on_update: distributed.run(made, job.workers, job.concurrency, on_update, address=how.address)


def _announce(made: Prepared, job: Job, how: How, n_planned: int, before: int) -> None:
    there = f" ({before:,} are there)" if before else ""
    if job.workers == 0:
        where = "in this process"
    elif how.address is not None:
        where = f"{job.workers or 'all'} workers of the Ray cluster at {how.address!r} ..."
    elif job.workers is None:
        where = f"{len(os.sched_getaffinity(0))} workers; starting Ray, ~10 s ..."
    else:
        where = f"{job.workers} workers; starting Ray, ~10 s ..."
    output.tell(f"{made.run.path}: {n_planned:,} episodes{there}, {where}")


def _resume(path: Path, *more: str) -> str:
    return output.typed("trajgen", "resume", path, *more)


# ------------------------------------------------------------------------------------- what came of it


def _tell(run: RunDir, played: _Played, how: How) -> int:
    rows = table.rows_of(run)
    if how.as_json:
        output.say_json(_document(run, played, rows))
    else:
        if played.report is None:
            output.say(f"{run.path}: all {played.n_planned:,} episodes are there; nothing is missing")
        else:
            output.say(f"{run.path}: {duration(played.report.wall_s)}")
        out = output.console()
        output.say_rich(*table.lines(rows, out.width if out.is_terminal else None))
    return _verdict(run, played, rows, how)


def _verdict(run: RunDir, played: _Played, rows: list[table.Row], how: How) -> int:
    """Say how it ended and how to go on, and return the exit code."""
    report = played.report
    if report is not None and report.n_lost:
        output.tell(f"{report.n_lost} workers ended and were replaced; what they said last is in {run.logs}")
    if report is not None and report.stopped and report.missing:
        output.tell(
            f"stopped; {played.n_safe:,} of {played.n_planned:,} episodes are safe; go on with: {_resume(run.path)}"
        )
        return INTERRUPTED
    if report is not None and report.refused:
        output.error(f"{report.refused}\n{report.missing:,} episodes are missing; mend that, then: {_resume(run.path)}")
        return USER_ERROR
    if report is not None and report.missing:
        output.tell("\n".join(_why_missing(report, played.n_missing_in)))
        output.tell(f"to play them: {_resume(run.path)}")
        return INCOMPLETE
    if table.total(rows).n_failed:
        output.tell(f"to play the failed ones again: {_resume(run.path, '--retry-failed')}")
    if not how.as_json:
        output.say()
        for line in next_commands(run, example(run, read_plan(run))):
            output.say(line)
    return OK


def _why_missing(report: JobReport, sizes: Mapping[str, int]) -> list[str]:
    reasons: Counter[str] = Counter()
    for unit_id, why in report.given_up.items():
        reasons[why] += sizes.get(unit_id, 0)
    shown = [
        f"  {n:,} in units given up: {output.one_line(why, 400)}" for why, n in reasons.most_common(_SHOWN_REASONS)
    ]
    more = [f"  and {len(reasons) - _SHOWN_REASONS} more reasons"] if len(reasons) > _SHOWN_REASONS else []
    return [f"not complete: {report.missing:,} of {report.planned:,} episodes are missing", *shown, *more]


def _document(run: RunDir, played: _Played, rows: list[table.Row]) -> Json:
    report = played.report
    sums = table.total(rows)
    return {
        "run": str(run.path),
        "complete": not any(row.missing for row in rows),
        "stopped": bool(report and report.stopped),
        "planned": played.n_planned,
        "committed": sums.n_episodes - sums.n_failed,
        "failed": sums.n_failed,
        "unneeded": sums.n_unneeded,
        "missing": sum(row.missing for row in rows),
        "safe": played.n_safe,
        "given_up": dict(report.given_up) if report else {},
        "refused": report.refused if report else None,
        "workers_lost": report.n_lost if report else 0,
        "wall_s": report.wall_s if report else 0.0,
        "worker_cpu_s": report.worker_cpu_s if report else 0.0,
        "entries": table.document(rows),
    }
