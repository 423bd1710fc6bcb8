"""`workers = 0`: the whole job in this process, without Ray. Small jobs and tests start in under a second."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import uuid
from typing import TYPE_CHECKING

from trajgen.driver import drive
from trajgen.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trajgen.dispatch import Lease, LeaseReport
    from trajgen.driver import JobReport, Prepared, Snapshot
    from trajgen.worker import Progress


class LocalSeat:
    """A worker in this very process; it cannot be lost without us."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.name = worker.name

    async def play(self, lease: Lease) -> LeaseReport:
        """See `trajgen.driver.Seat`."""
        return await self._worker.play(lease)

    async def progress(self) -> Progress:
        """See `trajgen.driver.Seat`."""
        return self._worker.progress()

    async def slot_name(self) -> str:
        """See `trajgen.driver.Seat`."""
        return self._worker.slot_name

    async def stop(self) -> None:
        """See `trajgen.driver.Seat`."""
        self._worker.stop()

    async def revive(self) -> None:
        """See `trajgen.driver.Seat`."""


def run(job: Prepared, concurrency: int, on_update: Callable[[Snapshot], None]) -> JobReport:
    """Play all that is missing in this process."""
    return asyncio.run(_run(job, concurrency, on_update))


async def _run(job: Prepared, concurrency: int, on_update: Callable[[Snapshot], None]) -> JobReport:
    worker = Worker(job.run, f"local-{uuid.uuid4().hex[:8]}", concurrency, job.git)
    try:
        with stop_on_interrupt() as stop:
            return await drive(job, [LocalSeat(worker)], on_update, stop)
    finally:
        await worker.close()


@contextlib.contextmanager
def stop_on_interrupt() -> Iterator[asyncio.Event]:
    """Give an event that the first Ctrl-C or SIGTERM sets; a second one ends the process as usual."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)

    def ask() -> None:
        stop.set()
        for number in numbers:
            loop.remove_signal_handler(number)

    with contextlib.suppress(
        NotImplementedError, RuntimeError, ValueError
    ):  # not the main thread: nobody can interrupt
        for number in numbers:
            loop.add_signal_handler(number, ask)
    try:
        yield stop
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
