"""Finished episodes of unfinished units, so that a crash costs only what was in flight. Knows nothing of shards.

One file per lease of a unit, `journal/<unit>.<lease>`, appended by its lease alone. A frame is

    length of payload   4 bytes, little endian
    blake2b-8           over length and payload
    payload             one byte of kind, then msgpack (JSON would turn NaN into null)

blake2b and not CRC-32, since a journal is read after the worst has happened: a CRC of 32 bits accepts one damaged
frame in 4 billion but also many constructed ones, and blake2b costs 1 ns a byte.

Frames are not synced: they survive the death of the process; if the machine loses power, what it loses is played again.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple, Self

import msgspec

from trajgen.errors import StoreFault, boundary
from trajgen.store import layout
from trajgen.store.text import clean
from trajgen.types import Episode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from trajgen.store.layout import RunDir

_LENGTH_BYTES = 4
_CHECK_BYTES = 8
_HEADER_BYTES = _LENGTH_BYTES + _CHECK_BYTES
_EPISODE, _UNNEEDED = b"E", b"U"
_encode = msgspec.msgpack.Encoder().encode
_decode_episode = msgspec.msgpack.Decoder(Episode).decode
_decode_id = msgspec.msgpack.Decoder(str).decode


class Journaled(NamedTuple):
    """What the journals of one unit hold: finished episodes by id, and ids of trials that were not needed."""

    episodes: dict[str, Episode]
    unneeded: frozenset[str]


class Journal:
    """The journal of one lease of one unit; a context manager.

    Args:
        lease: Never used before for this unit: 1 to 80 letters, digits, `_` or `-`.

    Raises:
        StoreFault: the file exists (a lease is used twice), or the disk failed.
    """

    def __init__(self, run: RunDir, unit_id: str, lease: str) -> None:
        self._path = run.journal_file(unit_id, lease)
        self._handle = -1
        self._size = 0  # up to here every frame is whole

    def __enter__(self) -> Self:
        with boundary("store"):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            self._handle = os.open(self._path, flags, 0o644)
            layout.after("journal open")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._handle)
        self._handle = -1

    @property
    def n_bytes(self) -> int:
        """How many bytes are recorded so far."""
        return self._size

    def append(self, episode: Episode) -> int:
        """Record a finished episode.

        Returns: How many lone surrogates were replaced, see `trajgen.store.text`; nearly always 0.

        Raises:
            StoreFault: the disk is full or failed; what was recorded before is whole.
        """
        n_replaced = 0
        try:
            payload = _encode(episode)
        except UnicodeEncodeError:
            episode, n_replaced = clean(episode)
            payload = _encode(episode)
        self._write(_EPISODE + payload)
        return n_replaced

    def append_unneeded(self, episode_id: str) -> None:
        """Record that a trial was not needed: an earlier one succeeded. Raises as `append`."""
        self._write(_UNNEEDED + _encode(episode_id))

    def _write(self, payload: bytes) -> None:
        frame = _frame(payload)
        with boundary("store"):
            written = 0
            try:
                written = os.write(self._handle, frame)  # one call: no other can come between
            finally:
                if written == len(frame):
                    self._size += written
                else:
                    os.ftruncate(self._handle, self._size)  # frames behind a torn one would be lost
            if written < len(frame):
                raise StoreFault("DiskFull", f"{self._path}: {written} of {len(frame)} bytes were written")
            layout.after("journal write")


def _frame(payload: bytes) -> bytes:
    length = len(payload).to_bytes(_LENGTH_BYTES, "little")
    return length + blake2b(length + payload, digest_size=_CHECK_BYTES).digest() + payload


def _payloads(data: bytes) -> Iterator[bytes]:
    """Yield the payloads of the whole frames at the start of `data`."""
    at = 0
    while at + _HEADER_BYTES < len(data):
        start = at + _HEADER_BYTES
        end = start + int.from_bytes(data[at : at + _LENGTH_BYTES], "little")
        frame = data[at:end]
        if end > len(data) or end == start or _frame(frame[_HEADER_BYTES:]) != frame:
            return
        yield frame[_HEADER_BYTES:]
        at = end


def _files(run: RunDir, unit_id: str) -> list[Path]:
    return [run.journal / name for name in layout.names(run.journal) if name.startswith(f"{unit_id}.")]


def read(run: RunDir, unit_id: str) -> Journaled:
    """Return what all journals of a unit hold; the first of an id wins, files in sorted order.

    A torn or damaged frame ends its file: what follows is played again. Garbage is never an error.
    """
    episodes: dict[str, Episode] = {}
    unneeded: set[str] = set()
    for path in _files(run, unit_id):
        try:
            data = path.read_bytes()
        except OSError:
            continue  # unreadable is as good as lost: its episodes are played again
        for payload in _payloads(data):
            _take(payload, episodes, unneeded)
    return Journaled(episodes, frozenset(unneeded - episodes.keys()))


def _take(payload: bytes, episodes: dict[str, Episode], unneeded: set[str]) -> None:
    try:
        if payload[:1] == _EPISODE:
            episode = _decode_episode(payload[1:])
            episodes.setdefault(episode.episode_id, episode)
        elif payload[:1] == _UNNEEDED:
            unneeded.add(_decode_id(payload[1:]))
    except msgspec.DecodeError:
        return  # written by a version whose records had other fields


def units(run: RunDir) -> set[str]:
    """Return the ids of the units that have a journal."""
    return {name.partition(".")[0] for name in layout.names(run.journal)}


def discard(run: RunDir, unit_id: str) -> int:
    """Remove the journals of a unit that is committed. Returns how many there were."""
    with boundary("store"):
        found = _files(run, unit_id)
        for path in found:
            path.unlink(missing_ok=True)
            layout.after("journal unlink")
    return len(found)
