"""Which episode each worker was inside when it died: one small mapped file per lease. Knows nothing of workers.

Before each reset and step the worker writes the episode's id into a slot, and clears it behind. The page belongs to the
kernel, so it survives the process. After a crash only the episodes in the slots are suspects; suspects are played
again alone, and only a crash while alone counts towards `ALONE_LIMIT`: counting every lost attempt would fail healthy
neighbours of a crashing one.

A crash that took the driver along (its own kill, a power cut) says nothing about the episode: under a driver in another
process a crash while alone counts only once that driver has seen it, see `confirm`.

File: 8 bytes magic, 1 byte alone (`1`, `2` until the driver has seen it, or `0`), padding to 64; then per slot 32 bytes id, 16 bytes cause, padding to 64.
"""

from __future__ import annotations

import mmap
import os
import re
from typing import TYPE_CHECKING, NamedTuple, Self

from trajgen.errors import boundary
from trajgen.store import layout

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from trajgen.store.layout import RunDir

ALONE_LIMIT = 3
"""After so many crashes while it was alone, an episode is given up as `failed`."""

_MAGIC = b"TRJSLOT1"
_CELL = 64  # one cache line: two slots never share one
_ID_BYTES = 32
_CAUSE_BYTES = 16
_ID = re.compile(rb"[0-9a-f]{32}")


class SuspectRecord(NamedTuple):
    """What left-over slots say of one episode.

    Attributes:
        alone_crashes: Crashes while its worker played nothing else.
        seen: Crashes it was part of, those included.
        causes: What was noted, e.g. `timeout`; a crash that noted nothing adds nothing.
    """

    alone_crashes: int
    seen: int
    causes: tuple[str, ...]


class Slot:
    """One place of a slot file; `enter` and `leave` cost well under a microsecond."""

    __slots__ = ("_end", "_map", "_start")

    def __init__(self, map_: mmap.mmap, start: int) -> None:
        self._map = map_
        self._start = start
        self._end = start + _ID_BYTES

    def enter(self, episode_id: str) -> None:
        """Say that the episode's environment is about to run. `episode_id` has 32 hex digits."""
        self._map[self._start : self._end] = episode_id.encode()

    def leave(self) -> None:
        """Say that it returned."""
        self._map[self._start] = 0


class SlotFile:
    """The slots of one lease. Made with `create`; left behind by a crash, removed by `close_clean`."""

    def __init__(self, path: Path, map_: mmap.mmap, n_slots: int) -> None:
        self._path = path
        self._map = map_
        self._slots = tuple(Slot(map_, _CELL * (i + 1)) for i in range(n_slots))

    @classmethod
    def create(cls, run: RunDir, lease: str, *, alone: bool, n_slots: int, driven: bool = False) -> Self:
        """Make and map the file.

        Args:
            lease: Never used before: 1 to 80 letters, digits, `_` or `-`.
            alone: The worker plays one suspect and nothing else.
            driven: The driver is another process, which will `confirm` a crash.

        Raises:
            StoreFault: the lease is used twice, or the disk failed.
        """
        path = run.slot_file(lease)
        size = _CELL * (n_slots + 1)
        with boundary("store"):
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            try:
                os.posix_fallocate(handle, 0, size)  # a full disk is an error here, not a SIGBUS at `enter`
                map_ = mmap.mmap(handle, size)
            finally:
                os.close(handle)
        map_[0 : len(_MAGIC) + 1] = _MAGIC + (b"0" if not alone else b"2" if driven else b"1")
        return cls(path, map_, n_slots)

    def slot(self, i: int) -> Slot:
        """Return one place, counted from 0."""
        return self._slots[i]

    def blame(self, i: int, cause: bytes) -> None:
        """Before a deliberate exit: clear all other slots, and note why, e.g. `b"timeout"` (at most 16 bytes)."""
        for j in range(len(self._slots)):
            if j != i:
                self._slots[j].leave()
        start = _CELL * (i + 1) + _ID_BYTES
        self._map[start : start + _CAUSE_BYTES] = cause[:_CAUSE_BYTES].ljust(_CAUSE_BYTES, b"\0")

    def close_clean(self) -> None:
        """Unmap and remove the file: nothing crashed. No slot is used after."""
        self._map.close()
        self._path.unlink(missing_ok=True)


class _Mark(NamedTuple):
    at: int
    episode_id: str
    cause: str


def _marks(data: bytes) -> Iterator[_Mark]:
    if data[: len(_MAGIC)] != _MAGIC:
        return  # killed before the first byte, or garbage
    for start in range(_CELL, len(data) - _CELL + 1, _CELL):
        who = data[start : start + _ID_BYTES]
        if _ID.fullmatch(who):
            why = data[start + _ID_BYTES :][:_CAUSE_BYTES].rstrip(b"\0").decode("ascii", "replace")
            yield _Mark(start, who.decode(), why)


def _dead_files(run: RunDir, live: Collection[str]) -> Iterator[tuple[Path, bytes]]:
    for name in layout.names(run.slots):
        if name not in live:
            try:
                yield run.slots / name, (run.slots / name).read_bytes()
            except OSError:
                continue  # removed meanwhile, or no file


def suspects(run: RunDir, live: Collection[str] = ()) -> dict[str, SuspectRecord]:
    """Return the episodes that were being played when a worker died, by id.

    Args:
        live: Leases whose workers are known to live; their slots say nothing yet.
    """
    found: dict[str, SuspectRecord] = {}
    for _, data in _dead_files(run, live):
        alone = data[len(_MAGIC) : len(_MAGIC) + 1] == b"1"
        for mark in _marks(data):
            before = found.get(mark.episode_id, SuspectRecord(0, 0, ()))
            causes = (*before.causes, mark.cause) if mark.cause else before.causes
            found[mark.episode_id] = SuspectRecord(before.alone_crashes + alone, before.seen + 1, causes)
    return found


def confirm(run: RunDir, live: Collection[str] = ()) -> None:
    """Make crashes while alone count: the driver lives and saw their workers die. `live` as in `suspects`."""
    with boundary("store"):
        for path, data in _dead_files(run, live):
            if data[len(_MAGIC) : len(_MAGIC) + 1] == b"2":
                handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
                try:
                    os.pwrite(handle, b"1", len(_MAGIC))
                finally:
                    os.close(handle)


def forgive(run: RunDir, episode_ids: Collection[str], live: Collection[str] = ()) -> None:
    """Make left-over slots of dead leases not count for these episodes (they are committed), and remove empty files."""
    ids = set(episode_ids)
    with boundary("store"):
        for path, data in _dead_files(run, live):
            marks = list(_marks(data))
            gone = [mark for mark in marks if mark.episode_id in ids]
            if len(gone) == len(marks):
                path.unlink(missing_ok=True)
                continue
            if gone:
                _clear(path, gone)


def _clear(path: Path, marks: list[_Mark]) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        for mark in marks:
            os.pwrite(handle, b"\0", mark.at)
    finally:
        os.close(handle)
