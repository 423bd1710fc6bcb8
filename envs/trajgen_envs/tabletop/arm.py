"""The arm's geometry: a UR5e's kinematics, forward and inverse in closed form. Pure; knows no simulator.

Denavit-Hartenberg parameters as Universal Robots publishes them for the UR5e; a straight tube and a cup are mounted on
the flange. The tool always points straight down, which leaves one elbow-up branch for a place and a heading, so that
neighbouring places have neighbouring joint angles (Hawkins, "Analytic inverse kinematics for the Universal Robots
UR-5/UR-10 arms", 2013).
"""

from __future__ import annotations

import math

D1, A2, A3, D4, D5, D6 = 0.1625, 0.425, 0.3922, 0.1333, 0.0997, 0.0996  # metres
TUBE_M = 0.16  # from the flange to the face of the cup
MIN_ELBOW_RAD = 0.2  # nearer to stretched, and a short way outward takes the joints far; costs 4 mm of reach
N_JOINTS = 6
Joints = tuple[float, float, float, float, float, float]


class OutOfReach(Exception):
    """The cup cannot get there pointing down."""


def inverse(x: float, y: float, z: float, heading_rad: float, near: Joints) -> Joints:
    """Return the joint angles (rad) that put the face of the cup at a point, pointing down.

    Args:
        x, y, z: Metres, in the frame of the arm's base.
        heading_rad: Of the cup about the vertical.
        near: The present angles; joints that can turn fully take the turn nearest to them.
    Raises: OutOfReach: there is no such pose.
    """
    across = x * x + y * y - D4 * D4
    if across <= 0:
        raise OutOfReach("too near the base")
    radial = math.sqrt(across)
    pan = math.atan2(y, x) - math.atan2(D4, radial)
    out, up = radial - D5, z + TUBE_M + D6 - D1
    squared = out * out + up * up
    cos_elbow = (squared - A2 * A2 - A3 * A3) / (2 * A2 * A3)
    if not -1.0 <= cos_elbow <= _MAX_COS_ELBOW:
        raise OutOfReach("too far from the base" if cos_elbow > 0 else "too near the base")
    elbow = math.acos(cos_elbow)
    lift = -math.atan2(up, out) - math.atan2(A3 * math.sin(elbow), A2 + A3 * math.cos(elbow))
    wrist_1 = -math.pi / 2 - lift - elbow
    wrist_3 = pan - heading_rad
    return (
        _nearest_turn(pan, near[0]),
        lift,
        elbow,
        wrist_1,
        -math.pi / 2,
        _nearest_turn(wrist_3, near[5]),
    )


_MAX_COS_ELBOW = math.cos(MIN_ELBOW_RAD)


def _nearest_turn(angle: float, present: float) -> float:
    return angle + 2 * math.pi * round((present - angle) / (2 * math.pi))
