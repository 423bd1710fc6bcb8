"""The arm's closed-form inverse kinematics agree with the simulator's forward ones, and move smoothly."""

from __future__ import annotations

import itertools
import math

import mujoco
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from trajgen_envs.tabletop import arm, scene
from trajgen_envs.tabletop.rig import HOME
from trajgen_envs.tabletop.world import TABLE

EXACT_M = 1e-9
OVER = st.tuples(st.floats(TABLE.x0, TABLE.x1), st.floats(TABLE.y0, TABLE.y1))
ANYWHERE = st.tuples(st.floats(0.05, 0.85), st.floats(-0.5, 0.5), st.floats(0.0, 0.6))
HEADINGS = st.floats(-7.0, 7.0)


@pytest.fixture(scope="module")
def forward():
    """Joint angles -> the place of the cup's face, its direction, and the heading."""
    mj = scene.compiled(("block",)).mj
    data = mujoco.MjData(mj)

    def at(joints):
        data.qpos[: arm.N_JOINTS] = joints
        mujoco.mj_kinematics(mj, data)
        tube = data.body("cup")
        turn = tube.xmat.reshape(3, 3)
        return tube.xpos + arm.TUBE_M * turn[:, 2], turn[:, 2], math.atan2(turn[1, 0], turn[0, 0])

    return at


@settings(deadline=None)
@given(ANYWHERE, HEADINGS)
def test_the_cup_gets_exactly_where_it_was_asked_and_points_down(forward, point, heading):
    try:
        joints = arm.inverse(*point, heading, HOME)
    except arm.OutOfReach:
        assume(False)
    face, down, _ = forward(joints)
    assert face == pytest.approx(point, abs=EXACT_M)
    assert down == pytest.approx((0, 0, -1), abs=EXACT_M)


@settings(deadline=None)
@given(OVER, HEADINGS, HEADINGS)
def test_the_cup_turns_by_the_heading(forward, over, first, second):
    a, b = (forward(arm.inverse(*over, 0.1, heading, HOME))[2] for heading in (first, second))
    assert math.remainder((b - a) - (second - first), 2 * math.pi) == pytest.approx(0, abs=1e-6)


@settings(deadline=None)
@given(OVER, st.floats(0.0, 0.3))
def test_the_whole_working_area_is_in_reach(over, height):
    arm.inverse(*over, height, 0.0, HOME)


@settings(deadline=None)
@given(OVER, OVER, st.floats(0.0, 0.25), st.floats(0.0, 0.25))
def test_neighbouring_points_of_a_line_have_neighbouring_joint_angles(start, end, low, high):
    a, b = np.array([*start, low]), np.array([*end, high])
    n = max(2, math.ceil(float(np.linalg.norm(b - a)) / 0.002))  # 2 mm apart
    joints = HOME
    path = [joints := arm.inverse(*(a + (b - a) * i / n), 0.3, joints) for i in range(n + 1)]
    for one, other in itertools.pairwise(path):
        assert max(abs(p - q) for p, q in zip(one, other, strict=True)) < 0.05


@settings(deadline=None)
@given(OVER, st.integers(-2, 2), st.integers(-2, 2))
def test_joints_that_turn_fully_take_the_turn_nearest_to_where_they_are(over, pans, turns):
    there = arm.inverse(*over, 0.1, 0.5, HOME)
    near = (there[0] + 2 * math.pi * pans, *there[1:5], there[5] + 2 * math.pi * turns)
    assert arm.inverse(*over, 0.1, 0.5, near) == pytest.approx(near)


@settings(deadline=None)
@given(OVER, OVER, st.floats(0.05, 0.3), st.floats(0.05, 0.95))
def test_a_swing_in_joint_space_never_dips_below_both_of_its_ends(forward, start, end, height, share):
    a = arm.inverse(*start, height, 0.0, HOME)
    b = arm.inverse(*end, height, 0.0, a)
    face, _, _ = forward([p + (q - p) * share for p, q in zip(a, b, strict=True)])
    assert face[2] >= height - 1e-6


@pytest.mark.parametrize(
    ("point", "why"),
    [((1.0, 0.0, 0.1), "too far"), ((0.5, 0.0, 0.9), "too far"), ((0.05, 0.0, 0.1), "too near"), ((0, 0, 0), "near")],
)
def test_what_is_out_of_reach_says_on_which_side(point, why):
    with pytest.raises(arm.OutOfReach, match=why):
        arm.inverse(*point, 0.0, HOME)


@settings(deadline=None)
@given(ANYWHERE)
def test_the_arm_is_never_stretched_to_where_its_joints_would_race(point):
    try:
        joints = arm.inverse(*point, 0.0, HOME)
    except arm.OutOfReach:
        assume(False)
    assert joints[2] >= arm.MIN_ELBOW_RAD - 1e-9
