"""The tabletop played by its expert, all of recording included, against a bare loop of `mj_step` over the same physics.

The floor steps the same models from the same starts with the same controls, in calls of as many substeps: what is left
is skills, kinematics, feedback, digests, the engine and the store.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import mujoco
import numpy as np

from benchmarks import common
from benchmarks.adding import checked
from trajgen import config, driver, local
from trajgen_envs.tabletop import rig
from trajgen_envs.tabletop.env import TabletopEnv

if TYPE_CHECKING:
    from trajgen_envs.tabletop.scene import Model
    from trajgen_envs.tabletop.tasks import Task

ENV_ID = "trajgen/Tabletop-v0"


class Tape(NamedTuple):
    """One episode's physics: `controls` has shape (ticks, actuators)."""

    model: Model
    task: Task
    controls: np.ndarray


def run(*, quick: bool) -> list[common.Figure]:
    """Measure CPU time a physics step, interleaved; the ratio is the floor's over ours, so that 1 is the best."""
    n, repeats = (2, 1) if quick else (128, 3)
    tapes = [_tape(seed) for seed in range(n)]
    found = common.interleaved(
        {"ours": lambda: common.spent(lambda: _play(n)), "raw": lambda: common.spent(lambda: _raw(tapes))}, repeats
    )
    steps = sum(len(tape.controls) for tape in tapes) * rig.SUBSTEPS
    ours, raw = (steps / found[kind].cpu_s for kind in ("ours", "raw"))
    return [common.Figure("phys_scripted", ours, "steps/CPU-s", raw, "mj_step", common.Goal("ratio", ">=", 0.90))]


def _tape(seed: int) -> Tape:
    env = TabletopEnv()
    env.reset(seed=seed)
    table = env.table.rig
    controls: list[np.ndarray] = []
    table.watch = lambda: controls.append(table.data.ctrl.copy())
    for call in env.oracle():
        if env.step(call)[2]:
            break
    return Tape(table.model, env.task, np.array(controls))


def _play(n_episodes: int) -> None:
    job = config.parse({"name": "table", "workers": 0, "env": ENV_ID, "seeds": f"0:{n_episodes}", "agent": "oracle"})
    with tempfile.TemporaryDirectory() as folder, driver.prepared(Path(folder) / "run", job) as prepared:
        checked(local.run(prepared, job.concurrency, lambda _: None))


def _raw(tapes: list[Tape]) -> None:
    for tape in tapes:
        data = mujoco.MjData(tape.model.mj)
        data.qpos[: len(rig.HOME)] = rig.HOME
        for first, (x, y, z, yaw) in zip(tape.model.qpos, tape.task.starts, strict=True):
            data.qpos[first : first + 7] = [x, y, z, math.cos(yaw / 2), 0, 0, math.sin(yaw / 2)]
        for control in tape.controls:
            data.ctrl[:] = control
            mujoco.mj_step(tape.model.mj, data, nstep=rig.SUBSTEPS)
