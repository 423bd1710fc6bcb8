"""One driver per run: a lock that the kernel releases when its holder dies. Knows nothing of what a driver does."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from trajgen.errors import RunConflict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trajgen.store.layout import RunDir


@contextlib.contextmanager
def driver_lock(run: RunDir) -> Iterator[None]:
    """Hold the run for this process.

    Raises:
        RunConflict: another process drives it; the message names its pid.
    """
    handle = os.open(run.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _lock(handle, run)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)  # releases it; the file stays, since removing it would let two drivers lock two files


def _lock(handle: int, run: RunDir) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
        raise RunConflict(
            f"{run.path}: process {holder} is already working on this run; wait for it, or stop it: kill {holder}"
        ) from None
