"""Tabletops for tests: without physics, drawn at random or such that every skill works, and with them."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from trajgen.toolenv import Impossible
from trajgen.types import ToolCall
from trajgen_envs.tabletop import families, spots, tasks
from trajgen_envs.tabletop.families import FAMILIES
from trajgen_envs.tabletop.objects import COLOURS, Thing
from trajgen_envs.tabletop.world import LID_M, Pose, World

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trajgen_envs.tabletop.env import TabletopEnv
    from trajgen_envs.tabletop.tasks import Task

HARD = {"disturbance": 2, "pick_noise_m": 0.008, "place_noise_m": 0.008}
BLOCK_M, BOWL_INSIDE_M = 0.02, 0.026  # heights of a block's centre: on the table, and on the floor of a bowl


def pose(x: float, y: float, z: float = BLOCK_M, *, yaw: float = 0.0, up: float = 1.0, lid: float = 0.02) -> Pose:
    """Return a block's pose, upright on the table where nothing else is said."""
    return Pose(x, y, z, yaw, up, lid)


def bowl_pose(x: float, y: float) -> Pose:
    return Pose(x, y, 0.0, 0.0, 1.0, LID_M["bowl"])


def table(where: Mapping[str, Pose], held: str | None = None) -> World:
    """Lay things, named like `red block`, on a table."""
    things = tuple(Thing(name.split()[1], name.split()[0]) for name in where)
    names = list(where)
    return World(things, tuple(where.values()), -1 if held is None else names.index(held))


@st.composite
def drawn_tasks(draw, family: str | None = None, **options: object) -> Task:
    """Draw a task of a family, with any length and clutter that has room."""
    family = draw(st.sampled_from(FAMILIES)) if family is None else family
    size = families.SIZES[family]
    chosen = tasks.TabletopOptions(
        family=family,
        length=draw(st.integers(size.least, min(size.most, 3))),
        objects=draw(st.integers(3, 6)),
        **options,
    )
    return tasks.compose(np.random.default_rng(draw(st.integers(0, 10**6))), chosen)


@st.composite
def littered(draw) -> World:
    """Draw a table with things anywhere on it, apart from each other or not."""
    names = draw(
        st.lists(
            st.tuples(st.sampled_from(("block", "bowl", "can")), st.sampled_from(sorted(COLOURS))),
            min_size=2,
            max_size=7,
            unique=True,
        )
    )
    where = {}
    for kind, colour in names:
        x, y = draw(st.floats(0.30, 0.70)), draw(st.floats(-0.30, 0.30))
        lid = LID_M[kind]
        where[f"{colour} {kind}"] = Pose(x, y, 0.0 if kind == "bowl" else lid, 0.0, 1.0, lid)
    return table(where)


class PaperTable:
    """A table on which every pick and place works, and nothing else ever happens. It checks what it is asked."""

    def __init__(self, task: Task) -> None:
        self.world = tasks.start(task.things, task.starts)
        self.over = False

    def play(self, call: ToolCall) -> None:
        """Execute one call.

        Raises: Impossible: it cannot be done.
        """
        if call.tool == "done":
            self.over = True
        elif call.tool == "pick":
            self._pick(self.world.find(call.arguments["object"]))
        else:
            self._place(call.arguments["target"], call.arguments["relation"])

    def _pick(self, index: int) -> None:
        assert index >= 0
        if self.world.held >= 0:
            raise Impossible("the cup is not empty")
        if any(True for _ in self.world.upon(index)):
            raise Impossible("something lies on it")
        self.world = self.world._replace(held=index)

    def _place(self, target: str, relation: str) -> None:
        held = self.world.held
        if held < 0:
            raise Impossible("the cup is empty")
        spot = spots.find(self.world, held, target, relation)
        self.world = spots.put(self.world, held, spot)


def apart(a: Pose, b: Pose) -> float:
    """Return the distance of two poses along the table, metres."""
    return math.dist(a[:2], b[:2])


def begun(env: TabletopEnv, seed: int = 0, **options: Any) -> TabletopEnv:
    """Begin a task."""
    env.reset(seed=seed, options=options)
    return env


def solve(env: TabletopEnv, limit: int = 60) -> bool:
    """Let the expert play to the end of the episode; say whether the goal holds then."""
    info: dict[str, Any] = {"success": env.solved()}
    for call in itertools.islice(env.oracle(), limit):
        *_, terminated, _, info = env.step(call)
        if terminated:
            break
    return bool(info["success"])


def refused(env: TabletopEnv) -> str | None:
    """Return what the error channel says of the last call."""
    lines = env.describe("error")
    return lines[0].text if lines else None


def calling(tool: str, **arguments: Any) -> ToolCall:
    """Return a call."""
    return ToolCall(tool, arguments)
