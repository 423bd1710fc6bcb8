"""The skills: pick, place, push and look, as motions of the rig. Nothing is teleported; contact decides what happens.

Each aims where the robot *believes* a thing to be, open loop, and stops when something is touched. Knows neither the
goal nor the words of the answer.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from trajgen_envs.tabletop import scene
from trajgen_envs.tabletop.world import DIRECTIONS

if TYPE_CHECKING:
    from trajgen_envs.tabletop.rig import Rig

CLEAR_M = 0.05  # between what is carried and the highest thing on the table
_FAST_M_S, _LIFT_M_S, _SLOW_M_S, _PUSH_M_S = 0.5, 0.3, 0.08, 0.15
_APPROACH_M = 0.02  # where the slow part of a descent begins, above the expected contact
_PRESS_M = 0.003  # how far to press on once the first pad touches
_LOWEST_M = 0.004  # of the cup's face above the table
_SEAL_S, _RELEASE_S, _SETTLE_S = 0.06, 0.04, 0.6
_PUSH_HEIGHT_M = 0.012
PUSH_BACK_M = scene.CUP_RADIUS_M + 0.01  # how far from an object a push begins, edge to cup's middle
CARRIED_M = 2 * scene.CAN_HALF_M  # the tallest thing, upright


class Aim(NamedTuple):
    """Where to go: metres; `height` is that of the face to meet; `yaw` modulo a quarter turn."""

    x: float
    y: float
    height: float
    yaw: float


def pick(rig: Rig, aim: Aim, tops_m: float) -> None:
    """Descend on a face until the pads touch, pump, and rise with whatever holds.

    Args:
        tops_m: The highest point on the table.
    Raises: arm.OutOfReach: the cup does not get there.
    """
    travel = tops_m + CLEAR_M
    heading = _heading(rig, aim.yaw)
    _over(rig, aim.x, aim.y, travel, heading)
    first: list[float] = []

    def pressed() -> bool:
        n_pads = rig.grip()[1]
        if not n_pads:
            return False
        first.append(rig.at[2])
        return n_pads == scene.N_PADS or rig.at[2] < first[0] - _PRESS_M

    _down(rig, aim.height + _APPROACH_M)
    rig.straight(aim.x, aim.y, _LOWEST_M, speed_m_s=_SLOW_M_S, until=pressed)
    rig.valve = True
    rig.wait(_SEAL_S)
    _up(rig, travel + CARRIED_M, _LIFT_M_S)  # gently: a jerk breaks the seal
    if rig.touched() < 0:
        rig.valve = False


def place(rig: Rig, aim: Aim, tops_m: float, held: int, thickness_m: float) -> None:
    """Carry what the cup holds to a spot, lower it until it touches, let go and rise.

    Args:
        aim: `height` is that of the ground there.
        held: The object in the cup, or -1: the motion is the same.
        thickness_m: Of what is held, from the cup down.
    Raises: arm.OutOfReach: the cup does not get there.
    """
    travel = tops_m + CLEAR_M + thickness_m
    heading = _heading(rig, aim.yaw)
    _over(rig, aim.x, aim.y, travel, heading)
    _down(rig, aim.height + thickness_m + _APPROACH_M)
    lowest = max(_LOWEST_M, aim.height + thickness_m - 2 * _PRESS_M)
    rig.straight(aim.x, aim.y, lowest, speed_m_s=_SLOW_M_S, until=lambda: held >= 0 and rig.rests(held))
    rig.wait(_RELEASE_S)
    rig.valve = False
    rig.wait(_RELEASE_S)
    _up(rig, travel)
    rig.wait(_SETTLE_S, rig.at_rest)


def push(rig: Rig, aim: Aim, tops_m: float, direction: str, distance_m: float, radius_m: float) -> bool:
    """Lower the cup beside a thing and sweep it along the table. Return False where something was in the way.

    Args:
        aim: The thing's middle; its `height` is that of its top.
        radius_m: Half its width.
    Raises: arm.OutOfReach: the start or the end is out of reach.
    """
    dx, dy = DIRECTIONS[direction]
    # a block may stand with a corner towards the cup
    back = radius_m * (abs(math.cos(aim.yaw)) + abs(math.sin(aim.yaw))) + PUSH_BACK_M
    x0, y0 = aim.x - dx * back, aim.y - dy * back
    run = back - radius_m - scene.CUP_RADIUS_M + distance_m
    x1, y1 = x0 + dx * run, y0 + dy * run
    travel = tops_m + CLEAR_M
    height = min(_PUSH_HEIGHT_M if radius_m <= scene.BLOCK_HALF_M else scene.BOWL_HEIGHT_M - 0.01, aim.height)
    _over(rig, x0, y0, travel, rig.heading_rad)
    _down(rig, height + _APPROACH_M)
    blocked = rig.straight(x0, y0, height, speed_m_s=2 * _SLOW_M_S, until=lambda: rig.touched() >= 0)
    if not blocked:
        rig.straight(x1, y1, height, speed_m_s=_PUSH_M_S)
    _up(rig, travel)
    rig.wait(_SETTLE_S, rig.at_rest)
    return not blocked


def look(rig: Rig, x: float, y: float, tops_m: float) -> None:
    """Bring the cup, and the camera beside it, over a spot.

    Raises: arm.OutOfReach: the cup does not get there.
    """
    travel = tops_m + CLEAR_M + CARRIED_M
    _over(rig, x, y, travel, rig.heading_rad)


def _over(rig: Rig, x: float, y: float, z: float, heading: float) -> None:
    """Rise if need be, then swing to a point at travelling height."""
    if rig.at[2] < z - 1e-6:
        _up(rig, z)
    rig.move(x, y, z, heading)


def _up(rig: Rig, z: float, speed_m_s: float = _FAST_M_S) -> None:
    if rig.at[2] < z:
        rig.straight(rig.at[0], rig.at[1], z, speed_m_s=speed_m_s)


def _down(rig: Rig, z: float) -> None:
    if rig.at[2] > z:
        rig.straight(rig.at[0], rig.at[1], z, speed_m_s=_FAST_M_S)


def _heading(rig: Rig, yaw: float) -> float:
    """Return the heading nearest to the present one that agrees with `yaw` up to quarter turns."""
    quarter = math.pi / 2
    return yaw + quarter * round((rig.heading_rad - yaw) / quarter)
