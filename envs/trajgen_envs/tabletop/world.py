"""Where everything is, as numbers: poses, places of the table, and the predicates that goals and feedback are made of.

Pure geometry over poses, with stated tolerances in metres. The robot stands at the origin and looks along +x, so on
the table +x is "top" (away from the robot), +y is "left".
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from trajgen_envs.tabletop import scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trajgen_envs.tabletop.objects import Thing

ON_M = 0.015  # how far the upper object's centre may be from the lower one's, sideways
ON_HEIGHT_M = 0.008  # how far from touching it may be, upwards
IN_M = 0.058  # a heaped block may lean on the wall; one that leans on it from outside is 78 mm away or more
AT_M = 0.005  # how far outside an area's edge the centre may lie
BESIDE_MIN_M, BESIDE_MAX_M, BESIDE_ACROSS_M = 0.04, 0.14, 0.04  # from edge to edge, and sideways
UPRIGHT = 0.9  # cosine


class Pose(NamedTuple):
    """Metres and radians. `yaw` is modulo a quarter turn; `up` is the cosine between the nearest face and the vertical.

    `z` is the height of the body's own origin: a block's centre, a bowl's underside.
    """

    x: float
    y: float
    z: float
    yaw: float
    up: float
    lid: float


class Area(NamedTuple):
    """A rectangle of the table, metres."""

    x0: float
    x1: float
    y0: float
    y1: float

    @property
    def middle(self) -> tuple[float, float]:
        """Return its centre."""
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    def holds(self, x: float, y: float, margin_m: float = AT_M) -> bool:
        """Say whether a point lies in it, or outside by less than a margin."""
        return self.x0 - margin_m <= x <= self.x1 + margin_m and self.y0 - margin_m <= y <= self.y1 + margin_m


TABLE = Area(0.30, 0.70, -0.30, 0.30)
PLACES: dict[str, Area] = {
    "top left corner": Area(0.51, 0.70, 0.11, 0.30),
    "top right corner": Area(0.51, 0.70, -0.30, -0.11),
    "bottom left corner": Area(0.30, 0.49, 0.11, 0.30),
    "bottom right corner": Area(0.30, 0.49, -0.30, -0.11),
    "left side": Area(0.30, 0.70, 0.13, 0.30),
    "right side": Area(0.30, 0.70, -0.30, -0.13),
    "top side": Area(0.55, 0.70, -0.30, 0.30),
    "bottom side": Area(0.30, 0.45, -0.30, 0.30),
    "middle": Area(0.41, 0.59, -0.10, 0.10),
}
CORNERS = tuple(name for name in PLACES if name.endswith("corner"))
SIDES = tuple(name for name in PLACES if name.endswith("side"))
# towards which a relation or a direction points
DIRECTIONS: dict[str, tuple[float, float]] = {
    "left": (0.0, 1.0),
    "right": (0.0, -1.0),
    "forward": (1.0, 0.0),
    "back": (-1.0, 0.0),
}
BESIDE: dict[str, str] = {"left of": "left", "right of": "right", "behind": "forward", "in front of": "back"}


class Fact(NamedTuple):
    """Something that holds: in words, and as a predicate over names."""

    text: str
    source: str


class World(NamedTuple):
    """One look at the table.

    Attributes:
        things: What is there; an object's index is its place here.
        poses: One each.
        held: Index of the object in the cup, or -1.
    """

    things: tuple[Thing, ...]
    poses: tuple[Pose, ...]
    held: int

    def on(self, a: int, b: int) -> bool:
        """Say whether `a` stands on `b`: centres within `ON_M`, faces within `ON_HEIGHT_M`."""
        p, q = self.poses[a], self.poses[b]
        if a in {b, self.held} or self.things[b].kind == "bowl":
            return False
        gap = p.z - _below(self.things[a], p) - (q.z + _above(self.things[b], q))
        return math.dist(p[:2], q[:2]) <= ON_M and abs(gap) <= ON_HEIGHT_M

    def inside(self, a: int, bowl: int) -> bool:
        """Say whether `a` lies in a bowl: its centre within `IN_M` of the bowl's, above the floor, itself or upon others.

        Of bowls that stand in one another only the uppermost counts.
        """
        if not self._contains(bowl, a):
            return False
        floor_m = self.poses[bowl].z
        return not any(self.poses[i].z > floor_m and self._contains(i, a) for i in range(len(self.things)) if i != bowl)

    def _contains(self, bowl: int, a: int) -> bool:
        p, q = self.poses[a], self.poses[bowl]
        if a in (bowl, self.held) or self.things[bowl].kind != "bowl" or self.things[a].kind == "bowl":
            return False
        return q.up > UPRIGHT and q.z < p.z < q.z + _HEAP_M and math.dist(p[:2], q[:2]) <= IN_M

    def at(self, a: int, place: str) -> bool:
        """Say whether the centre of `a` is in a place of the table, on it or on something there; not in the cup, not below."""
        p = self.poses[a]
        return a != self.held and p.z > -scene.BLOCK_HALF_M and PLACES[place].holds(p.x, p.y)

    def beside(self, a: int, b: int, relation: str) -> bool:
        """Say whether `a` is next to `b` on the side that `relation` names."""
        p, q = self.poses[a], self.poses[b]
        dx, dy = DIRECTIONS[BESIDE[relation]]
        along = (p.x - q.x) * dx + (p.y - q.y) * dy - radius(self.things[a]) - radius(self.things[b])
        across = abs((p.x - q.x) * dy) + abs((p.y - q.y) * dx)
        near = -_OVERLAP_M <= along <= BESIDE_MAX_M and across <= BESIDE_ACROSS_M
        return a not in (b, self.held) and near and self.on_table(a)

    def clear_of(self, a: int, place: str) -> bool:
        """Say whether no part of `a` is in a place of the table: its centre lies outside by its radius, or more."""
        p = self.poses[a]
        return a != self.held and not self.fallen(a) and not PLACES[place].holds(p.x, p.y, radius(self.things[a]))

    def on_table(self, a: int) -> bool:
        """Say whether `a` stands on the table itself."""
        p = self.poses[a]
        return a != self.held and abs(p.z - _below(self.things[a], p)) <= ON_HEIGHT_M and _over_table(p)

    def fallen(self, a: int) -> bool:
        """Say whether `a` is no longer on the table at all."""
        return self.poses[a].z < -scene.BLOCK_HALF_M

    def upon(self, b: int) -> Iterator[int]:
        """Yield what lies on or in `b`, directly."""
        for a in range(len(self.things)):
            if self.on(a, b) or (self.inside(a, b) and not any(self.on(a, c) for c in range(len(self.things)))):
                yield a

    def top(self, a: int) -> float:
        """Return the height of the highest point of `a`, metres."""
        thing, pose = self.things[a], self.poses[a]
        return pose.z + (scene.BOWL_HEIGHT_M + 2 * scene.BOWL_FLOOR_M if thing.kind == "bowl" else _above(thing, pose))

    def face(self, a: int) -> float:
        """Return the height of the face that a cup from above would meet, metres."""
        return self.poses[a].z + _above(self.things[a], self.poses[a])

    def name(self, a: int) -> str:
        """Return the name of an object."""
        return self.things[a].name

    def find(self, name: str) -> int:
        """Return the object of a name; -1 where there is none."""
        return next((i for i, thing in enumerate(self.things) if thing.name == name), -1)


_OVERLAP_M = 0.01
_HEAP_M = 0.12  # blocks heaped in a bowl are still in it


def _over_table(pose: Pose) -> bool:
    return scene.TABLE_NEAR_M < pose.x < scene.TABLE_FAR_M and abs(pose.y) < scene.TABLE_HALF_WIDTH_M


def _below(thing: Thing, pose: Pose) -> float:
    """Return how far an object reaches below its origin."""
    return 0.0 if thing.kind == "bowl" else pose.lid


def _above(thing: Thing, pose: Pose) -> float:
    """Return how far the face that a cup would meet lies above the origin."""
    return 2 * scene.BOWL_FLOOR_M if thing.kind == "bowl" else pose.lid


def radius(thing: Thing) -> float:
    """Return half an object's width, metres."""
    return scene.BOWL_RIM_M if thing.kind == "bowl" else scene.BLOCK_HALF_M


def look(things: tuple[Thing, ...], frames: Iterator[tuple[float, ...]], held: int) -> World:
    """Read poses off the simulator's `(x, y, z, qw, qx, qy, qz)`."""
    return World(things, tuple(_pose(t, f) for t, f in zip(things, frames, strict=True)), held)


def _pose(thing: Thing, frame: tuple[float, ...]) -> Pose:
    x, y, z, w, a, b, c = frame
    # columns of the rotation matrix: where the body's own axes point
    axes = (
        (1 - 2 * (b * b + c * c), 2 * (a * b + c * w), 2 * (a * c - b * w)),
        (2 * (a * b - c * w), 1 - 2 * (a * a + c * c), 2 * (b * c + a * w)),
        (2 * (a * c + b * w), 2 * (b * c - a * w), 1 - 2 * (a * a + b * b)),
    )
    if thing.kind == "block":  # any face may be up
        upright = max(range(3), key=lambda i: abs(axes[i][2]))
        side = axes[(upright + 1) % 3]
        return Pose(
            x, y, z, math.remainder(math.atan2(side[1], side[0]), math.pi / 2), abs(axes[upright][2]), LID_M["block"]
        )
    yaw = math.remainder(math.atan2(axes[0][1], axes[0][0]), math.pi / 2)
    lying = thing.kind == "can" and abs(axes[2][2]) < math.sqrt(0.5)
    return Pose(x, y, z, yaw, axes[2][2], scene.CAN_RADIUS_M if lying else LID_M[thing.kind])


LID_M = {"block": scene.BLOCK_HALF_M, "can": scene.CAN_HALF_M, "bowl": scene.BOWL_FLOOR_M}
