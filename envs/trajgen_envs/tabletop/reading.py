"""The words of the tabletop, read: an instruction, and what shown lines of feedback tell. Text in, records out.

Everything a text-only player may know passes through here. Total functions: what is not understood is None, or absent.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from trajgen_envs.tabletop.wishes import Apart, Asked, Clear, Each, Fact, Mismatched, Tower, away_from, colour, in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from trajgen.types import Feedback, Tool

_RELATIONS = "left of|right of|in front of|behind|on|in|at"
_PART = re.compile(rf"\bthe (\w+ \w+) (?:was )?({_RELATIONS}) the (\w+(?: \w+)*?)(?=,| and the |\.|$)")
_FACT = re.compile(rf"The (\w+ \w+) is ({_RELATIONS}|off) the (\w+(?: \w+)*)\.")
_SEEN = re.compile(r"The (\w+ \w+) is ")
_NAME = re.compile(r"\bthe (\w+ \w+)")
_VIEW, _CUP = re.compile(r"In view: (.+)\."), re.compile(r"In the cup: (.+)\.")
_FALLEN = re.compile(r"the (\w+ \w+) has fallen off the table", re.IGNORECASE)
_COUNT = re.compile(r"(\d+) of (\d+) parts of the goal hold\.")


class Goal(Struct, frozen=True):
    """What the first observation says.

    Attributes:
        things: The objects on the table, in the order they are listed.
        places: The places of the table, as the tool `place` names them.
        asked: None where the instruction is not understood.
    """

    things: tuple[str, ...]
    places: tuple[str, ...]
    asked: Asked | None


class Told(Struct, frozen=True):
    """What shown feedback says of one step; None where it says nothing.

    Attributes:
        worked: Whether the last skill did (channel `success`).
        view: Names of what is in view (channel `object`).
        cup: What the cup holds; None also where it holds nothing, which is known where `view` is.
        facts: The parts of the goal that hold (channel `scene`).
        parts: How many do, and of how many.
        why: What went wrong (channel `error`).
    """

    worked: bool | None = None
    view: tuple[str, ...] | None = None
    cup: str | None = None
    facts: frozenset[Fact] | None = None
    parts: tuple[int, int] | None = None
    why: str | None = None


class Complaint(Struct, frozen=True):
    """What a line of the channel `error` tells.

    Attributes:
        refused: Nothing moved: the call could not even be begun.
        held: What the cup holds.
        empty: The cup is known to hold nothing.
        upon: Something that lies on something else, and should not.
        unseen: What has to be looked for.
        fallen: What is no longer on the table.
        where: Where what was put down is now.
    """

    refused: bool
    held: str | None = None
    empty: bool = False
    upon: Fact | None = None
    unseen: str | None = None
    fallen: str | None = None
    where: Fact | None = None


# ------------------------------------------------------------------------------------- the instruction


def goal(text: str, tools: Sequence[Tool]) -> Goal:
    """Read the first observation; the places of the table are in the schema of `place`."""
    said, _, listing = text.partition("\nOn the table: ")
    things = tuple(name for name in listing.strip().rstrip(".").split(", ") if name)
    places = tuple(name for name in _targets(tools) if name not in things)
    return Goal(things, places, _asked(said.strip(), things, places))


def _targets(tools: Sequence[Tool]) -> Iterable[str]:
    place = next((tool for tool in tools if tool.name == "place"), None)
    return () if place is None else place.parameters["properties"]["target"]["enum"]


def _asked(said: str, things: tuple[str, ...], places: tuple[str, ...]) -> Asked | None:
    blocks = tuple(name for name in things if name.endswith("block"))
    bowls = tuple(name for name in things if name.endswith("bowl"))
    corners = tuple(place for place in places if place.endswith("corner"))
    readings: list[tuple[str, Callable[[re.Match[str]], Asked]]] = [
        (r"Put the blocks in the bowls of the same colou?r\.", lambda _: _matching(blocks, bowls)),
        (r"Put the blocks in bowls of another colou?r than their own\.", lambda _: Mismatched(blocks, bowls)),
        (r"Put the blocks in different corners\.", lambda _: Apart(blocks, corners)),
        (r"Put all the blocks (in|at) the (.+)\.", lambda m: _all(blocks, m[1], m[2])),
        (r"Stack all the blocks\.", lambda _: Tower(blocks)),
        (r"Stack all the blocks at the (.+)\.", lambda m: Tower(blocks, m[1])),
        (r"Stack, from the bottom to the top, (.+)\.", lambda m: in_order(_NAME.findall(m[1]))),
        (
            r"Sort: all the blocks to the (.+), all the bowls to the (.+)\.",
            lambda m: Each((*_all(blocks, "at", m[1]).parts, *_all(bowls, "at", m[2]).parts)),
        ),
        (r"Clear the (.+): nothing may be left there\.", lambda m: Clear(things, m[1], away_from(m[1], places))),
        (r"(The .+ was .+)\. Then someone moved .+\. Undo that\.", lambda m: _parts(m[1])),
        (r"Put (the .+)\.", lambda m: _parts(m[1])),
    ]
    found = ((read, re.fullmatch(pattern, said)) for pattern, read in readings)
    asked = next((read(match) for read, match in found if match), None)
    return None if asked is None or _strangers(asked, things, places) else asked


def _all(names: Iterable[str], relation: str, target: str) -> Each:
    return Each(tuple(Fact(name, relation, target) for name in names))


def _matching(blocks: Sequence[str], bowls: Sequence[str]) -> Each:
    by_colour = {colour(bowl): bowl for bowl in bowls}
    return Each(tuple(Fact(b, "in", by_colour[colour(b)]) for b in blocks if colour(b) in by_colour))


def _parts(clauses: str) -> Each:
    lower = clauses[:1].lower() + clauses[1:]
    return Each(tuple(Fact(*found) for found in _PART.findall(lower)))


def _strangers(asked: Asked, things: Sequence[str], places: Sequence[str]) -> bool:
    """Say whether an instruction asks for nothing, or for what is neither listed nor a place."""
    if isinstance(asked, Each):
        known = all(part.name in things and part.target in {*things, *places} for part in asked.parts)
        return not (known and asked.parts)
    place = getattr(asked, "place", None)
    return place is not None and place not in places


# ------------------------------------------------------------------------------------- feedback


def told(feedback: Iterable[Feedback]) -> Told:
    """Read the shown lines of one step."""
    said: dict[str, list[str]] = {}
    for line in feedback:
        if line.shown:
            said.setdefault(line.channel, []).append(line.text)
    objects, scene = "\n".join(said.get("object", ())), "\n".join(said.get("scene", ()))
    view, cup, count = _VIEW.search(objects), _CUP.search(objects), _COUNT.search(scene)
    success = " ".join(said.get("success", ()))
    return Told(
        worked=None if not success else "failed" not in success,
        view=None if view is None else () if view[1] == "nothing" else tuple(view[1].split(", ")),
        cup=None if cup is None else cup[1],
        facts=None if count is None else frozenset(sentences(scene)),
        parts=None if count is None else (int(count[1]), int(count[2])),
        why=" ".join(said.get("error", ())) or None,
    )


def sentences(text: str) -> list[Fact]:
    """Return every "The red block is in the green bowl." of a text."""
    return [Fact(*found) for found in _FACT.findall(text)]


def seen(text: str) -> frozenset[str]:
    """Return the objects that the answer of `look` says are somewhere on the table, or in the cup."""
    return frozenset(_SEEN.findall(text))


def fallen(text: str) -> frozenset[str]:
    """Return the objects that a text says have fallen off the table."""
    return frozenset(_FALLEN.findall(text))


_NO = re.IGNORECASE  # clauses become sentences: what begins one has a capital
_COMPLAINTS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Complaint]], ...] = (
    (re.compile(r"the cup (?:holds|held) nothing", _NO), lambda _: Complaint(refused=False, empty=True)),
    (re.compile(r"it came out otherwise: (.+)", _NO), lambda m: _otherwise(m[1])),
    (re.compile(r"the cup holds the (\w+ \w+)\.", _NO), lambda m: Complaint(refused=False, held=m[1])),
    (re.compile(r"the cup holds the (\w+ \w+); place it", _NO), lambda m: Complaint(refused=True, held=m[1])),
    (
        re.compile(r"the (\w+ \w+) lies on the (\w+ \w+); move that", _NO),
        lambda m: Complaint(refused=True, upon=Fact(m[1], "on", m[2])),
    ),
    (re.compile(r"the (\w+ \w+) is not in view", _NO), lambda m: Complaint(refused=True, unseen=m[1])),
    (_FALLEN, lambda m: Complaint(refused=True, fallen=m[1])),
)


def complaint(why: str) -> Complaint:
    """Read why a call did not work; what is not understood counts as a refusal."""
    found = ((read, pattern.search(why)) for pattern, read in _COMPLAINTS)
    return next((read(match) for read, match in found if match), Complaint(refused=True))


def _otherwise(said: str) -> Complaint:
    where, fallen = sentences(said), _FALLEN.search(said)
    return Complaint(
        refused=False, empty=True, where=where[0] if where else None, fallen=None if fallen is None else fallen[1]
    )
