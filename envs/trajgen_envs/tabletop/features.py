"""What the robot can know of a skill before it tries it, as numbers: the input of the learned affordance. Pure.

Poses are those it believes in, so an object that moved out of sight is where it was last seen. No goal, no instruction,
no shove that is still to come and none of the draws of noise: only how large the arm knows its noise to be.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct, structs

from trajgen.toolenv import Impossible
from trajgen_envs.tabletop import scene, skills, spots
from trajgen_envs.tabletop.world import BESIDE, DIRECTIONS, UPRIGHT, radius

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from trajgen.types import ToolCall
    from trajgen_envs.tabletop.intents import Belief
    from trajgen_envs.tabletop.tasks import TabletopOptions
    from trajgen_envs.tabletop.world import World

SKILLS = ("pick", "place", "push")
Hand = tuple[float, float, float]  # where the face of the cup is, metres
_FAR_M = 0.15  # gaps wider than this do not matter, and count as this
_NEAR_M = 0.05  # how near a neighbour has to stand for its height to matter


class Asked(Struct, frozen=True, kw_only=True):
    """Which skill, and how exact the arm is: standard deviations in centimetres."""

    pick: float
    place: float
    push: float
    pick_noise_cm: float
    place_noise_cm: float
    occlusion: float


class Cup(Struct, frozen=True, kw_only=True):
    """What the cup holds, if anything.

    Attributes:
        offset_cm: From the middle of what is held to the middle of the cup, sideways.
        up: Cosine of its tilt.
        below_m: How far its face lies from its origin.
    """

    holds: float = 0.0
    block: float = 0.0
    bowl: float = 0.0
    offset_cm: float = 0.0
    up: float = 0.0
    below_m: float = 0.0


class Object(Struct, frozen=True, kw_only=True):
    """The object that is picked, pushed, or placed by; all 0 where it was never seen or is a place of the table.

    Attributes:
        reach_m: From the arm's base, sideways; `side_m` to the left of it, `z_m` above the table.
        up: Cosine of its tilt; `tilted` where that is more than what counts as upright.
        skew: 0 where its sides lie along the table's, 1 where they stand at 45 degrees.
        from_cup_m: Sideways.
        gap_m, second_gap_m: To its two nearest neighbours, from edge to edge.
        overtopped_m: How far the highest near neighbour rises above its face.
    """

    seen: float = 0.0
    fallen: float = 0.0
    block: float = 0.0
    bowl: float = 0.0
    can: float = 0.0
    reach_m: float = 0.0
    side_m: float = 0.0
    z_m: float = 0.0
    up: float = 0.0
    tilted: float = 0.0
    skew: float = 0.0
    covered: float = 0.0
    in_bowl: float = 0.0
    on_table: float = 0.0
    held: float = 0.0
    from_cup_m: float = 0.0
    gap_m: float = 0.0
    second_gap_m: float = 0.0
    overtopped_m: float = 0.0


class Target(Struct, frozen=True, kw_only=True):
    """Where a place is to go.

    Attributes:
        room: Whether there is a spot for it; without one the rest is 0.
        off_middle_m: From the middle of the spot to the middle of what lies there, if anything does.
    """

    on: float = 0.0
    inside: float = 0.0
    at: float = 0.0
    beside: float = 0.0
    room: float = 0.0
    reach_m: float = 0.0
    side_m: float = 0.0
    ground_m: float = 0.0
    gap_m: float = 0.0
    second_gap_m: float = 0.0
    off_middle_m: float = 0.0


class Way(Struct, frozen=True, kw_only=True):
    """The way of a push.

    Attributes:
        start_reach_m, end_reach_m: From the arm's base to where the cup begins and ends.
        start_gap_m: From the cup, as it comes down, to the nearest thing but the one to push.
        free_m: What is left between the pushed thing and the next in its way once it has been pushed.
        edge_m: From there to the edge of the table; negative beyond it.
    """

    distance_m: float = 0.0
    away: float = 0.0
    back: float = 0.0
    start_reach_m: float = 0.0
    end_reach_m: float = 0.0
    start_gap_m: float = 0.0
    free_m: float = 0.0
    edge_m: float = 0.0


_PARTS: tuple[type[Struct], ...] = (Asked, Cup, Object, Target, Way)
NAMES: tuple[str, ...] = tuple(f"{part.__name__.lower()}.{f.name}" for part in _PARTS for f in structs.fields(part))


def vector(call: ToolCall, belief: Belief, options: TabletopOptions, hand: Hand) -> NDArray[np.float64]:
    """Return the features of a pick, a place or a push on the table as it is believed to be.

    Returns: Shape (len(NAMES),), in the order of `NAMES`.
    Raises: ValueError: another tool, or an object that is not on this table.
    """
    given: dict[str, Any] = dict(call.arguments)
    if call.tool not in SKILLS:
        raise ValueError(f"call: expected one of {', '.join(SKILLS)}, found {call.tool}")
    world = belief.world
    name = str(given["target"] if call.tool == "place" else given["object"])
    index = world.find(name)
    if index < 0 and call.tool != "place":
        raise ValueError(f"call: expected an object of this table, found {name!r}")
    target, way = Target(), Way()
    if call.tool == "place":
        target = _target(belief, name, given["relation"])
    elif index not in belief.unseen and call.tool == "push":
        way = _way(belief, index, str(given["direction"]), float(given["distance_m"]))
    parts = (_asked(call.tool, options), _cup(world, hand), _object(belief, index, hand), target, way)
    return np.array([value for part in parts for value in structs.astuple(part)], dtype=np.float64)


def _asked(tool: str, options: TabletopOptions) -> Asked:
    return Asked(
        pick=float(tool == "pick"),
        place=float(tool == "place"),
        push=float(tool == "push"),
        pick_noise_cm=100 * options.pick_noise_m,
        place_noise_cm=100 * options.place_noise_m,
        occlusion=float(options.occlusion),
    )


def _cup(world: World, hand: Hand) -> Cup:
    if world.held < 0:
        return Cup()
    pose, kind = world.poses[world.held], world.things[world.held].kind
    return Cup(
        holds=1.0,
        block=float(kind == "block"),
        bowl=float(kind == "bowl"),
        offset_cm=100 * min(math.dist(pose[:2], hand[:2]), _FAR_M),
        up=pose.up,
        below_m=pose.lid,
    )


def _object(belief: Belief, index: int, hand: Hand) -> Object:
    if index < 0 or index in belief.unseen:
        return Object()
    world = belief.world
    pose, kind = world.poses[index], world.things[index].kind
    gap, second = _gaps(belief, pose.x, pose.y, radius(world.things[index]), but=index)
    return Object(
        seen=1.0,
        fallen=float(world.fallen(index)),
        block=float(kind == "block"),
        bowl=float(kind == "bowl"),
        can=float(kind == "can"),
        reach_m=math.hypot(pose.x, pose.y),
        side_m=pose.y,
        z_m=pose.z,
        up=pose.up,
        tilted=float(pose.up <= UPRIGHT),
        skew=abs(math.sin(2 * pose.yaw)),
        covered=float(any(True for _ in world.upon(index))),
        in_bowl=float(any(world.inside(index, bowl) for bowl in range(len(world.things)))),
        on_table=float(world.on_table(index)),
        held=float(index == world.held),
        from_cup_m=math.dist(pose[:2], hand[:2]),
        gap_m=gap,
        second_gap_m=second,
        overtopped_m=_overtopped(belief, index),
    )


def _overtopped(belief: Belief, index: int) -> float:
    world = belief.world
    pose, face = world.poses[index], world.face(index)
    reach = radius(world.things[index]) + _NEAR_M
    near = (i for i in _others(belief, index) if math.dist(world.poses[i][:2], pose[:2]) < reach)
    return max([0.0, *(world.top(i) - face for i in near)])


def _target(belief: Belief, name: str, relation: spots.Relation) -> Target:
    known = Target(
        on=float(relation == "on"),
        inside=float(relation == "in"),
        at=float(relation == "at"),
        beside=float(relation in BESIDE),
    )
    world = belief.world
    if world.find(name) in belief.unseen:
        return known
    try:
        spot = spots.find(world, world.held, name, relation)
    except Impossible:
        return known
    mine = scene.BLOCK_HALF_M if world.held < 0 else radius(world.things[world.held])
    gap, second = _gaps(belief, spot.x, spot.y, mine, but=world.find(name))
    return structs.replace(
        known,
        room=1.0,
        reach_m=math.hypot(spot.x, spot.y),
        side_m=spot.y,
        ground_m=spot.ground_m,
        gap_m=gap,
        second_gap_m=second,
        off_middle_m=_off_middle(belief, spot),
    )


def _off_middle(belief: Belief, spot: spots.Spot) -> float:
    world, size = belief.world, 1.5 * scene.BLOCK_HALF_M
    under = [i for i in _others(belief, world.held) if math.dist(world.poses[i][:2], (spot.x, spot.y)) < size]
    highest = [i for i in under if world.face(i) >= spot.ground_m - 1e-9]
    return min((math.dist(world.poses[i][:2], (spot.x, spot.y)) for i in highest), default=0.0)


def _way(belief: Belief, index: int, direction: str, distance_m: float) -> Way:
    world = belief.world
    pose, half = world.poses[index], radius(world.things[index])
    dx, dy = DIRECTIONS[direction]
    back = half * (abs(math.cos(pose.yaw)) + abs(math.sin(pose.yaw))) + skills.PUSH_BACK_M
    start = (pose.x - dx * back, pose.y - dy * back)
    end = (pose.x + dx * distance_m, pose.y + dy * distance_m)
    return Way(
        distance_m=distance_m,
        away=float(direction == "forward"),
        back=float(direction == "back"),
        start_reach_m=math.hypot(*start),
        end_reach_m=math.hypot(*end),
        start_gap_m=_gaps(belief, *start, scene.CUP_RADIUS_M, but=index)[0],
        free_m=_free(belief, index, (dx, dy)) - distance_m,
        edge_m=_to_edge(*end),
    )


def _free(belief: Belief, index: int, towards: tuple[float, float]) -> float:
    """Return how far an object can be pushed before it meets another, metres; at most 0.3."""
    world = belief.world
    pose, half = world.poses[index], radius(world.things[index])
    free = 0.3
    for i in _others(belief, index):
        x, y = world.poses[i].x - pose.x, world.poses[i].y - pose.y
        along, across = x * towards[0] + y * towards[1], abs(x * towards[1] - y * towards[0])
        apart = half + radius(world.things[i])
        if along > 0 and across < apart:
            free = min(free, along - apart)
    return free


def _to_edge(x: float, y: float) -> float:
    return min(x - scene.TABLE_NEAR_M, scene.TABLE_FAR_M - x, scene.TABLE_HALF_WIDTH_M - abs(y))


def _gaps(belief: Belief, x: float, y: float, mine: float, *, but: int) -> tuple[float, float]:
    """Return the gaps from a circle to the two nearest things, metres."""
    world = belief.world
    gaps = sorted(math.dist(world.poses[i][:2], (x, y)) - mine - radius(world.things[i]) for i in _others(belief, but))
    first, second, *_ = *gaps, _FAR_M, _FAR_M
    return min(first, _FAR_M), min(second, _FAR_M)


def _others(belief: Belief, but: int) -> Iterator[int]:
    world = belief.world
    for i in range(len(world.things)):
        if i not in (but, world.held) and i not in belief.unseen and not world.fallen(i):
            yield i
