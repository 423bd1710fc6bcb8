"""Reads a run: episodes in the plan's order, one episode by id, and counts per entry. Writes nothing.

An episode that was played again (a later generation) hides the older one, item by item, as soon as it is committed.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from trajgen.errors import DamagedRun, UnknownName, boundary, nearest
from trajgen.store import layout
from trajgen.store.commits import CommitRecord, committed, file_digest
from trajgen.store.layout import RunDir
from trajgen.store.plan import EpisodeKey, Item, Plan, Unit, read_plan
from trajgen.store.tally import Tally, tally

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from trajgen.splits import Split
    from trajgen.types import Episode

_SHOWN_MATCHES = 8
_RUNS = Path("runs")
_ALWAYS_READ = ("episode_id", "task", "sample")


class EntrySummary(NamedTuple):
    """One entry of the plan, counted.

    Attributes:
        entry: Its index in the plan.
        label: Environment x agent, for a line of a table.
        planned: Episodes, those planned again once.
        tally: Over what is committed; `planned` = n_episodes + n_unneeded when the run is complete.
    """

    entry: int
    label: str
    env_id: str
    agent: str
    split: Split | None
    planned: int
    tally: Tally


class _Part(NamedTuple):
    """A committed unit, and those of its items that were played again since."""

    unit: Unit
    record: CommitRecord
    superseded: frozenset[Item]

    def holds(self, episode: Episode) -> bool:
        return (episode.task.seed, episode.sample) not in self.superseded


def open_run(path: Path | str) -> RunDir:
    """Return the run at `path`, or the one called so in `runs/`.

    Raises:
        UnknownName: there is none; the message offers the nearest name.
    """
    given = Path(path)
    for candidate in (given, _RUNS / given):
        if layout.names(candidate / "plan"):
            return RunDir(candidate)
    if given.exists():
        raise UnknownName(f"{given}: no run (it has no plan/); `trajgen run JOB.toml` begins one")
    near = nearest(given.name, {p.parent.parent.name for root in (given.parent, _RUNS) for p in root.glob("*/plan/*")})
    raise UnknownName(f"no run {str(given)!r}{near or '; `trajgen run JOB.toml` begins one'}")


def iter_episodes(
    run: RunDir, *, columns: Collection[str] | None = None, verify_checksums: bool = True
) -> Iterator[Episode]:
    """Yield every committed episode in the plan's order; one row group is in memory at a time.

    Args:
        columns: Top-level fields to read, e.g. `("outcome", "steps")`; all others hold neutral values (None, an empty
            tuple, "" or 0, structs of such), but `episode_id`, `task` and `sample` are always read.
        verify_checksums: Check every file against its commit record and every page against its own checksum.

    Raises:
        DamagedRun: a file of the run was changed; the message names it.
    """
    return itertools.chain.from_iterable(
        _rows(run, part, columns=columns, verify=verify_checksums) for part in _parts(run, read_plan(run))
    )


def find_episode(run: RunDir, prefix: str) -> Episode:
    """Return one committed episode.

    Args:
        prefix: The first characters of its id; or its place in `iter_episodes`, counted from 0, e.g. "3". Digits
            alone are a place where the run has so many episodes.

    Raises:
        UnknownName: none or several fit; the message lists them.
        DamagedRun: as `iter_episodes`.
    """
    plan = read_plan(run)
    parts = _parts(run, plan)
    if prefix.isdecimal():
        found = _at(run, parts, int(prefix))
        if found is not None:
            return found
    matches = _matches(plan, prefix)
    if len(matches) != 1:
        raise UnknownName(_no_single(run, prefix, sorted(matches)))
    (episode_id,) = matches
    units = matches[episode_id]
    for part in reversed(parts):
        if part.unit.id in units:
            for episode in _rows(run, part):
                if episode.episode_id == episode_id:
                    return episode
    raise UnknownName(_without_row(run, parts, episode_id))


def _at(run: RunDir, parts: list[_Part], place: int) -> Episode | None:
    for part in parts:
        # a superseded part has fewer rows than its record says
        n_rows = sum(1 for _ in _rows(run, part, columns=())) if part.superseded else part.record.rows
        if place < n_rows:
            return next(itertools.islice(_rows(run, part), place, None))
        place -= n_rows
    return None


def _matches(plan: Plan, prefix: str) -> dict[str, set[str]]:
    """Return the planned ids that begin with `prefix`, each with the units that plan it."""
    found: dict[str, set[str]] = {}
    for unit in plan.units:
        for key in plan.keys(unit):
            if key.episode_id.startswith(prefix):
                found.setdefault(key.episode_id, set()).add(unit.id)
    return found


def _no_single(run: RunDir, prefix: str, matches: list[str]) -> str:
    if not matches:
        return f"no episode {prefix!r} in {run.path}; expected a place (0, 1, ...) or the first characters of an id"
    listed = ", ".join(matches[:_SHOWN_MATCHES]) + (", ..." if len(matches) > _SHOWN_MATCHES else "")
    return f"{len(matches)} episodes of {run.path} begin with {prefix!r}: {listed}; type more of the id"


def _without_row(run: RunDir, parts: list[_Part], episode_id: str) -> str:
    if any(episode_id in part.record.unneeded for part in parts):
        return f"episode {episode_id} was not needed: an earlier trial of its task succeeded"
    return f"episode {episode_id} is planned but not committed yet; `trajgen resume {run.path}` plays it"


def failed_ids(run: RunDir) -> list[str]:
    """Return the ids of failed episodes that have not been played again since, in the plan's order."""
    plan = read_plan(run)
    failed: list[str] = []
    for part in _parts(run, plan):
        live = {k.episode_id for k in plan.keys(part.unit) if (k.seed, k.sample) not in part.superseded}
        failed += [episode_id for episode_id in part.record.failed if episode_id in live]
    return failed


def summary(run: RunDir) -> list[EntrySummary]:
    """Count a run per entry of its plan, from commit records; shards are read only where episodes were played again."""
    plan = read_plan(run)
    planned = [0] * len(plan.entries)
    for unit in plan.units:
        if unit.generation == 0:
            planned[unit.entry] += unit.n_episodes(plan.entries[unit.entry].trials)
    tallies = [Tally()] * len(plan.entries)
    for part in _parts(run, plan):
        tallies[part.unit.entry] += _tally(run, plan, part)
    return [
        EntrySummary(index, entry.label(), entry.env_id, entry.agent.name, entry.split, planned[index], tallies[index])
        for index, entry in enumerate(plan.entries)
    ]


def _tally(run: RunDir, plan: Plan, part: _Part) -> Tally:
    if not part.superseded:
        return part.record.tally
    unneeded = set(part.record.unneeded)
    keys: list[EpisodeKey] = [k for k in plan.keys(part.unit) if (k.seed, k.sample) not in part.superseded]
    return tally(_rows(run, part), [k.episode_id for k in keys if k.episode_id in unneeded])


def _parts(run: RunDir, plan: Plan) -> list[_Part]:
    """Return the committed units in the plan's order, leaving out those whose every item was played again."""
    records = committed(run)
    superseded = plan.superseded(records)
    parts = (
        _Part(unit, records[unit.id], superseded.get(unit.id, frozenset())) for unit in plan.units if unit.id in records
    )
    return [part for part in parts if len(part.superseded) < len(part.unit.items)]


def _rows(
    run: RunDir, part: _Part, *, columns: Collection[str] | None = None, verify: bool = True
) -> Iterator[Episode]:
    from trajgen.store import shards  # pyarrow takes 0.2 s to load, which readers of records need not pay

    path = run.shard(part.unit.id)
    if verify:
        _check_file(run, part.record)
    wanted = None if columns is None else {*columns, *_ALWAYS_READ}
    return filter(part.holds, shards.rows(path, columns=wanted, verify=verify))


def _check_file(run: RunDir, record: CommitRecord) -> None:
    path = run.shard(record.unit)
    if not path.is_file():
        raise DamagedRun(f"{path}: missing; restore it from a copy of the run, or {_play_again(run, record.unit)}")
    with boundary("store"):
        found = file_digest(path)
    if found != record.blake2b:
        raise DamagedRun(
            f"{path}: the checksum does not match its commit record; restore this shard from a copy of the run, or "
            + _play_again(run, record.unit)
        )


def _play_again(run: RunDir, unit_id: str) -> str:
    return (
        f"remove {run.shard(unit_id)} and {run.commit(unit_id)}, and `trajgen resume {run.path}` plays its unit again"
    )
