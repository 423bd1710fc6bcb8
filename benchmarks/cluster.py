"""A Ray cluster on this machine for the benchmarks that need one, with workers whose CPU time can be asked for."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import ray

from benchmarks import adding
from trajgen import driver, registry
from trajgen.distributed import RaySeat, RayWorker

if TYPE_CHECKING:
    from collections.abc import Iterator


class Played(NamedTuple):
    """What a job took, from the first lease to the last report; starting and stopping workers is not in it."""

    wall_s: float
    worker_cpu_s: float
    driver_cpu_s: float


class MeteredWorker(RayWorker):
    """A worker that tells its CPU time."""

    async def cpu_s(self) -> float:
        """Return the CPU seconds of this process so far, Ray's own threads included; import first what is to come."""
        registry.agent("llm")
        registry.backend("openai")
        return time.process_time()


@contextlib.contextmanager
def cluster() -> Iterator[None]:
    """Take the cluster of this process, or start one and stop it afterwards; it costs some 10 CPU seconds."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # workers search modules where this process does, so they find `benchmarks` too
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


def play(base_url: str, n_episodes: int, n_workers: int, concurrency: int) -> Played:
    """Play on Ray with workers that are up and warm."""
    asked = adding.job(base_url, n_episodes, concurrency)
    with tempfile.TemporaryDirectory() as folder, driver.prepared(Path(folder) / "run", asked) as prepared:
        return asyncio.run(_play(prepared, n_workers, concurrency))


async def _play(job: driver.Prepared, n_workers: int, concurrency: int) -> Played:
    options = {"num_cpus": 1, "max_restarts": 0, "max_task_retries": 0, "max_concurrency": 1_000}
    actor_type: Any = ray.remote(MeteredWorker).options(**options)
    actors = [actor_type.remote(job.run, f"w{i}", concurrency, job.git) for i in range(n_workers)]
    seats = [RaySeat(f"w{i}", actor) for i, actor in enumerate(actors)]
    await asyncio.gather(*(seat.slot_name() for seat in seats))
    before = await asyncio.gather(*(actor.cpu_s.remote() for actor in actors))
    wall, own = time.perf_counter(), time.process_time()
    adding.checked(await driver.drive(job, seats, lambda _: None, asyncio.Event()))
    wall, own = time.perf_counter() - wall, time.process_time() - own
    after = await asyncio.gather(*(actor.cpu_s.remote() for actor in actors))
    await asyncio.gather(*(seat.close() for seat in seats))
    return Played(wall, sum(after) - sum(before), own)
