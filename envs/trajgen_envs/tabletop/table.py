"""One table in play: the physics, the slips and knocks of the task, and what the robot has seen of it.

Runs a motion from beginning to end and looks again. Knows no goal and no words; saves and restores itself to the bit.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec
import mujoco
import numpy as np
from msgspec import Struct, structs

from trajgen_envs.tabletop import intents, world
from trajgen_envs.tabletop.arm import OutOfReach
from trajgen_envs.tabletop.intents import Belief
from trajgen_envs.tabletop.rig import Rig
from trajgen_envs.tabletop.scene import BLOCK_HALF_M, BOWL_FLOOR_M, compiled
from trajgen_envs.tabletop.world import Pose, World

if TYPE_CHECKING:
    from collections.abc import Callable

    from trajgen_envs.tabletop.skills import Aim
    from trajgen_envs.tabletop.tasks import Task

T = TypeVar("T")
SIGHT_M = 0.20  # how far from the cup an object is seen, sideways, where sight is short
_PHYSICS = mujoco.mjtState.mjSTATE_INTEGRATION
_SETTLE_S, _STOPPED_S = 0.1, 0.6
_NOWHERE = Pose(99.0, 99.0, 0.0, 0.0, 1.0, 0.0)


class Past(Struct, frozen=True):
    """What has happened beside the physics.

    Attributes:
        n_skills: Motions begun.
        seen: Where each object was last seen; None where it never was.
    """

    n_skills: int
    seen: tuple[Pose | None, ...]


class Saved(NamedTuple):
    """A table as it was; `physics` is MuJoCo's integration state, `servos` what the rig keeps beside it."""

    past: Past
    physics: np.ndarray[Any, np.dtype[np.float64]]
    servos: tuple[Any, ...]
    slips: np.random.Generator


class Table:
    """The table of one task.

    Args:
        short_sight: Objects are seen only within `SIGHT_M` of the cup.
        on_built: Called with the rig before any time passes on it, to film it.
    """

    def __init__(self, task: Task, *, short_sight: bool, on_built: Callable[[Rig], None]) -> None:
        self.task = task
        self.rig = rig = Rig(compiled(tuple(thing.kind for thing in task.things)))
        self._short_sight = short_sight
        self._slips = np.random.default_rng(task.noise_seed)
        self._now: World | None = None
        for first, (x, y, z, yaw) in zip(rig.model.qpos, task.starts, strict=True):
            rig.data.qpos[first : first + 7] = [x, y, z, math.cos(yaw / 2), 0, 0, math.sin(yaw / 2)]
        on_built(rig)
        rig.wait(_SETTLE_S)
        self._land()
        self._past = Past(0, (None,) * len(task.things))
        self._see()

    # ---- acting

    def run(self, motion: Callable[[Rig], T]) -> T:
        """Run one motion, with what disturbs it.

        Raises: OutOfReach: the arm had to stop on the way; what has happened has.
        """
        rig = self.rig
        rig.on_tick = self._disturbance()
        try:
            return motion(rig)
        except OutOfReach:
            rig.valve = rig.valve and rig.touched() >= 0
            rig.wait(_STOPPED_S, rig.at_rest)  # if it was something in the air that the arm cannot rise over
            raise
        finally:
            rig.on_tick = None
            self._land()
            self._past = structs.replace(self._past, n_skills=self._past.n_skills + 1)
            self._see()

    def _disturbance(self) -> Callable[[], None] | None:
        """Return what knocks objects about during the next motion; None where nothing does."""
        rig, started = self.rig, self.rig.data.time
        due = [shove for shove in self.task.shoves if shove.skill == self._past.n_skills]

        def disturb() -> None:
            while due and rig.data.time - started >= due[0].share:
                shove = due.pop(0)
                first = rig.model.qvel[shove.thing]
                rig.data.qvel[first : first + 3] += shove.velocity

        return disturb if due else None

    def _land(self) -> None:
        # contacts and kinematics of the state as it is, so that a restored state says the same to the bit
        mujoco.mj_forward(self.rig.model.mj, self.rig.data)
        self._now = None

    def astray(self, aim: Aim, noise_m: float) -> Aim:
        """Return where the cup really goes. Draws as much whatever the noise, a standard deviation, is."""
        dx, dy = (noise_m * draw for draw in self._slips.standard_normal(2).tolist())
        return aim._replace(x=aim.x + dx, y=aim.y + dy) if intents.reaches(aim.x + dx, aim.y + dy) else aim

    def tops_m(self, but: int = -1) -> float:
        """Return the height of the highest point of all objects but one."""
        now = self.world()
        return max([0.0, *(now.top(i) for i in range(len(now.things)) if i != but)])

    def thickness_m(self, held: int) -> float:
        """Return how far what is held reaches below the cup."""
        now = self.world()
        if held < 0:
            return 2 * BLOCK_HALF_M
        return 2 * (BOWL_FLOOR_M if now.things[held].kind == "bowl" else now.poses[held].lid)

    # ---- seeing

    def world(self) -> World:
        """Return where everything really was when the last motion ended."""
        if self._now is None:
            rig = self.rig
            frames = (tuple(rig.data.qpos[first : first + 7].tolist()) for first in rig.model.qpos)
            self._now = world.look(self.task.things, frames, rig.touched() if rig.valve else -1)
        return self._now

    def belief(self) -> Belief:
        """Return where everything was last seen; what never was is nowhere near."""
        seen = self._past.seen
        poses = tuple(pose or _NOWHERE for pose in seen)
        return Belief(self.world()._replace(poses=poses), [i for i, pose in enumerate(seen) if pose is None])

    def visible(self) -> list[int]:
        """Return the objects that are seen now."""
        now = self.world()
        everything = range(len(now.things))
        if not self._short_sight:
            return list(everything)
        x, y, _ = self.rig.at
        return [i for i in everything if i == now.held or math.dist((x, y), now.poses[i][:2]) <= SIGHT_M]

    def _see(self) -> None:
        now, visible = self.world(), self.visible()
        seen = tuple(now.poses[i] if i in visible else old for i, old in enumerate(self._past.seen))
        self._past = structs.replace(self._past, seen=seen)

    # ---- saving

    def fingerprint(self) -> bytes:
        """Return bytes that are equal only for equal states, generator included."""
        rest = msgspec.msgpack.encode((self.task, self._past, self._servos()))
        # repr: the generator's state holds integers of 128 bits
        return self._physics().tobytes() + rest + repr(self._slips.bit_generator.state).encode()

    def save(self) -> Saved:
        """Return the state."""
        return Saved(self._past, self._physics(), self._servos(), copy.deepcopy(self._slips))

    def load(self, saved: Saved) -> None:
        """Return to a state of this task that `save` gave."""
        rig = self.rig
        mujoco.mj_setState(rig.model.mj, rig.data, saved.physics, _PHYSICS)
        rig.commanded, rig.at, rig.heading_rad, rig.valve = saved.servos
        self._past, self._slips = saved.past, copy.deepcopy(saved.slips)
        self._land()

    def _physics(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        rig = self.rig
        state = np.empty(mujoco.mj_stateSize(rig.model.mj, _PHYSICS))
        mujoco.mj_getState(rig.model.mj, rig.data, state, _PHYSICS)
        return state

    def _servos(self) -> tuple[Any, ...]:
        rig = self.rig
        return (rig.commanded, rig.at, rig.heading_rad, rig.valve)
