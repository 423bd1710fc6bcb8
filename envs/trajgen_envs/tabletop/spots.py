"""Where to put things down: a free spot for a target and a relation. Pure; knows neither physics nor goals."""

from __future__ import annotations

import itertools
import math
from functools import cache
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from trajgen.toolenv import Impossible
from trajgen_envs.tabletop import scene
from trajgen_envs.tabletop.world import BESIDE, BESIDE_MIN_M, DIRECTIONS, PLACES, radius

if TYPE_CHECKING:
    from trajgen_envs.tabletop.world import World

Relation = Literal["on", "in", "at", "left of", "right of", "in front of", "behind"]
RELATIONS: tuple[Relation, ...] = get_args(Relation)
GAP_M = 0.015  # kept free between neighbours
_STEP_M = 0.02


class Spot(NamedTuple):
    """Where the cup lets go: metres, the height of what is there, and the heading to take (modulo a quarter turn)."""

    x: float
    y: float
    ground_m: float
    yaw: float


def find(world: World, moved: int, target: str, relation: Relation) -> Spot:
    """Return where to put `moved` (an object's index, or -1 for an empty cup).

    Raises: Impossible: the relation does not fit the target, or there is no room.
    """
    other = world.find(target)
    if other < 0:
        if relation != "at":
            raise Impossible(f"relation: {target!r} is a place; expected 'at', found {relation!r}")
        return _free(world, moved, target)
    if other == moved:
        raise Impossible(f"target: the {target} is what the cup holds")
    if world.fallen(other):
        raise Impossible(f"target: the {target} has fallen off the table")
    if relation in BESIDE:
        return _next_to(world, moved, other, relation)
    is_bowl = world.things[other].kind == "bowl"
    if moved >= 0 and world.things[moved].kind == "bowl":
        raise Impossible(f"target: the {world.name(moved)} fits neither in nor on the {target}")
    wanted = "in" if is_bowl else "on"
    if relation != wanted:
        raise Impossible(
            f"relation: expected {wanted!r} (or a side) for a {world.things[other].kind}, found {relation!r}"
        )
    pose = world.poses[other]
    return Spot(pose.x, pose.y, _height(world, pose.x, pose.y, moved), pose.yaw)


def put(world: World, moved: int, spot: Spot) -> World:
    """Return the table with an object let go at a spot, as if nothing went wrong."""
    poses = list(world.poses)
    below = 0.0 if world.things[moved].kind == "bowl" else poses[moved].lid
    poses[moved] = poses[moved]._replace(x=spot.x, y=spot.y, z=spot.ground_m + below, yaw=spot.yaw)
    return world._replace(poses=tuple(poses), held=-1)


def _height(world: World, x: float, y: float, moved: int) -> float:
    """Return the height of the highest face under a point."""
    faces = [
        world.face(i)
        for i, pose in enumerate(world.poses)
        if i not in (moved, world.held) and math.dist(pose[:2], (x, y)) < 1.5 * scene.BLOCK_HALF_M
    ]
    return max([0.0, *faces])


def _next_to(world: World, moved: int, other: int, relation: str) -> Spot:
    """Try a few distances on that side, the usual one first."""
    dx, dy = DIRECTIONS[BESIDE[relation]]
    pose, mine = world.poses[other], _radius(world, moved)
    for gap in (BESIDE_MIN_M, 0.055, 0.07, 0.025, 0.085, 0.10):
        reach = radius(world.things[other]) + mine + gap
        x, y = pose.x + dx * reach, pose.y + dy * reach
        if _clearance(world, moved, x, y) >= GAP_M and _over_table(x, y):
            return Spot(x, y, 0.0, 0.0)
    raise Impossible(f"target: there is no room {relation} the {world.name(other)}")


def _over_table(x: float, y: float) -> bool:
    return (
        scene.TABLE_NEAR_M + 0.1 < x < scene.TABLE_FAR_M - 0.1 and abs(y) < scene.TABLE_HALF_WIDTH_M - scene.BOWL_RIM_M
    )


def _free(world: World, moved: int, place: str) -> Spot:
    """Return the spot of a place that is nearest to its middle and has room; else none."""
    for x, y in _grid(place, _radius(world, moved)):
        if _clearance(world, moved, x, y) >= GAP_M:
            return Spot(x, y, 0.0, 0.0)
    raise Impossible(f"target: there is no room at the {place}")


@cache
def _grid(place: str, margin_m: float) -> list[tuple[float, float]]:
    """Return points of a place, the nearest to its middle first."""
    area = PLACES[place]
    margin = min(margin_m, (area.x1 - area.x0) / 2 - 0.01, (area.y1 - area.y0) / 2 - 0.01)
    nx = math.floor((area.x1 - area.x0 - 2 * margin) / _STEP_M / 2)
    ny = math.floor((area.y1 - area.y0 - 2 * margin) / _STEP_M / 2)
    cx, cy = area.middle
    steps = itertools.product(range(-nx, nx + 1), range(-ny, ny + 1))
    points = [(cx + i * _STEP_M, cy + j * _STEP_M) for i, j in steps]
    return sorted(points, key=lambda point: (math.dist(point, area.middle), point))


def _radius(world: World, moved: int) -> float:
    return scene.BLOCK_HALF_M if moved < 0 else radius(world.things[moved])


def _clearance(world: World, moved: int, x: float, y: float) -> float:
    """Return the gap to the nearest neighbour, metres; blocks count as their circumscribed circle."""
    mine = _circle(world, moved) if moved >= 0 else scene.BLOCK_HALF_M
    gaps = [
        math.dist(pose[:2], (x, y)) - mine - _circle(world, i)
        for i, pose in enumerate(world.poses)
        if i not in (moved, world.held)
    ]
    return min([1.0, *gaps])


def _circle(world: World, index: int) -> float:
    thing = world.things[index]
    return radius(thing) * (1.0 if thing.kind == "bowl" else 1.2)
