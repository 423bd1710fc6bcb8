"""The arm in motion: joint paths, straight lines, suction, and the clock of the physics. Knows no task and no words.

Time passes in ticks of `SUBSTEPS` physics steps, each one call of `mj_step`, which frees the interpreter lock. Between
ticks the servos get their next target, the valve looks at its seal, and whoever wants to interfere may do so.

**The seal.** Suction needs all pads on a face: air that leaks past a missing pad costs vacuum, and from
`N_PADS - MAX_LEAKS` pads on there is none. An edge grip therefore slips, as a real cup's does.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import mujoco
import numpy as np

from trajgen_envs.tabletop import arm, scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from trajgen_envs.tabletop.arm import Joints
    from trajgen_envs.tabletop.scene import Model

SUBSTEPS = 10
TICK_S = SUBSTEPS * scene.TIMESTEP_S
HOME: Joints = arm.inverse(0.32, 0.0, 0.30, 0.0, (0.0,) * 6)
MAX_LEAKS = 3
_MAX_RAD_S, _MAX_RAD_S2 = 3.0, 15.0  # harder, and what hangs from the cup is thrown off
_LAG_S = 0.1  # kv / kp of the servos: how far they trail a moving target
_SUCTION = arm.N_JOINTS  # index of its control


class Unstable(RuntimeError):
    """The physics has diverged; the state is no longer one."""


class Rig:
    """One arm over one table.

    Attributes:
        data: The simulator's state.
        valve: Whether the pump runs.
        commanded: Where the servos are told to be, rad.
        heading_rad: Of the cup, as commanded.
        on_tick: Called before every tick; may change the state.
        watch: Called after every tick, to look only.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.data = scene.home(model.mj, HOME)
        self.valve = False
        self.commanded: Joints = HOME
        self.at: tuple[float, float, float] = (0.32, 0.0, 0.30)
        self.heading_rad = 0.0
        self.on_tick: Callable[[], None] | None = None
        self.watch: Callable[[], None] | None = None
        self._owner = np.asarray(model.objects)

    # ---- time

    def tick(self, target: Joints) -> None:
        """Let `TICK_S` pass while the servos go to `target`.

        Raises: Unstable: MuJoCo warned of what it found: a state that is not finite or too large, or too many contacts.
        """
        if self.on_tick is not None:
            self.on_tick()
        ctrl = self.data.ctrl
        old = self.commanded
        ctrl[: arm.N_JOINTS] = [new + (new - was) * (_LAG_S / TICK_S) for new, was in zip(target, old, strict=True)]
        ctrl[_SUCTION] = self._vacuum() if self.valve else 0.0
        mujoco.mj_step(self.model.mj, self.data, nstep=SUBSTEPS)
        self.commanded = target
        if self.data.warning.number.any():
            self._diverged()
        if self.watch is not None:
            self.watch()

    def _diverged(self) -> None:
        names = [mujoco.mjtWarning(int(i)).name for i in np.flatnonzero(self.data.warning.number)]
        raise Unstable(f"the physics became unstable at {self.data.time:.3f} s of simulated time: {', '.join(names)}")

    def _vacuum(self) -> float:
        leaks = scene.N_PADS - self.grip()[1]
        return max(0.0, 1.0 - leaks / MAX_LEAKS)

    # ---- where things are

    def poses(self, of: Iterable[int]) -> NDArray[np.float64]:
        """Return x, y, z (m) and a unit quaternion of each object, shape (n, 7); those not asked `of` are NaN."""
        rows = np.full((len(self.model.qpos), 7), np.nan)
        for index in of:
            first = self.model.qpos[index]
            rows[index] = self.data.qpos[first : first + 7]
        return rows

    def cup(self) -> NDArray[np.float64]:
        """Return where the face of the cup is, shape (3,), metres."""
        tube = self.data.body("cup")
        return tube.xpos + arm.TUBE_M * tube.xmat.reshape(3, 3)[:, 2]  # type: ignore[no-any-return] # mujoco has no types

    # ---- touch

    def grip(self) -> tuple[int, int]:
        """Return the object that most pads touch, and how many do; (-1, 0) where none touches any."""
        geoms = self.data.contact.geom
        pads = geoms[:, 0] - self.model.pads  # a sphere comes before a box or a cylinder in a contact
        owners = self._owner[geoms[(pads >= 0) & (pads < scene.N_PADS), 1]].tolist()
        index = max(owners, key=owners.count, default=-1)
        return (index, owners.count(index)) if index >= 0 else (-1, 0)

    def touched(self) -> int:
        """Return the object that most pads touch; -1 where none touches any."""
        return self.grip()[0]

    def rests(self, index: int) -> bool:
        """Say whether an object touches anything that is not the arm."""
        geoms = self.data.contact.geom
        mine = self._owner[geoms] == index
        rows = np.flatnonzero(mine.any(axis=1))
        table, last_of_arm = self.model.table, self.model.pads + scene.N_PADS
        others = np.where(mine[rows, 0], geoms[rows, 1], geoms[rows, 0])
        return bool(((others >= last_of_arm) | (others <= table)).any())

    # ---- motion

    def move(self, x: float, y: float, z: float, heading_rad: float) -> None:
        """Swing the cup to a point, joints in step, by a minimum-jerk path.

        Raises: arm.OutOfReach: the point cannot be reached; nothing moved.
        """
        goal = arm.inverse(x, y, z, heading_rad, self.commanded)
        start = self.commanded
        widest = max(abs(b - a) for a, b in zip(start, goal, strict=True))
        # 1.875 and 5.77: how far the peaks of speed and acceleration of such a path lie above the mean
        needed_s = max(1.875 * widest / _MAX_RAD_S, math.sqrt(5.77 * widest / _MAX_RAD_S2))
        ticks = max(2, math.ceil(needed_s / TICK_S))
        for share in _minimum_jerk(ticks):
            self.tick(_between(start, goal, share))
        self.at, self.heading_rad = (x, y, z), heading_rad

    def straight(
        self, x: float, y: float, z: float, *, speed_m_s: float, until: Callable[[], bool] | None = None
    ) -> bool:
        """Move the cup along a straight line; stop early once `until` holds. Return whether it did.

        Raises: arm.OutOfReach: the end cannot be reached, and nothing moved; or a point on the way cannot, and it
            stopped before it.
        """
        start, length = self.at, math.dist(self.at, (x, y, z))
        end = arm.inverse(x, y, z, self.heading_rad, self.commanded)
        # where the arm is nearly stretched, a short line takes its joints far
        widest = max(abs(b - a) for a, b in zip(self.commanded, end, strict=True))
        ticks = max(2, math.ceil(max(length / speed_m_s, 1.875 * widest / _MAX_RAD_S) / TICK_S))
        shares: Iterable[float] = _minimum_jerk(ticks) if until is None else (i / ticks for i in range(1, ticks + 1))
        for share in shares:
            px, py, pz = (a + (b - a) * share for a, b in zip(start, (x, y, z), strict=True))
            self.tick(arm.inverse(px, py, pz, self.heading_rad, self.commanded))
            self.at = (px, py, pz)
            if until is not None and until():
                return True
        return False

    def wait(self, seconds: float, until: Callable[[], bool] | None = None) -> None:
        """Hold still for so long, or until something holds."""
        for _ in range(math.ceil(seconds / TICK_S)):
            self.tick(self.commanded)
            if until is not None and until():
                return

    def at_rest(self, *, tol_m_s: float = 0.01) -> bool:
        """Say whether every object is still: no part of it faster than `tol_m_s` (and 10 times that in rad/s)."""
        v = self.data.qvel[arm.N_JOINTS :].reshape(-1, 6)
        return bool(np.abs(v[:, :3]).max() < tol_m_s and np.abs(v[:, 3:]).max() < 10 * tol_m_s)


def _minimum_jerk(ticks: int) -> Iterator[float]:
    for i in range(1, ticks + 1):
        s = i / ticks
        yield s * s * s * (10 - 15 * s + 6 * s * s)


def _between(start: Joints, goal: Joints, share: float) -> Joints:
    a, b = start, goal
    return (
        a[0] + (b[0] - a[0]) * share,
        a[1] + (b[1] - a[1]) * share,
        a[2] + (b[2] - a[2]) * share,
        a[3] + (b[3] - a[3]) * share,
        a[4] + (b[4] - a[4]) * share,
        a[5] + (b[5] - a[5]) * share,
    )
