"""The expert: reads the physics, makes the next move of the goal, and looks again. Never the subject of an ablation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from trajgen.types import ToolCall
from trajgen_envs.tabletop import goals
from trajgen_envs.tabletop.goals import Move
from trajgen_envs.tabletop.world import PLACES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from trajgen_envs.tabletop.goals import Goal
    from trajgen_envs.tabletop.world import World

MAX_CALLS = 60


def calls(
    goal: Goal, see: Callable[[], World], unseen: Callable[[], Collection[int]], is_over: Callable[[], bool]
) -> Iterator[ToolCall]:
    """Yield picks and places until the goal holds, then `done`; what failed is done again.

    Args:
        unseen: Objects that the arm has not seen yet: it has to look before it can act on them.
    """
    for _ in range(MAX_CALLS):
        if is_over():
            return
        world = see()
        if goals.holds(goal, world):
            break
        yield _looking(_next(goal, world), world, unseen())
    yield ToolCall("done", {})


def _looking(call: ToolCall, world: World, unseen: Collection[int]) -> ToolCall:
    """Return the call, or a look at where its object or target lies."""
    for name in call.arguments.values():
        index = world.find(name)
        if index in unseen:
            x, y = world.poses[index][:2]
            place = min(PLACES, key=lambda p: math.dist(PLACES[p].middle, (x, y)))
            return ToolCall("look", {"place": place})
    return call


def _next(goal: Goal, world: World) -> ToolCall:
    if world.held >= 0:
        return _put(goal, world)
    move = goal.next_move(world)
    if move is None:
        return ToolCall("done", {})
    move = goals.unburied(world, move)
    return ToolCall("pick", {"object": move.moved})


def _put(goal: Goal, world: World) -> ToolCall:
    """Put what is held where it belongs, or out of the way."""
    name = world.name(world.held)
    move = goal.next_move(world)
    if move is not None and move.moved == name:
        wanted = goals.unburied(world, move)
        if wanted == move:
            return ToolCall("place", {"target": move.target, "relation": move.relation})
    aside = Move(name, goals.roomy(world, name, PLACES), "at")
    return ToolCall("place", {"target": aside.target, "relation": aside.relation})


def n_calls(goal: Goal, world: World) -> int:
    """Return how many calls the expert needs when nothing goes wrong: a pick and a place a move, and `done`."""
    return 2 * (goal.n_needed - len(goal.facts(world))) + 1
