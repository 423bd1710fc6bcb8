"""Where the parts of a run are, and the one way a file gets there: whole, durable, never over another.

All writing to disks that must survive a crash goes through `durable_write`; the other modules of this room name files
and fill them. Knows nothing of what is in them. A store of objects would replace this module alone: its `put` that
refuses to overwrite is `durable_write`.

The idea of temp file + fsync + `link()` is that of mail spools (Maildir): `link` fails where the name exists, so the
first writer wins, and `rename`, which overwrites silently, is never used.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Self

from msgspec import Struct

from trajgen.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from trajgen.entries import Job

_LEASE = re.compile(r"[A-Za-z0-9_-]{1,80}")
_TEMP = re.compile(r"\.[0-9a-f]{32}\.tmp")
_NAMES = {
    "plan": re.compile(r"\d{5,}\.json"),
    "journal": re.compile(r"\d{5,}\.[A-Za-z0-9_-]{1,80}"),
    "shards": re.compile(r"\d{5,}\.parquet"),
    "commits": re.compile(r"\d{5,}\.json"),
    "slots": _LEASE,
}
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
_FOLDERS = ("plan", "journal", "shards", "commits", "slots", "logs")


def _nothing(step: str) -> None:
    """Do nothing: nobody watches."""


after: Callable[[str], None] = _nothing
"""Called behind every system call that changes the disk; tests put a killer here."""


class RunDir(Struct, frozen=True):
    """The names of everything inside a run."""

    path: Path

    @classmethod
    def of(cls, job: Job) -> Self:
        """Return where a job's run is: `out`, or `runs/<name>`."""
        return cls(Path(job.out) if job.out else Path("runs") / job.name)

    def create(self) -> None:
        """Make the folders; those that exist are left alone.

        Raises:
            ConfigError: they cannot be made; the message says why.
        """
        try:
            for name in _FOLDERS:
                (self.path / name).mkdir(parents=True, exist_ok=True)
            _sync_folder(self.path)
        except OSError as error:
            raise ConfigError(f"out: cannot make a run in {self.path}: {error.strerror}") from error

    @property
    def plan(self) -> Path:
        """Folder of the plan's files, one per step of growth."""
        return self.path / "plan"

    @property
    def journal(self) -> Path:
        """Folder of finished episodes whose unit is not finished."""
        return self.path / "journal"

    @property
    def shards(self) -> Path:
        """Folder of finished units."""
        return self.path / "shards"

    @property
    def commits(self) -> Path:
        """Folder of commit records, one per shard."""
        return self.path / "commits"

    @property
    def slots(self) -> Path:
        """Folder of what each worker is doing right now."""
        return self.path / "slots"

    @property
    def logs(self) -> Path:
        """Folder of stack traces of workers that had to be ended."""
        return self.path / "logs"

    @property
    def lock(self) -> Path:
        """File that the driver holds locked."""
        return self.path / "driver.lock"

    def plan_file(self, number: int) -> Path:
        """Return the file of one step of growth, counted from 0."""
        return self.plan / f"{number:05d}.json"

    def shard(self, unit_id: str) -> Path:
        """Return the Parquet file of a unit."""
        return self.shards / f"{unit_id}.parquet"

    def commit(self, unit_id: str) -> Path:
        """Return the commit record of a unit."""
        return self.commits / f"{unit_id}.json"

    def journal_file(self, unit_id: str, lease: str) -> Path:
        """Return the journal of one lease of a unit."""
        return self.journal / f"{unit_id}.{checked_lease(lease)}"

    def slot_file(self, lease: str) -> Path:
        """Return the slots of one lease."""
        return self.slots / checked_lease(lease)


def checked_lease(lease: str) -> str:
    """Return `lease`, which becomes part of a file's name, or raise ValueError."""
    if not _LEASE.fullmatch(lease):
        raise ValueError(f"lease: expected 1 to 80 letters, digits, '_' or '-', found {lease!r}")
    return lease


def names(folder: Path) -> list[str]:
    """Return the sorted names of a run's own files in one of its folders; a missing folder is empty.

    Temporary files are left out, and so is whatever file systems, desktops and editors leave lying about.
    """
    own = _NAMES[folder.name]
    try:
        with os.scandir(folder) as found:
            return sorted(file.name for file in found if own.fullmatch(file.name) and file.is_file())
    except (FileNotFoundError, NotADirectoryError):
        return []


def durable_write(path: Path, data: bytes) -> bool:
    """Put a whole file at `path` so that it survives a crash; never over another.

    At every moment `path` is absent or holds all of one writer's data.

    Returns: False where `path` existed; it was left as it is.

    Raises:
        OSError: the disk is full or failed; nothing is at `path`, and no temporary file is left.
        ConfigError: the file system has no hard links.
    """
    temp = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    handle = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        after("open")
        # the kernel lets go when the writer dies: that is how `remove_stale_temps` tells dead from slow
        fcntl.flock(handle, fcntl.LOCK_EX)
        after("flock")
        _write_all(handle, data)
        os.fsync(handle)
        after("fsync")
        return _link(temp, path)
    finally:
        temp.unlink(missing_ok=True)
        after("unlink")
        os.close(handle)
        _sync_folder(path.parent)


def _write_all(handle: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]
        after("write")


def _link(temp: Path, path: Path) -> bool:
    try:
        os.link(temp, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno in _NO_LINKS:
            raise ConfigError(
                f"out: the file system of {path.parent} has no hard links, which a run needs; "
                "put it on another one: --set out=FOLDER"
            ) from error
        raise
    after("link")
    return True


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
        after("fsync folder")
    finally:
        os.close(handle)


def remove_stale_temps(folder: Path) -> int:
    """Remove the temporary files of writers that died; a living writer holds a lock on its own.

    A writer caught between creating and locking its file loses it, fails with ENOENT at `link` and writes again: no
    data is lost by that.

    Returns: How many were removed.
    """
    removed = 0
    for path in folder.iterdir():
        if _TEMP.search(path.name) and _is_abandoned(path):
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def _is_abandoned(temp: Path) -> bool:
    try:
        handle = os.open(temp, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(handle)
