"""The instruction families: which objects a task needs, what it asks, and in which words. Knows no physics.

The first eight are those of Inner Monologue's tabletop (arXiv 2207.05608, table 1), with our bowls and corners.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from trajgen.errors import ConfigError
from trajgen_envs.tabletop.goals import AllOf, Apart, Clear, Mismatched, Related, Tower
from trajgen_envs.tabletop.objects import COLOURS, Thing
from trajgen_envs.tabletop.world import BESIDE, CORNERS, SIDES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.random import Generator

    from trajgen_envs.tabletop.goals import Goal
    from trajgen_envs.tabletop.objects import Kind

Family = Literal[
    "pick_and_place",
    "one_bowl",
    "matching_bowls",
    "mismatched_bowls",
    "one_place",
    "stack_all",
    "stack_at_corner",
    "different_corners",
    "stack_in_order",
    "sort_by_kind",
    "clear_area",
    "undo",
    "beside",
]
FAMILIES: tuple[Family, ...] = get_args(Family)


class Start(NamedTuple):
    """Where something has to lie at the start: its place in things -> in, on or at; else anywhere but `kept_free`."""

    thing: int
    relation: Literal["on", "in", "at"]
    target: int | str


class Drawn(NamedTuple):
    """A task before its objects have places.

    Attributes:
        starts: What has to lie somewhere in particular.
        kept_free: Places of the table where nothing may lie at the start.
        corners: What is to be moved lies in no corner, and each corner has room for it.
    """

    things: tuple[Thing, ...]
    goal: Goal
    text: str
    starts: tuple[Start, ...] = ()
    kept_free: tuple[str, ...] = ()
    corners: bool = False


class Size(NamedTuple):
    """How large a task of a family may be: how many objects are to be moved, and how many that is by default."""

    least: int
    most: int
    usual: int


SIZES: dict[Family, Size] = {
    "pick_and_place": Size(1, 4, 1),
    "one_bowl": Size(1, 3, 2),
    "matching_bowls": Size(1, 4, 3),
    "mismatched_bowls": Size(2, 4, 3),
    "one_place": Size(1, 4, 3),
    "stack_all": Size(1, 4, 2),
    "stack_at_corner": Size(2, 4, 3),
    "different_corners": Size(1, 4, 3),
    "stack_in_order": Size(1, 4, 2),
    "sort_by_kind": Size(2, 4, 3),
    "clear_area": Size(1, 4, 2),
    "undo": Size(1, 3, 2),
    "beside": Size(1, 3, 1),
}


def misfit(family: Family, length: int) -> str | None:
    """Say why a family cannot have so many moves; None where it can."""
    size = SIZES[family]
    if size.least <= length <= size.most:
        return None
    return f"length: expected {size.least} to {size.most} for {family}, found {length}"


def draw(rng: Generator, family: Family, length: int | None, n_objects: int, n_distractors: int) -> Drawn:
    """Draw a task.

    Args:
        length: How many objects have to be moved; None for what is usual.
        n_objects: Blocks and bowls together; more where the task needs more.
        n_distractors: Cans, which no task asks for.
    Raises: ConfigError: `length` does not fit the family.
    """
    n = SIZES[family].usual if length is None else length
    if problem := misfit(family, n):
        raise ConfigError(f"options.{problem}")
    drawn = _DRAW[family](rng, n, n_objects)
    others = [thing for thing in _some(rng, "can", len(COLOURS)) if thing not in drawn.things]
    drawn = drawn._replace(things=(*drawn.things, *others[:n_distractors]))
    if isinstance(drawn.goal, Clear):  # of everything, whoever brought it there
        return drawn._replace(goal=Clear(_names(drawn.things), drawn.goal.place))
    return drawn


_MOST_BOWLS = 4


def _colours(rng: Generator) -> list[str]:
    names = list(COLOURS)
    return [names[i] for i in rng.permutation(len(names))]


def _some(rng: Generator, kind: Kind, n: int) -> list[Thing]:
    return [Thing(kind, colour) for colour in _colours(rng)[:n]]


def _filled(rng: Generator, things: list[Thing], n_objects: int, kinds: Sequence[Kind]) -> tuple[Thing, ...]:
    """Add objects nobody asks for, up to `n_objects`, so that a table of five is one of five in every family.

    There is room for `_MOST_BOWLS` bowls; what is still missing then are cans.
    """
    while len(things) < n_objects:
        kind = kinds[int(rng.integers(len(kinds)))]
        if kind == "bowl" and sum(thing.kind == "bowl" for thing in things) >= _MOST_BOWLS:
            kind = "can"
        free = [c for c in _colours(rng) if Thing(kind, c) not in things]
        things.append(Thing(kind, free[0]))
    return tuple(things)


def _names(things: Sequence[Thing]) -> tuple[str, ...]:
    return tuple(thing.name for thing in things)


def _listed(names: Sequence[str]) -> str:
    """Return "the a, the b and the c"."""
    told = [f"the {name}" for name in names]
    return told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}"


# ------------------------------------------------------------------------------------- one by one


def _pick_and_place(rng: Generator, n: int, n_objects: int) -> Drawn:
    blocks, bowls = _some(rng, "block", n + 1), _some(rng, "bowl", max(1, n - 1))
    things = _filled(rng, [*blocks, *bowls], n_objects, ("block", "bowl"))
    # nothing is put on what is moved later, and no bowl is used twice
    targets = [*bowls, blocks[n]]
    targets = [targets[i] for i in rng.permutation(len(targets))[:n]]
    parts = tuple(
        Related(block.name, "in" if target.kind == "bowl" else "on", target.name)
        for block, target in zip(blocks, targets, strict=False)
    )
    clauses = [f"the {p.name} {p.relation} the {p.target}" for p in parts]
    told = clauses[0] if n == 1 else f"{', '.join(clauses[:-1])} and {clauses[-1]}"
    return Drawn(things, AllOf(parts), f"Put {told}.")


def _one_bowl(rng: Generator, n: int, n_objects: int) -> Drawn:
    blocks, bowls = _some(rng, "block", n), _some(rng, "bowl", 2)
    things = _filled(rng, [*blocks, *bowls], n_objects, ("bowl",))
    goal = AllOf(tuple(Related(b.name, "in", bowls[0].name) for b in blocks))
    return Drawn(things, goal, f"Put all the blocks in the {bowls[0].name}.")


def _matching_bowls(rng: Generator, n: int, n_objects: int) -> Drawn:
    colours = _colours(rng)
    blocks = [Thing("block", c) for c in colours[:n]]
    bowls = [Thing("bowl", c) for c in colours[:n]]
    things = _filled(rng, [*blocks, *bowls], n_objects, ("bowl",))
    goal = AllOf(tuple(Related(b.name, "in", f"{b.colour} bowl") for b in blocks))
    return Drawn(things, goal, "Put the blocks in the bowls of the same color.")


def _mismatched_bowls(rng: Generator, n: int, n_objects: int) -> Drawn:
    colours = _colours(rng)
    blocks = [Thing("block", c) for c in colours[:n]]
    bowls = [Thing("bowl", c) for c in colours[:n]]
    things = _filled(rng, [*blocks, *bowls], n_objects, ("bowl",))
    goal = Mismatched(_names(blocks), _names([t for t in things if t.kind == "bowl"]))
    return Drawn(things, goal, "Put the blocks in bowls of another color than their own.")


def _one_place(rng: Generator, n: int, n_objects: int) -> Drawn:
    place = _any(rng, (*CORNERS, *SIDES))
    blocks = _some(rng, "block", n)
    things = _filled(rng, list(blocks), n_objects, ("bowl",))
    goal = AllOf(tuple(Related(b.name, "at", place) for b in blocks))
    return Drawn(things, goal, f"Put all the blocks at the {place}.", kept_free=(place,))


def _stack_all(rng: Generator, n: int, n_objects: int) -> Drawn:
    blocks = _some(rng, "block", n + 1)
    things = _filled(rng, list(blocks), n_objects, ("bowl",))
    return Drawn(things, Tower(_names(blocks)), "Stack all the blocks.")


def _stack_at_corner(rng: Generator, n: int, n_objects: int) -> Drawn:
    corner = _any(rng, CORNERS)
    blocks = _some(rng, "block", n)
    things = _filled(rng, list(blocks), n_objects, ("bowl",))
    goal = Tower(_names(blocks), corner)
    return Drawn(things, goal, f"Stack all the blocks at the {corner}.", kept_free=(corner,))


def _different_corners(rng: Generator, n: int, n_objects: int) -> Drawn:
    blocks = _some(rng, "block", n)
    things = _filled(rng, list(blocks), n_objects, ("bowl",))
    return Drawn(things, Apart(_names(blocks)), "Put the blocks in different corners.", corners=True)


def _stack_in_order(rng: Generator, n: int, n_objects: int) -> Drawn:
    blocks = _some(rng, "block", n + 1)
    things = _filled(rng, list(blocks), n_objects, ("bowl",))
    goal = AllOf(tuple(Related(a.name, "on", b.name) for b, a in itertools.pairwise(blocks)))
    return Drawn(things, goal, f"Stack, from the bottom to the top, {_listed(_names(blocks))}.")


def _sort_by_kind(rng: Generator, n: int, _: int) -> Drawn:
    left, right = ("left side", "right side") if rng.integers(2) else ("right side", "left side")
    n_blocks = (n + 1) // 2
    blocks, bowls = _some(rng, "block", n_blocks), _some(rng, "bowl", n - n_blocks)
    things = (*blocks, *bowls)  # everything is of a kind: what is nobody's would have to be sorted too
    goal = AllOf(tuple(Related(t.name, "at", left if t.kind == "block" else right) for t in things))
    return Drawn(
        things, goal, f"Sort: all the blocks to the {left}, all the bowls to the {right}.", kept_free=(left, right)
    )


def _clear_area(rng: Generator, n: int, n_objects: int) -> Drawn:
    place = _any(rng, (*SIDES, "middle"))
    blocks = _some(rng, "block", n)
    things = _filled(rng, list(blocks), n_objects, ("block", "bowl"))
    goal = Clear(_names(blocks), place)
    starts = tuple(Start(i, "at", place) for i in range(n))
    return Drawn(things, goal, f"Clear the {place}: nothing may be left there.", starts, kept_free=(place,))


def _undo(rng: Generator, n: int, n_objects: int) -> Drawn:
    blocks, bowls = _some(rng, "block", n + 1), _some(rng, "bowl", max(1, n - 1))
    things = _filled(rng, [*blocks, *bowls], n_objects, ("bowl",))
    targets: list[Thing | str] = [*bowls[: n - 1], blocks[n] if rng.integers(2) else _any(rng, CORNERS)]
    parts = tuple(
        Related(b.name, "at", t) if isinstance(t, str) else Related(b.name, "in" if t.kind == "bowl" else "on", t.name)
        for b, t in zip(blocks, targets, strict=False)
    )
    was = " and ".join(f"the {p.name} was {p.relation} the {p.target}" for p in parts)
    places = tuple(t for t in targets if isinstance(t, str))
    text = f"{was[0].upper()}{was[1:]}. Then someone moved {_listed(_names(blocks[:n]))}. Undo that."
    return Drawn(things, AllOf(parts), text, kept_free=places)


def _beside(rng: Generator, n: int, n_objects: int) -> Drawn:
    blocks, bowls = _some(rng, "block", n), _some(rng, "bowl", n)
    things = _filled(rng, [*blocks, *bowls], n_objects, ("block", "bowl"))
    sides = list(BESIDE)
    parts = tuple(
        Related(a.name, sides[int(rng.integers(4))], b.name)  # type: ignore[arg-type] # the keys of BESIDE are relations
        for a, b in zip(blocks, bowls, strict=True)
    )
    told = " and ".join(f"the {p.name} {p.relation} the {p.target}" for p in parts)
    return Drawn(things, AllOf(parts), f"Put {told}.")


def _any(rng: Generator, names: Sequence[str]) -> str:
    return names[int(rng.integers(len(names)))]


_DRAW: dict[Family, Callable[[Generator, int, int], Drawn]] = {
    "pick_and_place": _pick_and_place,
    "one_bowl": _one_bowl,
    "matching_bowls": _matching_bowls,
    "mismatched_bowls": _mismatched_bowls,
    "one_place": _one_place,
    "stack_all": _stack_all,
    "stack_at_corner": _stack_at_corner,
    "different_corners": _different_corners,
    "stack_in_order": _stack_in_order,
    "sort_by_kind": _sort_by_kind,
    "clear_area": _clear_area,
    "undo": _undo,
    "beside": _beside,
}
