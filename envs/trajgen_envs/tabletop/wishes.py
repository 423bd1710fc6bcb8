"""What an instruction asks for, as the text alone tells it: which object has yet to go where, and where else it might.

The planner's own picture of the thirteen kinds of instruction. It is made of words: objects, places and the facts one
is told or takes for granted. Knows no pose, no physics and none of the environment's goals.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

_OPPOSITE = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}
_OFF = "off"


class Spot(NamedTuple):
    """Where something can be put: an object or a place of the table, and how."""

    target: str
    relation: str

    def __str__(self) -> str:
        return f"{self.relation} the {self.target}"


class Fact(NamedTuple):
    """`name` stands in `relation` to `target`."""

    name: str
    relation: str
    target: str


class Wish(NamedTuple):
    """Something that is not as it should be.

    Attributes:
        moved: The object to move.
        spots: Where it may go, the best first; never empty.
    """

    moved: str
    spots: tuple[Spot, ...]


class Each(Struct, frozen=True):
    """Each object has the one spot that is named; what is below comes first."""

    parts: tuple[Fact, ...]

    def wishes(self, facts: Collection[Fact], out: Collection[str], held: str | None) -> list[Wish]:
        """Return what is not as it should be, in the order to do it.

        Args:
            out: Objects that cannot be moved.
            held: What is in the cup.
        """
        return [
            Wish(part.name, (Spot(part.target, part.relation),))
            for part in self.parts
            if part not in facts and part.name not in out
        ]


class Mismatched(Struct, frozen=True):
    """Every block belongs in a bowl of another colour."""

    blocks: tuple[str, ...]
    bowls: tuple[str, ...]

    def wishes(self, facts: Collection[Fact], out: Collection[str], held: str | None) -> list[Wish]:
        """See `Each.wishes`. Each block begins with the next colour after its own, bowls that hold nothing before all."""
        full = {fact.target for fact in facts}
        found = []
        for block in self._left(facts):
            ranked = sorted(self._fitting(block), key=lambda bowl: bowl in full)
            if block not in out and ranked:
                found.append(Wish(block, tuple(Spot(bowl, "in") for bowl in ranked)))
                full.add(ranked[0])
        return found

    def _left(self, facts: Collection[Fact]) -> Iterator[str]:
        for block in self.blocks:
            if not any(Fact(block, "in", bowl) in facts for bowl in self._fitting(block)):
                yield block

    def _fitting(self, block: str) -> list[str]:
        own = next((i for i, bowl in enumerate(self.bowls) if colour(bowl) == colour(block)), None)
        return list(self.bowls) if own is None else [*self.bowls[own + 1 :], *self.bowls[:own]]


class Tower(Struct, frozen=True):
    """All blocks belong on one stack, in any order; at `place` where one is named."""

    blocks: tuple[str, ...]
    place: str | None = None

    def wishes(self, facts: Collection[Fact], out: Collection[str], held: str | None) -> list[Wish]:
        """See `Each.wishes`. It goes on from the stack there is, so an `out` block that stands in it stays."""
        stack = self._stack(facts)
        movable = [block for block in self.blocks if block not in out]
        found = []
        if self.place is not None and not (stack and Fact(stack[0], "at", self.place) in facts):
            # what is held already, or the topmost: a stack cannot be carried
            base = next((block for block in [held, *reversed(stack), *movable] if block in movable), None)
            if base is None:
                return []
            found.append(Wish(base, (Spot(self.place, "at"),)))
            stack = [base]
        elif not stack:
            stack = movable[:1]
        for block in movable:
            if block not in stack:
                found.append(Wish(block, (Spot(stack[-1], "on"),)))
                stack.append(block)
        return found

    def _stack(self, facts: Collection[Fact]) -> list[str]:
        """Return the stack that the facts tell of, from the bottom."""
        upper = {fact.target: fact.name for fact in facts if fact.relation == "on" and fact.name in self.blocks}
        based = [fact.name for fact in facts if fact.relation == "at" and fact.target == self.place]
        stack = (based or [block for block in upper if block not in upper.values()])[:1]
        while stack and stack[-1] in upper and upper[stack[-1]] not in stack:
            stack.append(upper[stack[-1]])
        return stack


class Apart(Struct, frozen=True):
    """Every block belongs in a corner of its own."""

    blocks: tuple[str, ...]
    corners: tuple[str, ...]

    def wishes(self, facts: Collection[Fact], out: Collection[str], held: str | None) -> list[Wish]:
        """See `Each.wishes`. Each block has the next free corner, and the other free ones after it."""
        taken = {fact.target for fact in facts if fact.relation == "at"}
        free = [corner for corner in self.corners if corner not in taken]
        settled = {fact.name for fact in facts if fact.relation == "at" and fact.target in self.corners}
        left = [block for block in self.blocks if block not in out and block not in settled]
        return [
            Wish(block, tuple(Spot(corner, "at") for corner in (*free[i:], *free[:i])))
            for i, block in enumerate(left)
            if free
        ]


class Clear(Struct, frozen=True):
    """Nothing may be left at a place."""

    names: tuple[str, ...]
    place: str
    elsewhere: tuple[str, ...]

    def wishes(self, facts: Collection[Fact], out: Collection[str], held: str | None) -> list[Wish]:
        """See `Each.wishes`. They are spread, since nobody may say that a place is full."""
        spots = tuple(Spot(place, "at") for place in self.elsewhere)
        found = []
        for i, name in enumerate(self.names):
            if spots and name not in out and Fact(name, _OFF, self.place) not in facts:
                first = i % len(spots)
                found.append(Wish(name, spots[first:] + spots[:first]))
        return found


Asked = Each | Mismatched | Tower | Apart | Clear


def presumed(asked: Asked) -> frozenset[Fact]:
    """Return what is taken for granted by one who is told nothing of the scene.

    Which objects lie in an area to be cleared is not in the text. Blocks and cans are all moved; a bowl needs much
    room and might fill what is to hold the others, so bowls are trusted to be elsewhere.
    """
    if not isinstance(asked, Clear):
        return frozenset()
    return frozenset(Fact(name, _OFF, asked.place) for name in asked.names if name.endswith("bowl"))


def brought_about(asked: Asked, name: str, spot: Spot) -> Iterator[Fact]:
    """Yield what holds once `name` was put to a spot."""
    yield Fact(name, spot.relation, spot.target)
    if isinstance(asked, Clear) and spot.target in asked.elsewhere:
        yield Fact(name, _OFF, asked.place)


def away_from(place: str, places: Iterable[str]) -> tuple[str, ...]:
    """Return the places whose names tell that they share no point with one, sides before corners."""
    if place == "middle":
        found = [p for p in places if p in ("left side", "right side") or p.endswith("corner")]
    else:
        other = {_OPPOSITE[word] for word in place.split() if word in _OPPOSITE}
        found = [p for p in places if other & set(p.split())]
    return tuple(sorted(found, key=_is_corner))


def asides(asked: Asked, places: Sequence[str]) -> tuple[Spot, ...]:
    """Return where to put what is only in the way, wide places first; never where the instruction wants something."""
    named = {part.target for part in asked.parts} if isinstance(asked, Each) else set()
    named.add(getattr(asked, "place", None) or "")
    free = asked.elsewhere if isinstance(asked, Clear) else tuple(p for p in places if p not in named)
    return tuple(Spot(p, "at") for p in sorted(free, key=_is_corner))


def in_order(blocks: Sequence[str]) -> Each:
    """Return a stack in the order of naming, from the bottom."""
    return Each(tuple(Fact(upper, "on", lower) for lower, upper in itertools.pairwise(blocks)))


def _is_corner(place: str) -> bool:
    return place.endswith("corner")


def colour(name: str) -> str:
    """Return the first word of a name."""
    return name.partition(" ")[0]
