"""The physical model: arm, cup, table and objects, from primitives, compiled by MuJoCo. Knows no task and no skill.

A model depends only on how many objects of each kind there are; positions are put into `qpos`, colours only matter
to a camera. So few models are compiled, and threads share them (MuJoCo writes to `MjData` alone).
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, NamedTuple

import mujoco

from trajgen_envs.tabletop import arm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trajgen_envs.tabletop.objects import Kind

TIMESTEP_S = 0.002
N_PADS = 8
CUP_RADIUS_M = 0.010  # of the ring of pads
SUCTION_N = 20.0
_PAD_M = 0.0025
_LINK_M = 0.045
_WRIST = 3  # the links from here on are thinner and lighter
_GEOM, _JOINT = mujoco.mjtGeom, mujoco.mjtJoint

BLOCK_HALF_M = 0.02
BLOCK_KG = 0.06
BOWL_FLOOR_M = 0.003  # half its thickness
BOWL_RADIUS_M = 0.042  # of the floor, where the wall begins
BOWL_RIM_M = 0.068
BOWL_HEIGHT_M = 0.032
BOWL_KG = 0.12
CAN_RADIUS_M, CAN_HALF_M, CAN_KG = 0.02, 0.03, 0.08
_N_WALLS = 8

TABLE_NEAR_M, TABLE_FAR_M, TABLE_HALF_WIDTH_M, TABLE_THICK_M = 0.15, 0.85, 0.50, 0.02
FLOOR_M = -0.4


class Model(NamedTuple):
    """A compiled model and where things are in it.

    Attributes:
        qpos: First index of each object's pose (7 numbers) in `qpos`, in the order of the objects.
        qvel: First index of each object's velocity (6 numbers) in `qvel`.
        table: Geom of the table; the floor is before it, the arm after.
        pads: First geom of the cup's pads; they are consecutive.
        objects: Geom -> index of the object it belongs to, else -1.
    """

    mj: mujoco.MjModel
    qpos: tuple[int, ...]
    qvel: tuple[int, ...]
    table: int
    pads: int
    objects: tuple[int, ...]


@functools.lru_cache(maxsize=64)
def compiled(kinds: tuple[Kind, ...]) -> Model:
    """Compile the scene that holds one object of each of `kinds`, in this order."""
    # the rig reports what MuJoCo warns of; by itself it would print, and write MUJOCO_LOG.TXT wherever it runs
    mujoco.set_mju_user_warning(_unsaid)
    spec = mujoco.MjSpec()
    _options(spec)
    _surroundings(spec)
    _arm(spec)
    for index, kind in enumerate(kinds):
        body = spec.worldbody.add_body(name=f"object{index}", pos=[0, 0, 1 + index])
        body.add_freejoint()
        _SHAPES[kind](body)
        _grip(spec, body.geoms[0], f"object{index}")
    mj = spec.compile()
    bodies = [mj.body(f"object{index}").id for index in range(len(kinds))]
    joints = [int(mj.body_jntadr[body]) for body in bodies]
    of_body = {body: index for index, body in enumerate(bodies)}
    return Model(
        mj,
        tuple(int(mj.jnt_qposadr[j]) for j in joints),
        tuple(int(mj.jnt_dofadr[j]) for j in joints),
        int(mj.geom("table").id),
        int(mj.geom("pad0").id),
        tuple(of_body.get(int(body), -1) for body in mj.geom_bodyid),
    )


def _unsaid(warning: str) -> None:
    """Take a warning and say nothing."""


def _options(spec: mujoco.MjSpec) -> None:
    spec.option.timestep = TIMESTEP_S
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10
    # a simulation that has become unstable is an error with a place, not a silent return to the start
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
    spec.visual.global_.offwidth, spec.visual.global_.offheight = 1280, 960


def _surroundings(spec: mujoco.MjSpec) -> None:
    world = spec.worldbody
    world.add_light(pos=[0.3, 0.4, 2.0], dir=[0.1, -0.2, -1.0], diffuse=[0.7, 0.7, 0.7])
    world.add_light(pos=[0.8, -0.8, 1.5], dir=[-0.2, 0.5, -1.0], diffuse=[0.35, 0.35, 0.35], castshadow=False)
    world.add_geom(
        name="floor", type=_GEOM.mjGEOM_PLANE, size=[3, 3, 0.1], pos=[0, 0, FLOOR_M], rgba=[0.83, 0.85, 0.87, 1]
    )
    middle, half = (TABLE_FAR_M + TABLE_NEAR_M) / 2, (TABLE_FAR_M - TABLE_NEAR_M) / 2
    world.add_geom(
        name="table",
        type=_GEOM.mjGEOM_BOX,
        size=[half, TABLE_HALF_WIDTH_M, TABLE_THICK_M / 2],
        pos=[middle, 0, -TABLE_THICK_M / 2],
        rgba=[0.80, 0.71, 0.58, 1],
    )
    world.add_geom(
        type=_GEOM.mjGEOM_CYLINDER, size=[0.09, -FLOOR_M / 2, 0], pos=[0, 0, FLOOR_M / 2], rgba=[0.35, 0.37, 0.4, 1]
    )


def _arm(spec: mujoco.MjSpec) -> None:
    """Six links along the Denavit-Hartenberg frames; the base is turned by pi so that zero looks along +x."""
    half_turn, quarter = [0, 0, 0, 1], math.sqrt(0.5)
    # parent frame -> link frame, the end of the link in its own frame, (kp, kv)
    links = (
        ([0, 0, 0], half_turn, [0, 0, arm.D1], (2000, 200)),
        ([0, 0, arm.D1], [quarter, quarter, 0, 0], [-arm.A2, 0, 0], (2000, 200)),
        ([-arm.A2, 0, 0], [1, 0, 0, 0], [-arm.A3, 0, 0], (2000, 200)),
        ([-arm.A3, 0, 0], [1, 0, 0, 0], [0, 0, arm.D4], (500, 50)),
        ([0, 0, arm.D4], [quarter, quarter, 0, 0], [0, 0, arm.D5], (500, 50)),
        ([0, 0, arm.D5], [quarter, -quarter, 0, 0], [0, 0, arm.D6], (500, 50)),
    )
    body = spec.worldbody
    for index, (pos, quat, end, (kp, kv)) in enumerate(links):
        body = body.add_body(name=f"link{index}", pos=pos, quat=quat, gravcomp=1)
        body.add_joint(name=f"joint{index}", type=_JOINT.mjJNT_HINGE, axis=[0, 0, 1], armature=0.1)
        thick = _LINK_M if index < _WRIST else _LINK_M * 0.75
        body.add_geom(
            type=_GEOM.mjGEOM_CAPSULE,
            fromto=[0, 0, 0, *end],
            size=[thick, 0, 0],
            mass=3.0 if index < _WRIST else 1.2,
            contype=2,  # meets objects, not the arm itself
            conaffinity=0,
            rgba=[0.62, 0.66, 0.72, 1] if index % 2 else [0.25, 0.45, 0.70, 1],
        )
        _servo(spec, f"joint{index}", kp, kv)
    _cup(spec, body)


def _servo(spec: mujoco.MjSpec, joint: str, kp: float, kv: float) -> None:
    servo = spec.add_actuator(name=joint, target=joint, trntype=mujoco.mjtTrn.mjTRN_JOINT)
    servo.gainprm[0] = kp
    servo.biastype = mujoco.mjtBias.mjBIAS_AFFINE
    servo.biasprm[:3] = [0, -kp, -kv]


def _cup(spec: mujoco.MjSpec, wrist: mujoco.MjsBody) -> None:
    """A tube and, at its end, a ring of soft pads: suction is one force shared by the pads that touch."""
    tube = wrist.add_body(name="cup", pos=[0, 0, arm.D6], gravcomp=1)
    tube.add_geom(
        type=_GEOM.mjGEOM_CAPSULE,
        fromto=[0, 0, 0, 0, 0, arm.TUBE_M - 0.012],
        size=[0.008, 0, 0],
        mass=0.1,
        contype=2,
        conaffinity=0,
        rgba=[0.2, 0.2, 0.22, 1],
    )
    for index in range(N_PADS):
        angle = 2 * math.pi * index / N_PADS
        tube.add_geom(
            name=f"pad{index}",
            type=_GEOM.mjGEOM_SPHERE,
            pos=[CUP_RADIUS_M * math.cos(angle), CUP_RADIUS_M * math.sin(angle), arm.TUBE_M - _PAD_M],
            size=[_PAD_M, 0, 0],
            mass=0.002,
            contype=2,
            conaffinity=0,
            rgba=[0.05, 0.05, 0.05, 1],
        )
    suction = spec.add_actuator(name="suction", target="cup", trntype=mujoco.mjtTrn.mjTRN_BODY)
    suction.gainprm[0] = SUCTION_N
    suction.ctrllimited = True
    suction.ctrlrange = [0, 1]


def _grip(spec: mujoco.MjSpec, top: mujoco.MjsGeom, name: str) -> None:
    """Let the pads hold on to an object's face.

    MuJoCo's friction is soft, and leaves out the change of the contact's direction as the arm swings: with the usual
    time constant of 20 ms a held block creeps 10 mm in one swing. Only explicit pairs take another one for friction.
    """
    top.name = f"{name}_face"
    for index in range(N_PADS):
        pair = spec.add_pair(geomname1=f"pad{index}", geomname2=top.name)
        pair.condim = 4
        pair.friction = [1.0, 1.0, 0.02, 0.001, 0.001]
        pair.solreffriction = [2 * TIMESTEP_S, 1.0]


def _block(body: mujoco.MjsBody) -> None:
    body.add_geom(type=_GEOM.mjGEOM_BOX, size=[BLOCK_HALF_M] * 3, mass=BLOCK_KG, **_SOLID)


def _bowl(body: mujoco.MjsBody) -> None:
    """A floor and a wall of eight boxes that lean outward."""
    floor = BOWL_RADIUS_M * math.cos(math.pi / _N_WALLS)
    body.add_geom(
        type=_GEOM.mjGEOM_BOX, size=[floor, floor, BOWL_FLOOR_M], mass=BOWL_KG / 2, pos=[0, 0, BOWL_FLOOR_M], **_SOLID
    )
    lean = math.atan2(BOWL_RIM_M - BOWL_RADIUS_M, BOWL_HEIGHT_M)
    middle = (BOWL_RIM_M + BOWL_RADIUS_M) / 2
    slant = math.hypot(BOWL_RIM_M - BOWL_RADIUS_M, BOWL_HEIGHT_M) / 2
    width = BOWL_RIM_M * math.tan(math.pi / _N_WALLS)
    for index in range(_N_WALLS):
        angle = 2 * math.pi * index / _N_WALLS
        body.add_geom(
            type=_GEOM.mjGEOM_BOX,
            size=[0.002, width, slant],
            pos=[middle * math.cos(angle), middle * math.sin(angle), BOWL_HEIGHT_M / 2 + BOWL_FLOOR_M],
            quat=_turned(angle, lean),
            mass=BOWL_KG / 2 / _N_WALLS,
            **_SOLID,
        )


def _turned(about_z: float, about_y: float) -> list[float]:
    """Return the quaternion of a turn about y, then about z."""
    cz, sz, cy, sy = math.cos(about_z / 2), math.sin(about_z / 2), math.cos(about_y / 2), math.sin(about_y / 2)
    return [cz * cy, -sz * sy, cz * sy, sz * cy]


def _can(body: mujoco.MjsBody) -> None:
    body.add_geom(type=_GEOM.mjGEOM_CYLINDER, size=[CAN_RADIUS_M, CAN_HALF_M, 0], mass=CAN_KG, **_SOLID)


_SOLID = {"contype": 1, "conaffinity": 3, "friction": [0.8, 0.01, 0.0005], "condim": 4}
_SHAPES = {"block": _block, "bowl": _bowl, "can": _can}


def home(mj: mujoco.MjModel, joints: Sequence[float]) -> mujoco.MjData:
    """Return fresh data with the arm at `joints` (rad)."""
    data = mujoco.MjData(mj)
    data.qpos[: arm.N_JOINTS] = joints
    data.ctrl[: arm.N_JOINTS] = joints
    return data
