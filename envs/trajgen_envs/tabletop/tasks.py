"""A task: the things, where they lie at the start, the goal, and what will go wrong. A pure function of generators.

The scene is drawn from the environment's generator. Noise and disturbances have generators of their own, seeded from
it, so that the same seed gives the same scene whatever noise, disturbance and occlusion are: cells of an ablation are
paired. Dials that say what lies there (`objects`, `length`, `distractors`, `family`) draw another scene.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import numpy as np
from msgspec import Meta, Struct, to_builtins

from trajgen.errors import ConfigError
from trajgen.toolenv import Impossible
from trajgen_envs.tabletop import families, scene, spots
from trajgen_envs.tabletop.families import FAMILIES, Family
from trajgen_envs.tabletop.goals import AllOf, Apart, Goal
from trajgen_envs.tabletop.objects import Thing
from trajgen_envs.tabletop.world import CORNERS, LID_M, PLACES, TABLE, Area, Pose, World, radius

if TYPE_CHECKING:
    from numpy.random import Generator

    from trajgen.types import Json
    from trajgen_envs.tabletop.families import Drawn

MAX_SHOVES = 4
_GAP_M = 0.025
_TRIES = 100
_LAYOUTS = 200


class TabletopOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """What `reset` takes beside `split`. The dials of difficulty are the second group.

    Attributes:
        family: None draws one.
        look, ask: Whether those tools are offered.
        legal: What `info["legal"]` lists, where an agent needs it: the skills that can be begun, or all.
        images: Whether observations carry a picture (PNG).
        arrays: Whether observations carry the poses as numbers.
        objects: Blocks and bowls on the table (clutter).
        length: How many objects the instruction asks to move; None: what is usual for the family.
        pick_noise_m, place_noise_m: Standard deviation of where the cup really goes, along x and along y.
        disturbance: How many times an object is shoved.
        occlusion: Objects are seen only from near: within `sight` of the cup.
        distractors: Cans that no instruction speaks of.
    """

    family: Family | None = None
    look: bool = True
    ask: bool = True
    legal: Literal["possible", "all"] = "possible"
    images: bool = False
    arrays: bool = False

    objects: Annotated[int, Meta(ge=3, le=8)] = 5
    length: Annotated[int, Meta(ge=1, le=5)] | None = None
    pick_noise_m: Annotated[float, Meta(ge=0, le=0.05)] = 0.0
    place_noise_m: Annotated[float, Meta(ge=0, le=0.05)] = 0.0
    disturbance: Annotated[int, Meta(ge=0, le=MAX_SHOVES)] = 0
    occlusion: bool = False
    distractors: Annotated[int, Meta(ge=0, le=4)] = 0

    def __post_init__(self) -> None:
        """Refuse a length that the family cannot have, before any episode is played."""
        problem = families.misfit(self.family, self.length) if self.family and self.length else None
        if problem:
            raise ValueError(problem)


class Shove(Struct, frozen=True):
    """One knock against an object.

    Attributes:
        skill: It comes during this skill, counted from 0.
        share: How far into the first second of it.
        thing: Index of who is hit.
        velocity: Metres a second that are added, along x, y and z.
    """

    skill: int
    share: float
    thing: int
    velocity: tuple[float, ...]


class Task(Struct, frozen=True):
    """One start and one goal.

    Attributes:
        starts: x, y, z (m) and yaw (rad) of each thing.
        noise_seed: Of the generator of where the cup really goes.
        shoves: What will be knocked, in the order of time.
    """

    family: Family
    things: tuple[Thing, ...]
    starts: tuple[tuple[float, ...], ...]
    goal: Goal
    text: str
    noise_seed: int
    shoves: tuple[Shove, ...]

    def key(self) -> Json:
        """Return what the task is: start and goal, whatever goes wrong later."""
        return to_builtins((self.family, self.things, self.starts, self.goal, self.text))


def compose(rng: Generator, options: TabletopOptions) -> Task:
    """Draw a task.

    Raises: ConfigError: the options leave no room for one.
    """
    noise_seed, shove_seed, scene_seed = (int(n) for n in rng.integers(2**62, size=3))
    own = np.random.default_rng(scene_seed)
    family = options.family or FAMILIES[int(own.integers(len(FAMILIES)))]
    for _ in range(_LAYOUTS):
        drawn = families.draw(own, family, options.length, options.objects, options.distractors)
        starts = _laid_out(own, drawn)
        if starts is not None and _can_be_done(drawn, starts):
            shoves = _shoves(np.random.default_rng(shove_seed), options.disturbance, drawn)
            return Task(family, drawn.things, starts, drawn.goal, drawn.text, noise_seed, shoves)
    raise ConfigError(
        f"options: no room on the table for {options.objects} objects, {options.distractors} distractors and the task "
        f"{family}; ask for fewer"
    )


def _can_be_done(drawn: Drawn, starts: tuple[tuple[float, ...], ...]) -> bool:
    """Say whether nothing is done at the start, and every named move has room when its turn comes."""
    begun = world = start(drawn.things, starts)
    parts = drawn.goal.parts if isinstance(drawn.goal, AllOf) else ()
    try:
        for part in parts:
            index = world.find(part.name)
            world = spots.put(world, index, spots.find(world, index, part.target, part.relation))
        if isinstance(drawn.goal, Apart):
            for corner in CORNERS:
                spots.find(begun, begun.find(drawn.goal.blocks[0]), corner, "at")
    except Impossible:
        return False
    return all(part.holds(world) and not part.holds(begun) for part in parts)


def start(things: tuple[Thing, ...], starts: tuple[tuple[float, ...], ...]) -> World:
    """Return the table as it is drawn, before any physics."""
    poses = (Pose(x, y, z, yaw, 1.0, LID_M[t.kind]) for t, (x, y, z, yaw) in zip(things, starts, strict=True))
    return World(things, tuple(poses), held=-1)


class _Circle(NamedTuple):
    x: float
    y: float
    radius: float


def _laid_out(rng: Generator, drawn: Drawn) -> tuple[tuple[float, ...], ...] | None:
    """Place everything at random, wide things first, with gaps; None where no room was found."""
    where = {start.thing: start.target for start in drawn.starts if isinstance(start.target, str)}
    subjects = _subjects(drawn.goal)
    placed: dict[int, _Circle] = {}
    for index in sorted(range(len(drawn.things)), key=lambda i: (-radius(drawn.things[i]), i)):
        # what nobody asks for may lie there, where it is looked into whether enough room is left: see `_can_be_done`
        bystander = drawn.things[index].kind == "can" and isinstance(drawn.goal, AllOf)
        free = () if index in where or bystander else drawn.kept_free
        if drawn.corners and drawn.things[index].name in subjects:
            free = CORNERS
        # what is to be moved there must not touch the place; a bowl's rim may reach into it
        margin = radius(drawn.things[index]) if drawn.things[index].name in subjects else 0.0
        outside = [(PLACES[place], margin) for place in free]
        circle = _room(rng, radius(drawn.things[index]), list(placed.values()), where.get(index), outside)
        if circle is None:
            return None
        placed[index] = circle
    return tuple(
        (round(placed[i].x, 4), round(placed[i].y, 4), _HEIGHT[thing.kind], round(float(rng.uniform(-0.7, 0.7)), 4))
        for i, thing in enumerate(drawn.things)
    )


_HEIGHT = {"block": scene.BLOCK_HALF_M, "bowl": 0.0, "can": scene.CAN_HALF_M}


def _room(
    rng: Generator, size: float, others: list[_Circle], inside: str | None, outside: list[tuple[Area, float]]
) -> _Circle | None:
    area = TABLE if inside is None else PLACES[inside]
    for _ in range(_TRIES):
        x, y = float(rng.uniform(area.x0, area.x1)), float(rng.uniform(area.y0, area.y1))
        fits = TABLE.holds(x, y, -size * 0.75) and (inside is None or area.holds(x, y, -0.01))
        away = not any(place.holds(x, y, margin) for place, margin in outside)
        if fits and away and all(math.dist((x, y), c[:2]) >= size * 1.2 + c.radius * 1.2 + _GAP_M for c in others):
            return _Circle(x, y, size)
    return None


def _shoves(rng: Generator, n: int, drawn: Drawn) -> tuple[Shove, ...]:
    """Draw who is knocked when. Always as many numbers, so that more shoves begin with the same ones."""
    named = [i for i, thing in enumerate(drawn.things) if thing.name in _subjects(drawn.goal)]
    hit = [start.thing for start in drawn.starts] or named
    n_skills = 2 * min(drawn.goal.n_needed, len(hit))  # a pick and a place each; the first pick is left in peace
    shoves = []
    for order in range(MAX_SHOVES):
        skill, thing, share = int(rng.integers(1, n_skills)), int(rng.integers(len(hit))), float(rng.uniform(0.1, 0.9))
        angle, speed, lift = (
            float(rng.uniform(0, 2 * math.pi)),
            float(rng.uniform(0.5, 0.8)),
            float(rng.uniform(0.9, 1.2)),
        )
        velocity = (round(speed * math.cos(angle), 4), round(speed * math.sin(angle), 4), round(lift, 4))
        if order < n:
            shoves.append(Shove(skill, round(share, 4), hit[thing], velocity))
    return tuple(sorted(shoves, key=lambda s: (s.skill, s.share)))


def _subjects(goal: Goal) -> frozenset[str]:
    """Return the names of what is to be moved."""
    named = getattr(goal, "blocks", None) or getattr(goal, "names", None)
    return frozenset(named) if named else frozenset(part.name for part in getattr(goal, "parts", ()))
