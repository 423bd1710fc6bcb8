"""Goals as predicates on the state of the physics, what of them holds already, and the next move of who sees all.

Every goal answers `facts` (what holds and counts, in words and as predicates), `n_needed`, and `next_move` for the
oracle and the human. Tolerances are those of `world`. Knows no physics and no instruction's words.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from trajgen.toolenv import Impossible
from trajgen_envs.tabletop import spots
from trajgen_envs.tabletop.spots import Relation
from trajgen_envs.tabletop.world import BESIDE, CORNERS, PLACES, Fact

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from trajgen_envs.tabletop.world import World


class Move(NamedTuple):
    """One pick and one place: object, where to, and how."""

    moved: str
    target: str
    relation: Relation


class Related(Struct, frozen=True):
    """`name` stands in `relation` to `target`, an object or a place of the table."""

    name: str
    relation: Relation
    target: str

    def holds(self, world: World) -> bool:
        """Say whether it does."""
        a, b = world.find(self.name), world.find(self.target)
        if self.relation == "at":
            return world.at(a, self.target)
        if self.relation in BESIDE:
            return world.beside(a, b, self.relation)
        return world.inside(a, b) if self.relation == "in" else world.on(a, b)

    def fact(self) -> Fact:
        """Say it."""
        return Fact(
            f"the {self.name} is {self.relation} the {self.target}",
            f"{self.relation.replace(' ', '_')}({self.name}, {self.target})",
        )


class AllOf(Struct, frozen=True, tag="all"):
    """Every relation holds. They are made in order, so what is below comes first."""

    parts: tuple[Related, ...]

    @property
    def n_needed(self) -> int:
        """Count the relations."""
        return len(self.parts)

    def facts(self, world: World) -> list[Fact]:
        """Return the relations that hold."""
        return [part.fact() for part in self.parts if part.holds(world)]

    def next_move(self, world: World) -> Move | None:
        """Return the first that does not and is not too early; of what is in the cup before all others."""
        broken = sorted((p for p in self.parts if not p.holds(world)), key=lambda p: p.name != held_name(world))
        if not broken:
            return None
        part = next((p for p in broken if _in_the_way(world, p, broken) is None), broken[0])
        first = _in_the_way(world, part, broken)
        if first is not None:  # everything waits for something else
            return Move(first, roomy(world, first, PLACES), "at")
        return Move(part.name, part.target, part.relation)


def _in_the_way(world: World, part: Related, broken: list[Related]) -> str | None:
    """Return what `part` would bury although it has yet to be moved, or built upon; None where it may be made."""
    others = [p for p in broken if p != part]
    waiting = {p.name for p in others} | {p.target for p in others if p.relation == "on" and p.target != part.target}
    return next((name for name in _buried(world, part.target) if name in waiting), None)


class Mismatched(Struct, frozen=True, tag="mismatched"):
    """Every block lies in a bowl of another colour."""

    blocks: tuple[str, ...]
    bowls: tuple[str, ...]

    @property
    def n_needed(self) -> int:
        """Count the blocks."""
        return len(self.blocks)

    def facts(self, world: World) -> list[Fact]:
        """Return who lies in which bowl of another colour."""
        found = (self._fact(world, block) for block in self.blocks)
        return [fact for fact in found if fact is not None]

    def _fact(self, world: World, block: str) -> Fact | None:
        fits = (Related(block, "in", bowl) for bowl in self.bowls if not _same_colour(block, bowl))
        return next((part.fact() for part in fits if part.holds(world)), None)

    def next_move(self, world: World) -> Move | None:
        """Return a block that is not, with the emptiest bowl that fits: if it can be, one that no other has to leave."""
        left = [b for b in _held_first(world, self.blocks) if self._fact(world, b) is None]
        pairs = [(block, bowl) for block in left for bowl in self.bowls if not _same_colour(block, bowl)]
        ready = [p for p in pairs if not ({*left} - {p[0]}) & {*_buried(world, p[1])}] or pairs
        load = {bowl: sum(1 for _ in world.upon(world.find(bowl))) for bowl in self.bowls}
        fits = [p for p in ready if p[0] == ready[0][0]]
        return Move(*min(fits, key=lambda p: load[p[1]]), "in") if fits else None


class Tower(Struct, frozen=True, tag="tower"):
    """All blocks form one stack, in any order; at `place` where one is named."""

    blocks: tuple[str, ...]
    place: str | None = None

    @property
    def n_needed(self) -> int:
        """Count what stands on something, and the base where its place matters."""
        return len(self.blocks) - (self.place is None)

    def facts(self, world: World) -> list[Fact]:
        """Return the relations of the best stack there is, from the bottom."""
        stack = self._best(world)
        parts = [Related(a, "on", b) for b, a in itertools.pairwise(stack)]
        base = [Related(stack[0], "at", self.place)] if self.place is not None and self._based(world, stack[0]) else []
        return [part.fact() for part in (*base, *parts)]

    def next_move(self, world: World) -> Move | None:
        """Return the next block for the top of the best stack, or the base for its place."""
        stack = self._best(world)
        left = [name for name in _held_first(world, self.blocks) if name not in stack]
        if self.place is not None and not self._based(world, stack[0]):
            # the topmost first: a stack cannot be carried
            return Move(left[0] if held_name(world) in left else stack[-1], self.place, "at")
        return Move(left[0], stack[-1], "on") if left else None

    def _based(self, world: World, name: str) -> bool:
        return self.place is None or (world.at(world.find(name), self.place) and world.on_table(world.find(name)))

    def _best(self, world: World) -> list[str]:
        """Return the stack to build on: at the place, then the highest, then in the order of naming."""
        stacks = [self._stack(world, name) for name in self.blocks if world.on_table(world.find(name))]
        stacks = stacks or [[self.blocks[0]]]
        return max(stacks, key=lambda s: (self._based(world, s[0]), len(s)))

    def _stack(self, world: World, name: str) -> list[str]:
        stack = [name]
        while True:
            upper = next((b for b in self.blocks if world.on(world.find(b), world.find(stack[-1]))), None)
            if upper is None or upper in stack:
                return stack
            stack.append(upper)


class Apart(Struct, frozen=True, tag="apart"):
    """Every block is in a corner of its own."""

    blocks: tuple[str, ...]

    @property
    def n_needed(self) -> int:
        """Count the blocks."""
        return len(self.blocks)

    def _corners(self, world: World) -> dict[str, str]:
        """Return block -> corner; of two in one corner the first named has it."""
        taken: dict[str, str] = {}
        for block in self.blocks:
            for corner in CORNERS:
                if corner not in taken.values() and world.at(world.find(block), corner):
                    taken[block] = corner
        return taken

    def facts(self, world: World) -> list[Fact]:
        """Return who has which corner."""
        return [Related(block, "at", corner).fact() for block, corner in self._corners(world).items()]

    def next_move(self, world: World) -> Move | None:
        """Return the first block without a corner, and the nearest free one that has room."""
        taken = self._corners(world)
        left = [b for b in _held_first(world, self.blocks) if b not in taken]
        if not left:
            return None
        block = left[0]
        free = [c for c in CORNERS if c not in taken.values()]
        return Move(block, roomy(world, block, free), "at")


class Clear(Struct, frozen=True, tag="clear"):
    """Nothing lies in a part of the table; all of it is still on the table."""

    names: tuple[str, ...]
    place: str

    @property
    def n_needed(self) -> int:
        """Count what was in it."""
        return len(self.names)

    def _off(self, world: World, name: str) -> bool:
        return world.clear_of(world.find(name), self.place)

    def facts(self, world: World) -> list[Fact]:
        """Return what is off the place."""
        return [
            Fact(f"the {name} is off the {self.place}", f"off({name}, {self.place})")
            for name in self.names
            if self._off(world, name)
        ]

    def next_move(self, world: World) -> Move | None:
        """Return the first thing that is still in it, and the nearest place that has room."""
        name = next((n for n in _held_first(world, self.names) if not self._off(world, n)), None)
        return None if name is None else Move(name, roomy(world, name, elsewhere(self.place)), "at")


Goal = AllOf | Mismatched | Tower | Apart | Clear


def holds(goal: Goal, world: World) -> bool:
    """Say whether a goal is reached: all its facts hold and the cup holds nothing."""
    return world.held < 0 and len(goal.facts(world)) == goal.n_needed


def elsewhere(place: str) -> list[str]:
    """Return the places that share no point with one."""
    area = PLACES[place]
    return [name for name, other in PLACES.items() if _disjoint(area, other)]


def _disjoint(area: tuple[float, ...], other: tuple[float, ...]) -> bool:
    (ax0, ax1, ay0, ay1), (bx0, bx1, by0, by1) = area, other
    return ax1 < bx0 - _APART_M or bx1 < ax0 - _APART_M or ay1 < by0 - _APART_M or by1 < ay0 - _APART_M


_APART_M = 0.01


def held_name(world: World) -> str | None:
    """Return the name of what is in the cup."""
    return world.name(world.held) if world.held >= 0 else None


def _held_first(world: World, names: tuple[str, ...]) -> list[str]:
    """Return names, that of what is in the cup first: it has to be put down before anything else."""
    return sorted(names, key=lambda name: name != held_name(world))


def _same_colour(a: str, b: str) -> bool:
    return a.partition(" ")[0] == b.partition(" ")[0]


def roomy(world: World, name: str, places: Iterable[str]) -> str:
    """Return the nearest of some places where an object finds room; the first where none has."""
    index = world.find(name)
    pose = world.poses[index]
    ranked: list[tuple[float, str]] = []
    candidates = list(places)
    for place in candidates:
        try:
            spot = spots.find(world, index, place, "at")
        except Impossible:
            continue
        ranked.append(((spot.x - pose.x) ** 2 + (spot.y - pose.y) ** 2, place))
    return min(ranked)[1] if ranked else candidates[0]


def unburied(world: World, move: Move) -> Move:
    """Return what has to be done first so that a move can be: take off what lies on the object, or on the target."""
    blocker = next(iter(_blockers(world, move)), None)
    if blocker is None:
        return move
    free = roomy(world, world.name(blocker), [p for p in PLACES if p != move.target])
    return unburied(world, Move(world.name(blocker), free, "at"))


def _buried(world: World, target: str) -> list[str]:
    """Return what lies lower once something is put on or in a target: it, what it stands on, what is in it."""
    lower = [world.find(target)]
    for index in lower:  # grows as it goes
        n = range(len(world.things))
        lower += [i for i in n if index >= 0 and i not in lower and (world.on(index, i) or world.inside(i, index))]
    return [world.name(i) for i in lower if i >= 0]


def _blockers(world: World, move: Move) -> Iterator[int]:
    moved, target = world.find(move.moved), world.find(move.target)
    yield from (i for i in world.upon(moved) if i != moved)
    if target >= 0 and move.relation == "on":
        yield from (i for i in world.upon(target) if i != moved)
