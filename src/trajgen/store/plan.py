"""Which episodes a run has, and how they are cut into units. Knows nothing of how or where they are played.

The plan is a pure function of the job, stored at the first run as `plan/00000.json`. What comes later is appended as
another file and never recut: a job that grew (only the new units), the failed ones again (a new generation), or the
same content run in another way (no units). Whatever the files say together is the `Plan`.
"""

from __future__ import annotations

import functools
import importlib.metadata
import itertools
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec import Struct

from trajgen.entries import Entry, Job
from trajgen.errors import ConfigError, DamagedRun, RunConflict, UnknownName, boundary
from trajgen.ids import episode_id, task_id
from trajgen.store import documents, layout
from trajgen.store.differences import differences
from trajgen.types import SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from trajgen.store.layout import RunDir

_UNITS_PER_STEP = 32  # enough to share among workers at the end of a small job
_MAX_UNIT = 64  # a shard's worth: larger ones lose more in a crash and compress hardly better
_MAX_SEED = 2**63 - 1  # Parquet's integers
_SHOWN_DIFFERENCES = 12

Item = tuple[int, int]
"""(seed, sample): the trials of one item are played in order, in one unit."""


class EpisodeKey(NamedTuple):
    """One planned episode."""

    episode_id: str
    group_id: str
    seed: int
    sample: int
    trial: int


class Unit(Struct, frozen=True):
    """A fixed slice of the plan: what a worker leases, what one shard holds.

    Attributes:
        id: Its number in the plan, e.g. "00012"; zero padded, so that names sort up to 99,999.
        generation: 0 when its items are played for the first time, more when they are played again.
        entry: Index into the plan's entries.
        items: (seed, sample) pairs.
    """

    id: str
    generation: int
    entry: int
    items: tuple[Item, ...]

    def n_episodes(self, trials: int) -> int:
        """Return how many episodes it plans, where its entry has so many trials."""
        return len(self.items) * trials


class Plan(Struct, frozen=True):
    """All of a run's units. `job` is the newest; `entries` keep their places for ever."""

    job: Job
    entries: tuple[Entry, ...]
    units: tuple[Unit, ...]

    def keys(self, unit: Unit) -> list[EpisodeKey]:
        """Return the episodes of one unit, in order."""
        return ids_of(unit, self.entries[unit.entry])

    def n_episodes(self) -> int:
        """Return how many episodes are planned; those planned again count once."""
        return sum(u.n_episodes(self.entries[u.entry].trials) for u in self.units if u.generation == 0)

    def missing(self, committed: Collection[str]) -> list[Unit]:
        """Return the units that are not committed, in order."""
        return [unit for unit in self.units if unit.id not in committed]

    def superseded(self, committed: Collection[str]) -> dict[str, frozenset[Item]]:
        """Return, by unit id, the items that a committed unit of a later generation holds anew."""
        newest: dict[tuple[int, Item], str] = {}
        old: dict[str, set[Item]] = {}
        again = {u.entry for u in self.units if u.generation}
        for unit in self.units:
            if unit.entry not in again or unit.id not in committed:
                continue
            for item in unit.items:
                before = newest.get((unit.entry, item))
                if before is not None:
                    old.setdefault(before, set()).add(item)
                newest[unit.entry, item] = unit.id
        return {unit_id: frozenset(items) for unit_id, items in old.items()}


class _PlanFile(Struct, frozen=True):
    trajgen: str
    schema_version: int
    job: Job
    entries: tuple[Entry, ...]  # all so far
    units: tuple[Unit, ...]  # the new ones


class _Version(Struct, frozen=True):
    trajgen: str
    schema_version: int


@functools.cache
def engine_version() -> str:
    """Return the version of trajgen that is installed."""
    return importlib.metadata.version("trajgen")


# ------------------------------------------------------------------------------------- pure


def ids_of(unit: Unit, entry: Entry) -> list[EpisodeKey]:
    """Return the episodes of a unit of `entry`, in order: items as planned, trials inside them."""
    keys = []
    for seed, sample in unit.items:
        group = task_id(entry.env_id, entry.wrappers, entry.make_options, entry.options, entry.split, seed)
        keys += [
            EpisodeKey(episode_id(entry.key, group, sample, trial), group, seed, sample, trial)
            for trial in range(entry.trials)
        ]
    return keys


def cut(job: Job) -> tuple[Unit, ...]:
    """Cut a whole job into units of `clamp(ceil(N / 32), 1, 64)` of its N episodes, never across entries or trials."""
    return _cut(job.entries, [list(entry.items()) for entry in job.entries], first=0, generation=0)


def _cut(entries: Sequence[Entry], items: Sequence[Sequence[Item]], *, first: int, generation: int) -> tuple[Unit, ...]:
    n_episodes = sum(len(its) * entry.trials for entry, its in zip(entries, items, strict=True))
    size = min(max(-(-n_episodes // _UNITS_PER_STEP), 1), _MAX_UNIT)
    number = itertools.count(first)
    return tuple(
        Unit(f"{next(number):05d}", generation, index, tuple(slice_))
        for index, (entry, its) in enumerate(zip(entries, items, strict=True))
        for slice_ in _slices(its, max(size // entry.trials, 1))
    )


def _slices(items: Sequence[Item], n: int) -> Iterator[Sequence[Item]]:
    return (items[i : i + n] for i in range(0, len(items), n))


def _merged(plan: Plan, job: Job) -> tuple[tuple[Entry, ...], list[list[Item]]]:
    """Return the entries of plan and job together, old places kept, and the items of each that are new."""
    entries = list(plan.entries)
    places = {slot: index for index, slot in enumerate(_slots(plan.entries))}
    planned = _planned(plan)
    items: list[list[Item]] = [[] for _ in entries]
    for entry, slot in zip(job.entries, _slots(job.entries), strict=True):
        new = [item for item in entry.items() if (entry.id, item) not in planned]
        if slot in places:
            index = places[slot]
            seeds = tuple(dict.fromkeys(entries[index].seeds + entry.seeds))
            samples = max(entries[index].samples, entry.samples)
            entries[index] = msgspec.structs.replace(entry, seeds=seeds, samples=samples)
            items[index] = new
        else:
            entries.append(entry)
            items.append(new)
    return tuple(entries), items


def _slots(entries: Iterable[Entry]) -> list[tuple[str, int]]:
    """Tell entries of one id apart by their order: a job may ask for the same content in two entries."""
    seen: Counter[str] = Counter()
    slots = []
    for entry in entries:
        slots.append((entry.id, seen[entry.id]))
        seen[entry.id] += 1
    return slots


def _planned(plan: Plan) -> set[tuple[str, Item]]:
    return {(plan.entries[unit.entry].id, item) for unit in plan.units for item in unit.items}


# ------------------------------------------------------------------------------------- on disk


def open_plan(run: RunDir, job: Job, *, allow_mixed: bool) -> Plan:
    """Begin a run, or resume or grow the one that is there. The caller holds `driver_lock`, or is alone.

    Args:
        allow_mixed: Go on with a run that another version of trajgen began.

    Raises:
        ConfigError: a seed is too large, or the run cannot be made there.
        RunConflict: another job's run (the message shows what differs), or another version's.
        DamagedRun: a file of the plan was changed; the message names it.
        StoreFault: the disk failed.
    """
    _check_seeds(job)
    run.create()
    files = layout.names(run.plan)
    if not files:
        _append(run, 0, Plan(job, job.entries, cut(job)))
        return read_plan(run)
    plan = _read(run, allow_mixed=allow_mixed)
    _refuse_changed(run, plan, job)
    entries, items = _merged(plan, job)
    new = _cut(entries, items, first=len(plan.units), generation=0)
    if new or job != plan.job:
        _append(run, len(files), Plan(job, entries, new))
    return Plan(job, entries, plan.units + new)


def read_plan(run: RunDir) -> Plan:
    """Read the plan of a run, whatever version wrote it.

    Raises:
        UnknownName: there is no plan.
        DamagedRun: a file of the plan was changed or is missing; the message names it.
        RunConflict: a version of trajgen with other job files wrote it.
    """
    return _read(run, allow_mixed=True)


def add_generation(run: RunDir, plan: Plan, failed_ids: Collection[str]) -> Plan:
    """Append units that play the items of failed episodes again, all trials of each; returns the grown plan.

    Raises:
        UnknownName: an id is not in the plan.
        StoreFault: the disk failed.
    """
    wanted = set(failed_ids)
    items: list[dict[Item, None]] = [{} for _ in plan.entries]
    for unit in plan.units:
        hit = [key for key in plan.keys(unit) if key.episode_id in wanted]
        items[unit.entry].update({(key.seed, key.sample): None for key in hit})
        wanted.difference_update(key.episode_id for key in hit)
    if wanted:
        raise UnknownName(f"{run.path}: no episode {min(wanted)!r} in the plan, so it cannot be played again")
    generation = 1 + max((unit.generation for unit in plan.units), default=0)
    new = _cut(plan.entries, [list(its) for its in items], first=len(plan.units), generation=generation)
    if new:
        _append(run, len(layout.names(run.plan)), Plan(plan.job, plan.entries, new))
    return msgspec.structs.replace(plan, units=plan.units + new)


def _check_seeds(job: Job) -> None:
    for index, entry in enumerate(job.entries):
        if max(entry.seeds, default=0) > _MAX_SEED:
            raise ConfigError(f"entry[{index}].seeds: expected seeds up to 2**63 - 1, found {max(entry.seeds)}")


def _append(run: RunDir, number: int, step: Plan) -> None:
    body = _PlanFile(engine_version(), SCHEMA_VERSION, step.job, step.entries, step.units)
    with boundary("store"):
        if not layout.durable_write(run.plan_file(number), documents.seal(body)):
            raise RunConflict(f"{run.path}: another process changed the plan meanwhile; type the command again")


def _read(run: RunDir, *, allow_mixed: bool) -> Plan:
    files = layout.names(run.plan)
    if not files:
        raise UnknownName(f"{run.path}: no plan, so this is no run; `trajgen run JOB.toml` begins one")
    steps = [_read_step(run, number, name, allow_mixed=allow_mixed) for number, name in enumerate(files)]
    return Plan(steps[-1].job, steps[-1].entries, tuple(unit for step in steps for unit in step.units))


def _read_step(run: RunDir, number: int, name: str, *, allow_mixed: bool) -> _PlanFile:
    path = run.plan_file(number)
    if name != path.name:
        raise DamagedRun(f"{path}: missing, though {name} is there; restore it from a copy of the run")
    with boundary("store"):
        body = documents.body_of(path.read_bytes())
    if body is None:
        raise DamagedRun(f"{path}: the checksum does not match; restore this file from a copy of the run")
    version = msgspec.json.decode(body, type=_Version)
    if version.trajgen != engine_version() and not allow_mixed:
        raise RunConflict(
            f"{run.path}: made by trajgen {version.trajgen}, this is {engine_version()}, and rows of two versions may "
            "differ; type --allow-mixed to go on, or --set name=OTHER for a run of its own"
        )
    try:
        return msgspec.json.decode(body, type=_PlanFile)
    except msgspec.ValidationError as error:
        raise RunConflict(
            f"{path}: made by trajgen {version.trajgen}, whose jobs this version ({engine_version()}) cannot read: {error}"
        ) from None


def _refuse_changed(run: RunDir, plan: Plan, job: Job) -> None:
    asked = {(entry.id, item) for entry in job.entries for item in entry.items()}
    gone = _planned(plan) - asked
    if not gone:
        return
    lines = differences(plan.entries, job.entries)
    more = [f"... and {len(lines) - _SHOWN_DIFFERENCES} more"] if len(lines) > _SHOWN_DIFFERENCES else []
    shown = "".join(f"\n  {line}" for line in lines[:_SHOWN_DIFFERENCES] + more)
    raise RunConflict(
        f"{run.path}: {len(gone)} tasks of this run are not in the job, so it is another job; run -> job:{shown}\n"
        "A run can grow but not change. For a run of its own type --set name=OTHER or --set out=FOLDER"
    )
