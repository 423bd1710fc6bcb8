"""The expert: reads the physics, makes the next move of the goal, and looks again. Never the subject of an ablation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trajgen.types import ToolCall
from trajgen_envs.tabletop import goals
from trajgen_envs.tabletop.goals import Move
from trajgen_envs.tabletop.world import PLACES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trajgen_envs.tabletop.goals import Goal
    from trajgen_envs.tabletop.world import World

MAX_CALLS = 60


def calls(goal: Goal, see: Callable[[], World], is_over: Callable[[], bool]) -> Iterator[ToolCall]:
    """Yield picks and places until the goal holds, then `done`; what failed is done again."""
    for _ in range(MAX_CALLS):
        if is_over():
            return
        world = see()
        if goals.holds(goal, world):
            break
        yield _next(goal, world)
    yield ToolCall("done", {})


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
