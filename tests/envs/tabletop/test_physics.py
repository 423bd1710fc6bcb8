"""Contact decides what the arm does: an edge grip slips, a good one holds, nothing is teleported, what diverges says so."""

from __future__ import annotations

import itertools
import math

import mujoco
import numpy as np
import pytest

from trajgen_envs.tabletop import arm, scene, skills
from trajgen_envs.tabletop.env import TabletopEnv
from trajgen_envs.tabletop.families import FAMILIES
from trajgen_envs.tabletop.rig import Rig, Unstable
from trajgen_envs.tabletop.skills import Aim
from trajgen_envs.tabletop.world import TABLE

FACE_M = {"block": 0.04, "can": 0.06, "bowl": 0.006}  # of what a cup meets, over the table
ORIGIN_M = {"block": 0.02, "can": 0.03, "bowl": 0.0}
MAX_RAD_S = 3.2  # of a joint; a UR5e's own limit is pi
LOOSE_TICK_M = 0.06  # how far anything may get in a tick of 20 ms: what falls to the floor has 2.9 m/s


def _rig(kind: str = "block", x: float = 0.5, y: float = 0.0) -> Rig:
    """Lay one thing on the table."""
    rig = Rig(scene.compiled((kind,)))
    rig.data.qpos[rig.model.qpos[0] :] = [x, y, ORIGIN_M[kind], 1, 0, 0, 0]
    rig.wait(0.1)
    return rig


def _picked(kind: str, off_m: float = 0.0, angle: float = 0.0) -> Rig:
    rig = _rig(kind)
    skills.pick(rig, Aim(0.5 + off_m * math.cos(angle), off_m * math.sin(angle), FACE_M[kind], 0.0), 0.05)
    return rig


def _share_held(kind: str, off_m: float, n: int = 6) -> float:
    return sum(_picked(kind, off_m, 0.1 + 2 * math.pi * i / n).touched() == 0 for i in range(n)) / n


@pytest.mark.parametrize("kind", ["block", "can"])
def test_the_farther_off_centre_the_grip_the_less_often_it_holds(kind):
    curve = [_share_held(kind, off_mm / 1_000) for off_mm in (0, 5, 10, 14, 17, 20)]
    assert curve == sorted(curve, reverse=True)
    assert curve[:3] == [1, 1, 1]
    assert curve[-1] == 0


def _in_the_cup(rig: Rig) -> np.ndarray:
    """Return where the object is as the cup sees it, metres."""
    data = mujoco.MjData(rig.model.mj)
    data.qpos[:] = rig.data.qpos  # the simulator's own kinematics are one step behind
    mujoco.mj_kinematics(rig.model.mj, data)
    tube = data.body("cup")
    turn = tube.xmat.reshape(3, 3)
    return turn.T @ (data.body("object0").xpos - tube.xpos - arm.TUBE_M * turn[:, 2])


@pytest.mark.parametrize("kind", sorted(FACE_M))
def test_what_is_held_creeps_less_than_3_mm_in_the_widest_swing_and_stays_held(kind):
    rig = _picked(kind)
    rig.wait(0.2)
    where = [_in_the_cup(rig)]
    for x, y in ((0.65, 0.3), (0.65, -0.3), (0.3, 0.28), (0.7, -0.1), (0.35, -0.3)):
        rig.move(x, y, 0.3, rig.heading_rad)
        rig.wait(0.2)
        where.append(_in_the_cup(rig))
        assert rig.touched() == 0
    creeps = [float(np.linalg.norm(b - a)) for a, b in itertools.pairwise(where)]
    assert max(creeps) < 0.003, creeps
    assert float(np.linalg.norm(where[-1] - where[0])) < 0.006


def test_the_servos_keep_up_with_what_they_are_told():
    rig = _rig()
    worst = []
    rig.watch = lambda: worst.append(np.abs(rig.data.qpos[: arm.N_JOINTS] - rig.commanded).max())
    for x, y, z in ((TABLE.x0, TABLE.y0, 0.1), (TABLE.x1, TABLE.y1, 0.3), (TABLE.x0, TABLE.y1, 0.05)):
        rig.straight(*rig.at[:2], 0.3, speed_m_s=0.5)
        rig.move(x, y, 0.3, 1.0)
        rig.straight(x, y, z, speed_m_s=0.5)
    rig.wait(0.2)
    assert max(worst) < 0.08
    assert worst[-1] < 2e-3


class _Watch:
    """Looks at every tick: how far things got in it, and how fast the joints are."""

    def __init__(self, env: TabletopEnv) -> None:
        self.rig = env.table.rig
        self.last = self._places()
        self.farthest_m = self.fastest_rad_s = 0.0
        self.rig.watch = self.look

    def _places(self) -> np.ndarray:
        return self.rig.poses(range(len(self.rig.model.qpos)))[:, :3]

    def look(self) -> None:
        now = self._places()
        self.farthest_m = max(self.farthest_m, float(np.linalg.norm(now - self.last, axis=1).max()))
        self.fastest_rad_s = max(self.fastest_rad_s, float(np.abs(self.rig.data.qvel[: arm.N_JOINTS]).max()))
        self.last = now


@pytest.mark.parametrize("disturbance", [0, 3])
def test_in_no_tick_of_any_episode_does_anything_jump_or_a_joint_race(disturbance):
    env = TabletopEnv()
    for seed, family in enumerate(FAMILIES[::2]):
        env.reset(seed=seed, options={"family": family, "disturbance": disturbance, "objects": 6})
        watch = _Watch(env)
        env.action_space.seed(seed)
        for call in itertools.islice(env.oracle(), 8):
            env.step(call)
        for _ in range(12):
            if not env.step(env.action_space.sample())[2]:
                continue
            break
        assert 0 < watch.farthest_m < LOOSE_TICK_M
        assert 0 < watch.fastest_rad_s < MAX_RAD_S


@pytest.mark.parametrize("where", ["qvel", "qpos"])
def test_a_state_that_is_none_is_an_error_that_says_when(where):
    rig = _rig()
    getattr(rig.data, where)[-1] = math.nan
    with pytest.raises(Unstable, match=r"became unstable at 0\.1\d* s of simulated time: mjWARN_BAD"):
        rig.wait(0.1)


def test_a_way_whose_end_is_out_of_reach_is_not_begun():
    rig = _rig()
    before = rig.data.time, rig.commanded
    with pytest.raises(arm.OutOfReach):
        rig.straight(0.32, 0.0, 0.9, speed_m_s=0.5)
    with pytest.raises(arm.OutOfReach):
        rig.move(0.95, 0.0, 0.3, 0.0)
    assert (rig.data.time, rig.commanded) == before


def test_an_empty_place_finds_the_cup_empty_and_leaves_it_so():
    rig = _rig(x=0.6)
    skills.pick(rig, Aim(0.4, 0.1, 0.04, 0.0), 0.05)
    assert rig.touched() == -1
    assert not rig.valve


def test_a_push_against_something_in_the_way_says_so():
    rig = _rig()
    # the cup comes down on the block itself: as if it had been believed 4 cm farther along
    assert not skills.push(rig, Aim(0.54, 0.0, 0.04, 0.0), 0.05, "forward", 0.1, scene.BLOCK_HALF_M)
    assert skills.push(_rig(), Aim(0.5, 0.0, 0.04, 0.0), 0.05, "forward", 0.1, scene.BLOCK_HALF_M)
