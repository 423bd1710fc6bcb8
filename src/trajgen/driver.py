"""A job from its plan to its report: what the driver in this process and the one on Ray share. Imports no Ray.

The driver carries ids and counts, never episodes. It keeps two leases in flight at every seat, so that no seat waits
for it; what a seat lost goes through the dispatcher.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from msgspec import Struct

from trajgen import registry
from trajgen.dispatch import Dispatcher, Lease, LeaseReport
from trajgen.entries import Entry
from trajgen.errors import ConfigError, DamagedRun, TrajgenError
from trajgen.provenance import git_revision
from trajgen.store.commits import committed, recover
from trajgen.store.layout import RunDir
from trajgen.store.lock import driver_lock
from trajgen.store.plan import Plan, add_generation, open_plan
from trajgen.store.reader import failed_ids, summary
from trajgen.store.slots import confirm, forgive, suspects
from trajgen.store.tally import Tally
from trajgen.strict import convert, join

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from trajgen.entries import Job
    from trajgen.store.plan import Unit
    from trajgen.worker import Progress

_IN_FLIGHT = 2  # leases a seat holds at least, and times the episodes it plays at once: stragglers leave it busy
_MAX_UNITS = 16
_SHORT_S = 1.0  # a lease that took less is followed by a larger one
_LOOK_S = 0.5
_SHOW_S = 0.5  # a look at the workers costs the driver about as much as a lease
_STOP_S = 10.0


class SeatLost(TrajgenError):
    """The process behind a seat is gone, with all it held."""


class Seat(Protocol):
    """Where one worker sits."""

    name: str

    async def play(self, lease: Lease) -> LeaseReport:
        """Play a lease; raise `SeatLost` where the process ended."""
        ...

    async def progress(self) -> Progress | None:
        """Return what is finished but not committed; None where the seat does not answer now."""
        ...

    async def slot_name(self) -> str | None:
        """Return the name of the slot file of the living process; None where there is none now."""
        ...

    async def stop(self) -> None:
        """Drop what plays."""
        ...

    async def revive(self) -> None:
        """Return when the seat can play again after it was lost."""
        ...


class Snapshot(Struct, frozen=True):
    """How far a job is.

    Attributes:
        planned: Episodes per plan entry.
        tallies: What is finished per plan entry, committed or not.
        n_returned: Units that came back unfinished so far.
        n_lost: Workers lost so far.
    """

    entries: tuple[Entry, ...]
    planned: tuple[int, ...]
    tallies: tuple[Tally, ...]
    n_before: int
    n_returned: int
    n_lost: int
    in_flight: int
    elapsed_s: float


class JobReport(Struct, frozen=True):
    """What became of a job. Complete when planned = committed + failed + unneeded."""

    planned: int
    committed: int
    failed: int
    unneeded: int
    given_up: dict[str, str]
    refused: str | None
    stopped: bool
    n_lost: int
    wall_s: float
    worker_cpu_s: float

    @property
    def missing(self) -> int:
        """Episodes that are still to be played."""
        return self.planned - self.committed - self.failed - self.unneeded


class Prepared(Struct):
    """A run that is ready to be driven."""

    run: RunDir
    plan: Plan
    dispatcher: Dispatcher
    git: str | None
    planned: tuple[int, ...]
    before: tuple[Tally, ...]


@contextlib.contextmanager
def prepared(path: Path, job: Job, *, allow_mixed: bool = False, retry_failed: bool = False) -> Iterator[Prepared]:
    """Open or create the run, lock it, mend what a crash left, and find what is missing.

    Raises:
        RunConflict: the run belongs to another job, another version or another driver.
        DamagedRun: a file of the run does not match its checksum.
    """
    run = RunDir(path)
    if path.is_dir() and any(path.iterdir()) and not run.plan.is_dir():
        raise ConfigError(f"out: {path} is a folder with other things in it; give the run one of its own: --out FOLDER")
    run.create()
    with driver_lock(run):
        plan = open_plan(run, job, allow_mixed=allow_mixed)
        _refuse_strays(run, recover(run, plan).strays)
        lines = summary(run)
        before = [line.tally for line in lines]
        if retry_failed:
            waiting = {key.episode_id for unit in plan.missing(committed(run)) for key in plan.keys(unit)}
            again = [episode_id for episode_id in failed_ids(run) if episode_id not in waiting]
            plan = add_generation(run, plan, again)
            before = _without_failed(before)
        have = committed(run)
        pending = plan.missing(have)
        unit_of = _unit_finder(plan, pending)
        dispatcher = Dispatcher(pending, unit_of, lambda unit: [key.episode_id for key in plan.keys(unit)])
        left = suspects(run)
        forgive(run, [e for e in left if unit_of(e) is None])
        dispatcher.begin_with(left)
        yield Prepared(
            run, plan, dispatcher, git_revision(Path.cwd()), tuple(line.planned for line in lines), tuple(before)
        )


def _refuse_strays(run: RunDir, strays: Sequence[str]) -> None:
    """Shards that no unit of the plan owns mean that a file of the plan is gone; going on would lose them in silence."""
    if strays:
        raise DamagedRun(
            f"{run.plan}: {len(strays)} shards ({strays[0]}.parquet is one) belong to no unit of the plan, so a file of "
            "it is missing; restore it from a copy of the run, or move those shards and their commit records away"
        )


def _without_failed(tallies: Sequence[Tally]) -> list[Tally]:
    """Count failed episodes as not played: they are about to be played again."""
    return [msgspec.structs.replace(t, n_episodes=t.n_episodes - t.n_failed, n_failed=0, failures={}) for t in tallies]


def _unit_finder(plan: Plan, pending: Sequence[Unit]) -> Callable[[str], str | None]:
    """Return episode id -> unit id over the pending units; hashed only once somebody asks."""
    found: dict[str, str] = {}

    def unit_of(episode_id: str) -> str | None:
        if not found:
            for unit in pending:
                found.update((key.episode_id, unit.id) for key in plan.keys(unit))
        return found.get(episode_id)

    return unit_of


def preflight(job: Job) -> None:
    """Refuse before anything starts what can be seen without playing: names, extras, options, needs.

    Raises:
        UserError: with the path of the entry.
    """
    for number, entry in enumerate(job.entries):
        where = f"entry {number + 1} ({entry.label()}): "
        try:
            env_type = registry.env_type(entry.env_id)
        except TrajgenError as error:
            raise type(error)(f"{where}{error}") from None
        for need, method in (("oracle", "oracle"), ("affordance", "can")):
            if need in registry.agent(entry.agent.name).needs and not hasattr(env_type, method):
                raise ConfigError(
                    f"{where}agent: {entry.agent.name!r} needs an environment with {need}, and {entry.env_id} has none; "
                    "`random` and `llm` play any environment"
                )
        if entry.oracle_mix is not None and not hasattr(env_type, "oracle"):
            raise ConfigError(f"{where}oracle_mix: {entry.env_id} has no oracle; leave the key out")
        if "score" in registry.agent(entry.agent.name).needs:
            _refuse_mute(entry, where)
        if hasattr(env_type, "options_type"):
            convert(dict(entry.options), env_type.options_type, join(where, "options"))


def _refuse_mute(entry: Entry, where: str) -> None:
    """Refuse models that cannot weigh given texts, for an agent that needs it."""
    for role, choice in entry.agent.backends.items():
        if not _scores(choice.kind):
            able = ", ".join(kind for kind in registry.plug_ins("backends") if _scores(kind))
            raise ConfigError(
                f"{where}agent.{role}: {entry.agent.name!r} needs a backend that scores given texts "
                f"(trajgen.protocols.Scorer), found {choice.name!r} of kind {choice.kind!r}, which cannot; "
                f"kinds that can: {able or 'none'}"
            )


def _scores(kind: str) -> bool:
    try:
        return callable(getattr(registry.backend(kind), "score", None))
    except TrajgenError:  # it cannot be used here at all
        return False


async def drive(
    job: Prepared, seats: Sequence[Seat], on_update: Callable[[Snapshot], None], stop: asyncio.Event
) -> JobReport:
    """Play all that is missing at these seats."""
    return await _Drive(job, seats, on_update, stop).run()


class _Drive:
    def __init__(
        self, job: Prepared, seats: Sequence[Seat], on_update: Callable[[Snapshot], None], stop: asyncio.Event
    ) -> None:
        self._job, self._seats, self._on_update, self._stop = job, seats, on_update, stop
        self._tasks: dict[asyncio.Task[LeaseReport], tuple[Seat, Lease, float]] = {}
        self._lost: dict[str, asyncio.Task[None]] = {}  # seats that are coming back
        self._n_units = {seat.name: 1 for seat in seats}
        self._cpu_s = dict.fromkeys((seat.name for seat in seats), 0.0)
        self._entry_of = {u.id: u.entry for u in job.plan.units}
        self._tallies = list(job.before)
        self._planned = job.planned
        self._started = time.monotonic()
        self._counted: set[str] = set()
        self._shown_at = 0.0

    async def run(self) -> JobReport:
        """Hand out leases until nothing is missing, nothing more can be done, or somebody asks to stop."""
        dispatcher = self._job.dispatcher
        while not dispatcher.finished and not self._stop.is_set():
            self._fill()
            await self._wait()
            if time.monotonic() - self._shown_at >= _SHOW_S:
                await self._show()
        if self._stop.is_set():
            await self._stop_seats()
        await self._show()
        return self._report()

    def _fill(self) -> None:
        """Lease to the seats in turn, so that what there is is shared, until none takes more."""
        hungry = [seat for seat in self._seats if seat.name not in self._lost]
        while hungry:
            hungry = [seat for seat in hungry if self._feed(seat)]

    def _feed(self, seat: Seat) -> bool:
        """Give a seat one lease more; say whether it took one and may take another."""
        dispatcher = self._job.dispatcher
        held = [lease for s, lease, _ in self._tasks.values() if s is seat]
        at_once = self._job.plan.job.concurrency
        # while a suspect waits, this seat is let run empty, so that it can play it alone
        alone_first = dispatcher.waiting_alone and seat is self._first_seat()
        n_held = sum(len(unit.items) for lease in held for unit in lease.units)
        full = len(held) >= _IN_FLIGHT and n_held >= _IN_FLIGHT * at_once
        if full or (held and alone_first) or any(lease.alone is not None for lease in held):
            return False
        share = dispatcher.n_pending // (2 * len(self._seats))
        n_units = max(self._n_units[seat.name], at_once // (_IN_FLIGHT * dispatcher.unit_size))
        lease = dispatcher.lease(seat.name, max(1, min(n_units, share)), idle=not held)
        if lease is None:
            return False
        self._tasks[asyncio.create_task(seat.play(lease))] = (seat, lease, time.monotonic())
        return True

    def _first_seat(self) -> Seat | None:
        return next((s for s in self._seats if s.name not in self._lost), None)

    async def _wait(self) -> None:
        stop = asyncio.create_task(self._stop.wait())
        waiting: list[asyncio.Task[Any]] = [*self._tasks, *self._lost.values(), stop]
        await asyncio.wait(waiting, timeout=_LOOK_S, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        for name in [n for n, t in self._lost.items() if t.done()]:
            self._lost.pop(name).result()
        for task in [t for t in self._tasks if t.done()]:
            if task in self._tasks:  # a seat lost in this loop takes its other leases along
                seat, lease, started = self._tasks.pop(task)
                if isinstance(task.exception(), SeatLost):
                    await self._lose(seat, lease)
                else:
                    self._take(seat, task.result(), time.monotonic() - started)

    def _take(self, seat: Seat, report: LeaseReport, took_s: float) -> None:
        self._job.dispatcher.done(report)
        self._cpu_s[seat.name] = report.cpu_s
        size = self._n_units[seat.name]
        self._n_units[seat.name] = min(_MAX_UNITS, size * 2) if took_s < _SHORT_S else max(1, size // 2 or 1)
        for unit in report.units:
            if unit.tally is not None and unit.unit_id not in self._counted:
                self._counted.add(unit.unit_id)
                self._tallies[self._entry_of[unit.unit_id]] += unit.tally

    async def _lose(self, seat: Seat, lease: Lease) -> None:
        """Gather all the seat held, and find out who was inside an environment when it ended."""
        held = [task for task, (s, _, _) in self._tasks.items() if s is seat]
        await asyncio.gather(*held, return_exceptions=True)
        lease_ids = [lease.id]
        for task in held:
            _, other, started = self._tasks.pop(task)
            if task.exception() is None:
                self._take(seat, task.result(), time.monotonic() - started)
            else:
                lease_ids.append(other.id)
        names = await asyncio.gather(*(s.slot_name() for s in self._seats if s is not seat))
        live = [name for name in names if name]
        confirm(self._job.run, live)
        self._job.dispatcher.lost(lease_ids, suspects(self._job.run, live))
        self._lost[seat.name] = asyncio.create_task(seat.revive())

    async def _stop_seats(self) -> None:
        await asyncio.gather(*(seat.stop() for seat in self._seats))
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_STOP_S)
        for task, (seat, lease, started) in self._tasks.items():
            if task.done() and task.exception() is None:
                self._take(seat, task.result(), time.monotonic() - started)
            else:
                task.cancel()
                self._job.dispatcher.stopped(lease.id)

    async def _show(self) -> None:
        self._shown_at = time.monotonic()
        answers = await asyncio.gather(*(seat.progress() for seat in self._seats if seat.name not in self._lost))
        self._on_update(self._snapshot([a for a in answers if a is not None]))

    def _snapshot(self, answers: Sequence[Progress]) -> Snapshot:
        tallies = list(self._tallies)
        for answer in answers:
            for entry, tally in answer.tallies.items():
                tallies[entry] += tally
        plan = self._job.plan
        return Snapshot(
            entries=plan.entries,
            planned=self._planned,
            tallies=tuple(tallies),
            n_before=sum(t.n_episodes + t.n_unneeded for t in self._job.before),
            n_returned=self._job.dispatcher.n_returned,
            n_lost=self._job.dispatcher.n_lost,
            in_flight=sum(a.in_flight for a in answers),
            elapsed_s=time.monotonic() - self._started,
        )

    def _report(self) -> JobReport:
        forgive(self._job.run, self._finished_suspects())
        total = sum((line.tally for line in summary(self._job.run)), Tally())
        return JobReport(
            planned=sum(self._planned),
            committed=total.n_episodes - total.n_failed,
            failed=total.n_failed,
            unneeded=total.n_unneeded,
            given_up=self._job.dispatcher.given_up,
            refused=self._job.dispatcher.refused,
            stopped=self._stop.is_set(),
            n_lost=self._job.dispatcher.n_lost,
            wall_s=time.monotonic() - self._started,
            worker_cpu_s=sum(self._cpu_s.values()),
        )

    def _finished_suspects(self) -> list[str]:
        """Return the suspects whose units are committed by now: what they once did counts no more."""
        done = {u.id for u in self._job.plan.units if u.id in self._job.dispatcher.committed}
        return [e for e in suspects(self._job.run) if self._job.dispatcher.unit_of(e) in done]
