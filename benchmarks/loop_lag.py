"""How late a worker's event loop wakes while skills run: what one episode's physics costs the others in waiting.

A heartbeat asks to be woken every 2 ms and notes how late it was. The floor is the same heartbeat beside as many bare
threads that do nothing but `mj_step`: what the machine's scheduler and the interpreter lock cost without any of ours.
The largest of some thousand beats is the machine's as much as ours (a neighbour, the first commit that imports the
writer), so the goal is for the 99th percentile, and the worst is shown beside that of the floor.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import mujoco
import numpy as np

from benchmarks import common
from benchmarks.adding import checked
from trajgen import config, driver, local
from trajgen_envs.tabletop import rig
from trajgen_envs.tabletop.env import TabletopEnv

if TYPE_CHECKING:
    from trajgen.driver import Snapshot

_BEAT_S = 0.002


class _Heart:
    """Beats in the event loop that it is started in, until that ends."""

    def __init__(self) -> None:
        self.late_s: list[float] = []
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to beat, if it does not yet."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._beat())

    async def _beat(self) -> None:
        while True:
            due = time.perf_counter() + _BEAT_S
            await asyncio.sleep(_BEAT_S)
            self.late_s.append(time.perf_counter() - due)


def run(*, quick: bool) -> list[common.Figure]:
    """Measure by how many milliseconds the loop wakes too late."""
    n = 4 if quick else 128
    began = time.perf_counter()
    ours = _ours(n)
    floor = _floor(time.perf_counter() - began)
    p99, worst = (_ms(ours, q) for q in (99, 100))
    return [
        common.Figure(
            "loop_lag: 99th percentile", p99, "ms", _ms(floor, 99), "bare threads", common.Goal("figure", "<=", 10.0)
        ),
        common.Figure("loop_lag: worst", worst, "ms", _ms(floor, 100), "bare threads"),
    ]


def _ms(late_s: list[float], percentile: float) -> float:
    return float(np.percentile(late_s, percentile)) * 1e3


def _ours(n_episodes: int) -> list[float]:
    heart = _Heart()

    def started(_: Snapshot) -> None:
        heart.start()

    job = config.parse(
        {"name": "lag", "workers": 0, "env": "trajgen/Tabletop-v0", "seeds": f"0:{n_episodes}", "agent": "oracle"}
    )
    with tempfile.TemporaryDirectory() as folder, driver.prepared(Path(folder) / "run", job) as prepared:
        checked(local.run(prepared, job.concurrency, started))
    return heart.late_s


def _floor(seconds: float) -> list[float]:
    stop = threading.Event()
    threads = [threading.Thread(target=_step, args=(stop,)) for _ in os.sched_getaffinity(0)]
    for thread in threads:
        thread.start()
    heart = _Heart()

    async def listen() -> None:
        heart.start()
        await asyncio.sleep(seconds)

    try:
        asyncio.run(listen())
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    return heart.late_s


def _step(stop: threading.Event) -> None:
    env = TabletopEnv()
    env.reset(seed=0)
    arm = env.table.rig
    while not stop.is_set():
        mujoco.mj_step(arm.model.mj, arm.data, nstep=rig.SUBSTEPS)
