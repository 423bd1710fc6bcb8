"""Makes a finished unit part of the run, exactly once, however often it is tried and wherever it is killed.

    shards/<unit>.parquet   written first; whoever links it has finished the unit, for good
    commits/<unit>.json     then the record: rows, bytes, digest of the linked file, counts

The record is a function of the linked shard, so any number of holders write the same one, and one that is torn or
missing is written again from the shard. Nothing here plays an episode or knows who did.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from trajgen.errors import DamagedRun, boundary
from trajgen.store import documents, journal, layout
from trajgen.store.tally import Tally, tally
from trajgen.types import SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from trajgen.store.layout import RunDir
    from trajgen.store.plan import Plan, Unit
    from trajgen.types import Episode


class CommitRecord(Struct, frozen=True):
    """What the run knows of a shard without opening it.

    Attributes:
        unit: Its unit's id.
        bytes: Size of the shard's file.
        blake2b: 64 hex digits over that file.
        failed: Ids of rows with `failure` set, for `resume --retry-failed`.
        unneeded: Ids of trials that were not needed and have no row.
    """

    unit: str
    rows: int
    bytes: int
    blake2b: str
    schema_version: int
    tally: Tally
    failed: tuple[str, ...]
    unneeded: tuple[str, ...]


class Recovery(NamedTuple):
    """What `recover` did.

    Attributes:
        records_written: Units whose shard had no valid record.
        journals_discarded: Units that were committed and still had journals.
        temps_removed: Temporary files of writers that died.
        strays: Shards that no unit of the plan owns; they were left alone and are not read.
    """

    records_written: tuple[str, ...]
    journals_discarded: tuple[str, ...]
    temps_removed: int
    strays: tuple[str, ...]


def commit(run: RunDir, unit: Unit, episodes: Sequence[Episode], unneeded: Sequence[str]) -> CommitRecord:
    """Commit a unit. A second holder's call does nothing and returns the first one's record.

    Args:
        episodes: All finished episodes of the unit, in any order.
        unneeded: Ids of its trials that were not played since an earlier one succeeded.

    Raises:
        ValueError: an episode is not of this unit, or is there twice.
        StoreFault: the disk is full or failed; call again later.
        DamagedRun: the unit's shard is there and cannot be read.
    """
    ordered = _in_order(unit, episodes)
    with boundary("store"):
        known = known_record(run, unit.id)
        if known is not None:
            return known
        shard = run.shard(unit.id)
        if not shard.exists():
            from trajgen.store import shards  # pyarrow takes 0.2 s to load, which readers of records need not pay

            data = shards.encode(run.path.name, unit.id, ordered, sorted(unneeded))
            if layout.durable_write(shard, data):
                return _write_record(run, _counted(shard, ordered, sorted(unneeded)))
        return _write_record(run, _record_from(shard))


def _in_order(unit: Unit, episodes: Sequence[Episode]) -> list[Episode]:
    place = {item: index for index, item in enumerate(unit.items)}
    found: dict[tuple[int, int], Episode] = {}
    for episode in episodes:
        item = (episode.task.seed, episode.sample)
        if item not in place:
            raise ValueError(f"unit {unit.id}: episode {episode.episode_id} (seed, sample) = {item} is not of it")
        if (place[item], episode.trial) in found:
            raise ValueError(
                f"unit {unit.id}: two episodes for seed {item[0]}, sample {item[1]}, trial {episode.trial}"
            )
        found[place[item], episode.trial] = episode
    return [found[key] for key in sorted(found)]


def _counted(shard: Path, episodes: Sequence[Episode], unneeded: Sequence[str]) -> CommitRecord:
    return CommitRecord(
        unit=shard.stem,
        rows=len(episodes),
        bytes=shard.stat().st_size,
        blake2b=file_digest(shard),
        schema_version=SCHEMA_VERSION,
        tally=tally(episodes, unneeded),
        failed=tuple(e.episode_id for e in episodes if e.failure is not None),
        unneeded=tuple(unneeded),
    )


def _record_from(shard: Path) -> CommitRecord:
    """Make the record of a shard another writer linked, having read all of it."""
    from trajgen.store import shards  # see `commit`

    found = shards.read(shard)
    return _counted(shard, found.episodes, found.info.unneeded)


def _write_record(run: RunDir, record: CommitRecord) -> CommitRecord:
    path = run.commit(record.unit)
    if not layout.durable_write(path, documents.seal(record)):
        there = known_record(run, record.unit)
        if there is not None:
            return there
        path.unlink(missing_ok=True)  # torn: it is no record
        layout.after("unlink torn record")
        layout.durable_write(path, documents.seal(record))
    return record


def load_writer() -> None:
    """Load what writes shards, which takes half a second in which hardly anything else runs."""
    from trajgen.store import shards  # see `commit`

    shards.encode("", "", [], [])  # pyarrow looks for pandas when the first table is made


def known_record(run: RunDir, unit_id: str) -> CommitRecord | None:
    """Return the valid record of a unit; None where there is none."""
    try:
        data = run.commit(unit_id).read_bytes()
    except FileNotFoundError:
        return None
    found = documents.unseal(data, CommitRecord)
    return found if found is not None and found.unit == unit_id else None


def file_digest(path: Path) -> str:
    """Return blake2b over a file as 64 hex digits, holding little of it in memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32)).hexdigest()


def committed(run: RunDir) -> dict[str, CommitRecord]:
    """Return the records of all committed units by unit id, in order. Opens no shard.

    Raises:
        DamagedRun: a record is torn or was changed; resuming mends it. After `recover` there is none.
    """
    records: dict[str, CommitRecord] = {}
    with boundary("store"):
        for name in layout.names(run.commits):
            unit_id = name.removesuffix(".json")
            found = known_record(run, unit_id)
            if found is None:
                raise DamagedRun(
                    f"{run.commits / name}: the checksum does not match; `trajgen resume {run.path}` writes it again"
                )
            records[unit_id] = found
    return records


def recover(run: RunDir, plan: Plan) -> Recovery:
    """Bring a run that was killed anywhere into order. The caller holds `driver_lock`.

    Gives every shard without a valid record one, after reading all of it; plays nothing.

    Raises:
        DamagedRun: a shard cannot be read, holds other episodes than its unit, or is gone; the message names it.
        StoreFault: the disk failed.
    """
    with boundary("store"):
        there = {name.removesuffix(".parquet") for name in layout.names(run.shards)}
        written = tuple(unit.id for unit in plan.units if _mend(run, plan, unit, has_shard=unit.id in there))
        done = there & {unit.id for unit in plan.units}
        discarded = tuple(unit_id for unit_id in sorted(journal.units(run) & done) if journal.discard(run, unit_id))
        temps = sum(map(layout.remove_stale_temps, (run.plan, run.shards, run.commits)))
    return Recovery(written, discarded, temps, tuple(sorted(there - done)))


def _mend(run: RunDir, plan: Plan, unit: Unit, *, has_shard: bool) -> bool:
    """Make the record of one unit valid; say whether it had to be written."""
    path = run.shard(unit.id)
    record = known_record(run, unit.id)
    if record is None:
        if has_shard:
            _check_ids(path, unit, (key.episode_id for key in plan.keys(unit)))
            _write_record(run, _record_from(path))
        else:
            run.commit(unit.id).unlink(missing_ok=True)  # damaged, and nothing to make it from: it is played again
        return has_shard
    size = path.stat().st_size if has_shard else 0
    if size != record.bytes:
        raise DamagedRun(
            f"{path}: expected {record.bytes} bytes, found {size if has_shard else 'no file'}; restore it from a copy "
            f"of the run, or remove {run.commit(unit.id)} (and the shard), and its unit is played again"
        )
    return False


def _check_ids(path: Path, unit: Unit, planned: Iterable[str]) -> None:
    from trajgen.store import shards  # see `commit`

    found = shards.read(path)
    ids = [*(e.episode_id for e in found.episodes), *found.info.unneeded]
    expected = set(planned)
    if found.info.unit != unit.id or len(ids) != len(expected) or set(ids) != expected:
        raise DamagedRun(
            f"{path}: expected the {len(expected)} episodes of unit {unit.id}, found {len(ids)}, "
            f"{len(expected - set(ids))} of them missing; remove the file, and the unit is played again"
        )
