"""The arm in motion: joint paths, straight lines, suction, and the clock of the physics. Knows no task and no words.

Time passes in ticks of `SUBSTEPS` physics steps, each one call of `mj_step`, which frees the interpreter lock. Between
ticks the servos get their next target, the valve looks at its seal, and whoever wants to interfere may do so.

**The seal.** Suction needs all pads on a face: air that leaks past a missing pad costs vacuum, and from
`N_PADS - MAX_LEAKS` pads on there is none. An edge grip therefore slips, as a real cup's does.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import mujoco
import numpy as np

from trajgen_envs.tabletop import arm, scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from trajgen_envs.tabletop.arm import Joints
    from trajgen_envs.tabletop.scene import Model

SUBSTEPS = 10
TICK_S = SUBSTEPS * scene.TIMESTEP_S
HOME: Joints = arm.inverse(0.32, 0.0, 0.30, 0.0, (0.0,) * 6)
MAX_LEAKS = 3
_MAX_RAD_S, _MAX_RAD_S2 = 3.0, 15.0  # harder, and what hangs from the cup is thrown off
_LAG_S = 0.1  # kv / kp of the servos: how far they trail a moving target
_LEAD = _LAG_S / TICK_S
_SUCTION = arm.N_JOINTS  # index of its control
Point = tuple[float, float, float]


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
        self.at: Point = (0.32, 0.0, 0.30)
        self.heading_rad = 0.0
        self.on_tick: Callable[[], None] | None = None
        self.watch: Callable[[], None] | None = None
        self._owner = model.objects
        self._pads = range(model.pads, model.pads + scene.N_PADS)
        self._warned = self.data.warning.number

    # ---- time

    def _follow(self, path: Sequence[Joints]) -> Iterator[None]:
        """Send the servos along a path, one place a tick; yields after each tick.

        Raises: Unstable: MuJoCo warned of what it found: a state that is not finite or too large, or too many contacts.
        """
        targets = np.array(path).reshape(-1, arm.N_JOINTS)
        before = np.array([self.commanded, *path[:-1]])
        # all that can be known is worked out beforehand: between two ticks Python runs cold, at several times its price
        for target, control in zip(path, targets + (targets - before[: len(path)]) * _LEAD, strict=True):
            self._tick(target, control)
            yield

    def _tick(self, target: Joints, control: NDArray[np.float64]) -> None:
        if self.on_tick is not None:
            self.on_tick()
        ctrl = self.data.ctrl
        ctrl[: arm.N_JOINTS] = control
        ctrl[_SUCTION] = self._vacuum() if self.valve else 0.0
        mujoco.mj_step(self.model.mj, self.data, nstep=SUBSTEPS)
        self.commanded = target
        if any(self._warned.tolist()):
            self._diverged()
        if self.watch is not None:
            self.watch()

    def _diverged(self) -> None:
        names = [mujoco.mjtWarning(int(i)).name for i in np.flatnonzero(self._warned)]
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
        pads, owner = self._pads, self._owner
        # plain Python: a few dozen contacts are fewer than numpy's calls cost; a sphere comes first in a contact
        owners = [owner[second] for first, second in self.data.contact.geom.tolist() if first in pads]
        index = max(owners, key=owners.count, default=-1)
        return (index, owners.count(index)) if index >= 0 else (-1, 0)

    def touched(self) -> int:
        """Return the object that most pads touch; -1 where none touches any."""
        return self.grip()[0]

    def rests(self, index: int) -> bool:
        """Say whether an object touches anything that is not the arm."""
        owner, ground, last_of_arm = self._owner, self.model.table, self._pads.stop
        for a, b in self.data.contact.geom.tolist():
            if index in (owner[a], owner[b]):
                other = b if owner[a] == index else a
                if other >= last_of_arm or other <= ground:
                    return True
        return False

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
        for _ in self._follow([_between(start, goal, share) for share in _minimum_jerk(ticks)]):
            pass
        self.at, self.heading_rad = (x, y, z), heading_rad

    def straight(
        self, x: float, y: float, z: float, *, speed_m_s: float, until: Callable[[], bool] | None = None
    ) -> bool:
        """Move the cup along a straight line; stop early once `until` holds. Return whether it did.

        Raises: arm.OutOfReach: the end cannot be reached, and nothing moved; or a point on the way cannot, and it
            stopped before it.
        """
        length = math.dist(self.at, (x, y, z))
        end = arm.inverse(x, y, z, self.heading_rad, self.commanded)
        # where the arm is nearly stretched, a short line takes its joints far
        widest = max(abs(b - a) for a, b in zip(self.commanded, end, strict=True))
        ticks = max(2, math.ceil(max(length / speed_m_s, 1.875 * widest / _MAX_RAD_S) / TICK_S))
        shares: Iterable[float] = _minimum_jerk(ticks) if until is None else (i / ticks for i in range(1, ticks + 1))
        path, points, unreached = self._line((x, y, z), shares)
        for _, point in zip(self._follow(path), points, strict=True):
            self.at = point
            if until is not None and until():
                return True
        if unreached is not None:
            raise unreached
        return False

    def _line(self, end: Point, shares: Iterable[float]) -> tuple[list[Joints], list[Point], arm.OutOfReach | None]:
        """Return a straight line from where the cup is, in joint angles and in points, and why it stops short."""
        (ax, ay, az), (bx, by, bz) = self.at, end
        path: list[Joints] = []
        points: list[Point] = []
        near = self.commanded
        for share in shares:
            x, y, z = ax + (bx - ax) * share, ay + (by - ay) * share, az + (bz - az) * share
            try:
                near = arm.inverse(x, y, z, self.heading_rad, near)
            except arm.OutOfReach as error:
                return path, points, error
            path.append(near)
            points.append((x, y, z))
        return path, points, None

    def wait(self, seconds: float, until: Callable[[], bool] | None = None) -> None:
        """Hold still for so long, or until something holds."""
        for _ in self._follow([self.commanded] * math.ceil(seconds / TICK_S)):
            if until is not None and until():
                return

    def at_rest(self, *, tol_m_s: float = 0.01) -> bool:
        """Say whether every object is still: no part of it faster than `tol_m_s` (and 10 times that in rad/s)."""
        limits = itertools.cycle((tol_m_s,) * 3 + (10 * tol_m_s,) * 3)
        return all(abs(v) < limit for v, limit in zip(self.data.qvel[arm.N_JOINTS :].tolist(), limits, strict=False))


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
