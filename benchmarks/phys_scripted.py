"""The tabletop played by its expert, all of recording included, against a bare loop of `mj_step` over the same physics.

The floor steps the same models from the same states with the same controls, in calls of as many substeps, and must end
in the same states to the bit: what is left is skills, kinematics, feedback, digests, the engine and the store.

The two take turns of half a second in one process on one processor. Slower turns would measure the machine, whose speed
drifts by a fifth within seconds; on two processors ours would be two busy threads, which slow each other, and the floor
one.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import mujoco
import numpy as np

from benchmarks import common
from benchmarks.adding import checked
from trajgen import config, driver, local
from trajgen_envs.tabletop import rig
from trajgen_envs.tabletop.env import TabletopEnv
from trajgen_envs.tabletop.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ENV_ID = "trajgen/Tabletop-v0"
_TURN_S = 0.5
_STATE = mujoco.mjtState.mjSTATE_INTEGRATION


class Tape(NamedTuple):
    """One episode's physics from its reset on: `controls` has shape (ticks, actuators)."""

    model: mujoco.MjModel
    start: np.ndarray
    controls: np.ndarray
    end: np.ndarray


def run(*, quick: bool) -> list[common.Figure]:
    """Measure physics steps a CPU second; the ratio is ours over the floor's, so that 1 is the best."""
    n = 2 if quick else 512
    tapes = [_tape(seed) for seed in range(n)]
    floor = _Floor(tapes)
    with _one_processor():
        together = common.spent(lambda: _play(n, floor.turn))
    n_steps = sum(len(tape.controls) for tape in tapes) * rig.SUBSTEPS
    ours, raw = n_steps / (together.cpu_s - floor.cpu_s), floor.n_steps / floor.cpu_s
    return [common.Figure("phys_scripted", ours, "steps/CPU-s", raw, "mj_step", common.Goal("ratio", ">=", 0.90))]


class _Floor:
    """Steps through the tapes over and over, a turn at a time."""

    def __init__(self, tapes: list[Tape]) -> None:
        self._ticks = _ticks(tapes)
        self.n_steps = 0
        self.cpu_s = 0.0

    def turn(self) -> None:
        """Step for a while."""
        started = now = time.thread_time()
        while now - started < _TURN_S:
            next(self._ticks)
            self.n_steps += rig.SUBSTEPS
            now = time.thread_time()
        self.cpu_s += now - started


def _ticks(tapes: list[Tape]) -> Iterator[None]:
    for tape in itertools.cycle(tapes):
        data = mujoco.MjData(tape.model)
        mujoco.mj_setState(tape.model, data, tape.start, _STATE)
        for control in tape.controls:
            data.ctrl[:] = control
            mujoco.mj_step(tape.model, data, nstep=rig.SUBSTEPS)
            yield
        assert np.array_equal(data.qpos, tape.end), "the floor's physics is not ours"


@contextlib.contextmanager
def _one_processor() -> Iterator[None]:
    """Run on one processor."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _tape(seed: int) -> Tape:
    env = TabletopEnv()
    env.reset(seed=seed)
    starts: list[np.ndarray] = []
    controls: list[np.ndarray] = []

    def watch(arm: rig.Rig) -> None:
        starts.append(_state(arm))
        arm.watch = lambda: controls.append(arm.data.ctrl.copy())

    # the same table once more, to see it settle
    table = Table(env.task, short_sight=False, on_built=watch)
    env.table.rig.watch = lambda: controls.append(env.table.rig.data.ctrl.copy())
    for call in env.oracle():
        if env.step(call)[2]:
            break
    return Tape(table.rig.model.mj, starts[0], np.array(controls), env.table.rig.data.qpos.copy())


def _state(table: rig.Rig) -> np.ndarray:
    state = np.empty(mujoco.mj_stateSize(table.model.mj, _STATE))
    mujoco.mj_getState(table.model.mj, table.data, state, _STATE)
    return state


def _play(n_episodes: int, between: Callable[[], None]) -> None:
    job = config.parse({"name": "table", "workers": 0, "env": ENV_ID, "seeds": f"0:{n_episodes}", "agent": "oracle"})
    with tempfile.TemporaryDirectory() as folder, driver.prepared(Path(folder) / "run", job) as prepared:
        checked(local.run(prepared, job.concurrency, lambda _: between()))  # the driver reports twice a second
