"""The person beside the table: answers questions about what both can see, and what to do next. Words only.

The `human` channel of Inner Monologue (arXiv 2207.05608, section 3.2): answers come when asked for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from trajgen.types import Line
from trajgen_envs.tabletop import goals
from trajgen_envs.tabletop.world import PLACES

if TYPE_CHECKING:
    from trajgen_envs.tabletop.goals import Goal
    from trajgen_envs.tabletop.world import World

_HELP = (
    'I can tell you where something is ("where is the red block?"), what is on or in something ("what is in the green '
    'bowl?"), what to do next ("what next?"), and whether you are done ("am I done?").'
)


def answer(question: str, world: World, goal: Goal) -> Line:
    """Answer one question, with the predicate the answer came from."""
    asked = " ".join(re.findall(r"[a-z]+", question.lower()))
    named = [i for i, thing in enumerate(world.things) if re.search(rf"\b{thing.name}\b", asked)]
    if re.search(r"\b(done|finished|complete|ready)\b", asked):
        return _done(world, goal)
    if re.search(r"\b(next|should i|what to do|what do i)\b", asked):
        return _next(world, goal)
    if named and re.search(r"\bwhere\b", asked):
        return Line(whereabouts(world, named[0]), f"where({world.name(named[0])})")
    if named and re.search(r"\b(what|which|anything|empty)\b", asked):
        return _upon(world, named[0])
    return Line(_HELP, "help()")


def _done(world: World, goal: Goal) -> Line:
    if goals.holds(goal, world):
        return Line("Yes, all is as it should be.", "goal()")
    facts = len(goal.facts(world))
    return Line(f"No: {facts} of {goal.n_needed} things are as they should be.", "goal()")


def _next(world: World, goal: Goal) -> Line:
    if world.held >= 0:
        return Line(f"Put down the {world.name(world.held)}.", f"held({world.name(world.held)})")
    move = goal.next_move(world)
    if move is None:
        return Line("Nothing: say that you are done.", "goal()")
    move = goals.unburied(world, move)
    return Line(
        f"Put the {move.moved} {move.relation} the {move.target}.",
        f"next({move.moved}, {move.relation}, {move.target})",
    )


def _upon(world: World, index: int) -> Line:
    names = [world.name(i) for i in world.upon(index)]
    told = " and ".join(f"the {name}" for name in names) or "nothing"
    preposition = "in" if world.things[index].kind == "bowl" else "on"
    return Line(f"{told[0].upper()}{told[1:]} is {preposition} the {world.name(index)}.", f"upon({world.name(index)})")


def whereabouts(world: World, index: int) -> str:
    """Say where an object is: in the cup, on or in another one, or at a place of the table."""
    name = world.name(index)
    if index == world.held:
        return f"The {name} is in the cup."
    if world.fallen(index):
        return f"The {name} has fallen off the table."
    for other in range(len(world.things)):
        if world.on(index, other):
            return f"The {name} is on the {world.name(other)}."
        if world.inside(index, other):
            return f"The {name} is in the {world.name(other)}."
    place = next((p for p in PLACES if world.at(index, p)), None)
    return f"The {name} is at the {place}." if place else f"The {name} is on the table."
