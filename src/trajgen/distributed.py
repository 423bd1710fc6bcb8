"""The same job on Ray: one actor a core, each an asyncio worker. The only module that imports ray.

Ray runs a call at least once, so its own retries are off (`max_task_retries=0`): a lost call is leased again by the
dispatcher, and the commit protocol makes that exactly once. Actors restart by themselves (`max_restarts=-1`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from typing import TYPE_CHECKING, Any

import msgspec

from trajgen.driver import SeatLost, drive
from trajgen.errors import MissingExtra, UserError
from trajgen.local import stop_on_interrupt
from trajgen.worker import Worker

try:
    import ray
    from ray.exceptions import RayActorError
except ModuleNotFoundError as error:
    raise MissingExtra(
        "workers: running on Ray needs the package 'ray'; type: pip install 'trajgen[ray]', or --workers 0 to run "
        "in this process"
    ) from error

if TYPE_CHECKING:
    from collections.abc import Callable

    from trajgen.dispatch import Lease, LeaseReport
    from trajgen.driver import JobReport, Prepared, Snapshot
    from trajgen.store.layout import RunDir
    from trajgen.worker import Progress

_REVIVE_S = 120.0
_ASK_AGAIN_S = 0.5
_ANSWER_S = 5.0
_QUIET = {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_USAGE_STATS_ENABLED": "0"}


class RayWorker:
    """The actor: a `Worker` behind Ray's calls."""

    def __init__(self, run: RunDir, seat: str, concurrency: int, git: str | None) -> None:
        self._args = (run, f"{seat}-{uuid.uuid4().hex[:8]}", concurrency, git)
        self._worker: Worker | None = None

    def _ready(self) -> Worker:
        # made inside the actor's event loop, which runs only once a call has come
        if self._worker is None:
            self._worker = Worker(*self._args, driven=True)
        return self._worker

    async def play(self, lease: Lease) -> LeaseReport:
        """Play a lease."""
        return await self._ready().play(lease)

    async def progress(self) -> Progress:
        """Return what is finished but not committed."""
        return self._ready().progress()

    async def slot_name(self) -> str:
        """Return the name of this process's slot file."""
        return self._ready().slot_name

    async def stop(self) -> None:
        """Drop what plays."""
        self._ready().stop()

    async def close(self) -> None:
        """Release what the worker holds."""
        if self._worker is not None:
            await self._worker.close()
            self._worker = None


class RaySeat:
    """An actor as the driver sees it."""

    def __init__(self, name: str, actor: Any) -> None:
        self.name = name
        self._actor = actor

    async def play(self, lease: Lease) -> LeaseReport:
        """See `trajgen.driver.Seat`."""
        try:
            report: LeaseReport = await self._actor.play.remote(lease)
        except RayActorError as error:
            raise SeatLost(str(error)) from error
        return report

    async def _ask(self, method: str) -> Any:
        """Call the actor; None where it does not answer in time or is gone."""
        try:
            return await asyncio.wait_for(getattr(self._actor, method).remote(), _ANSWER_S)
        except (RayActorError, TimeoutError):
            return None

    async def progress(self) -> Progress | None:
        """See `trajgen.driver.Seat`."""
        answer: Progress | None = await self._ask("progress")
        return answer

    async def slot_name(self) -> str | None:
        """See `trajgen.driver.Seat`."""
        answer: str | None = await self._ask("slot_name")
        return answer

    async def stop(self) -> None:
        """See `trajgen.driver.Seat`."""
        await self._ask("stop")

    async def revive(self) -> None:
        """Wait until Ray has restarted the actor."""
        deadline = asyncio.get_running_loop().time() + _REVIVE_S
        while await self._ask("slot_name") is None:
            if asyncio.get_running_loop().time() > deadline:
                raise UserError(
                    f"Ray did not restart worker {self.name} within {_REVIVE_S:.0f} s; look at `ray status`"
                )
            await asyncio.sleep(_ASK_AGAIN_S)

    async def close(self) -> None:
        """End the actor."""
        await self._ask("close")
        ray.kill(self._actor)


def run(
    job: Prepared,
    workers: int | None,
    concurrency: int,
    on_update: Callable[[Snapshot], None],
    *,
    address: str | None = None,
) -> JobReport:
    """Play all that is missing on a Ray cluster.

    Args:
        workers: None for one a CPU of the cluster.
        concurrency: Most episodes at once per worker.
        address: An existing cluster; None starts one on this machine, or takes the one this process already has.
    """
    started = not ray.is_initialized()
    if started:
        _start(address)
    try:
        n_workers = workers or _n_cpus()
        return asyncio.run(_run(job, n_workers, concurrency, on_update))
    finally:
        if started:
            ray.shutdown()


def _n_cpus() -> int:
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call] # ray's stubs
    return max(1, int(resources.get("CPU", 1)))


def _start(address: str | None) -> None:
    for key, value in _QUIET.items():
        os.environ.setdefault(key, value)
    ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)


async def _run(job: Prepared, n_workers: int, concurrency: int, on_update: Callable[[Snapshot], None]) -> JobReport:
    mark = uuid.uuid4().hex[:8]
    # more workers than cores is fine where they wait for models; whole cores would leave the last ones pending for ever
    options = {
        "num_cpus": min(1.0, _n_cpus() / n_workers),
        "max_restarts": -1,
        "max_task_retries": 0,
        "max_concurrency": 1_000,
    }
    actor_type: Any = ray.remote(RayWorker).options(**options)  # ray's stubs do not know `max_concurrency`
    run = msgspec.structs.replace(job.run, path=job.run.path.absolute())  # a worker may have another working folder
    seats = []
    for number in range(n_workers):
        name = f"w{number}-{mark}"
        seats.append(RaySeat(name, actor_type.remote(run, name, concurrency, job.git)))
    try:
        with stop_on_interrupt() as stop:
            return await drive(job, seats, on_update, stop)
    finally:
        await asyncio.gather(*(seat.close() for seat in seats))
