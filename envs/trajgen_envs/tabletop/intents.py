"""What a call means on the table as it is believed to be: where the cup is to go, or why it cannot. Pure.

Between words and motion: here it is decided whether a call can be begun at all, so that a refused one changes nothing,
and which calls are legal now.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

from trajgen.toolenv import Impossible
from trajgen.types import ToolCall
from trajgen_envs.tabletop import arm, spots
from trajgen_envs.tabletop.rig import HOME
from trajgen_envs.tabletop.skills import CARRIED_M, CLEAR_M, PUSH_BACK_M, Aim
from trajgen_envs.tabletop.world import BESIDE, DIRECTIONS, PLACES, radius

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from trajgen_envs.tabletop.spots import Relation
    from trajgen_envs.tabletop.world import World

LEGAL_PUSH_M = 0.1
_HIGHEST_M = 0.30  # the cup over a tower with something in it


class Belief(NamedTuple):
    """The table as the robot knows it.

    Attributes:
        unseen: Objects whose poses are not known.
    """

    world: World
    unseen: Collection[int] = ()

    def thing(self, name: str) -> int:
        """Return a named object that a skill can be aimed at.

        Raises: Impossible: it was never seen, or lies where no skill can act.
        """
        index = self.world.find(name)
        if index in self.unseen:
            raise Impossible(f"the {name} is not in view; look around")
        if self.world.fallen(index):
            raise Impossible(f"the {name} has fallen off the table")
        return index

    def empty(self) -> None:
        """Refuse what needs an empty cup."""
        if self.world.held >= 0:
            raise Impossible(f"the cup holds the {self.world.name(self.world.held)}; place it first")


def pick(belief: Belief, name: str) -> Aim:
    """Return where to pick an object up.

    Raises: Impossible: something lies on it, the cup is not empty, or it is out of reach.
    """
    index = belief.thing(name)
    belief.empty()
    above = next(belief.world.upon(index), None)
    if above is not None:
        raise Impossible(f"the {belief.world.name(above)} lies on the {name}; move that first")
    pose = belief.world.poses[index]
    return _reached(belief.world, Aim(pose.x, pose.y, belief.world.face(index), pose.yaw))


def place(belief: Belief, target: str, relation: Relation) -> Aim:
    """Return where to put down what the cup holds, if anything.

    Raises: Impossible: the relation does not fit, there is no room, or it is out of reach.
    """
    if target not in PLACES:
        belief.thing(target)
    spot = spots.find(belief.world, belief.world.held, target, relation)
    return _reached(belief.world, Aim(spot.x, spot.y, spot.ground_m, spot.yaw))


def push(belief: Belief, name: str, direction: str, distance_m: float) -> Aim:
    """Return where a push begins: the object's middle, and its top.

    Raises: Impossible: it does not stand on the table, or a part of the way is out of reach.
    """
    index = belief.thing(name)
    belief.empty()
    if any(belief.world.inside(index, bowl) for bowl in range(len(belief.world.things))):
        raise Impossible(f"the {name} lies in a bowl; push the bowl")
    if not belief.world.on_table(index):
        raise Impossible(f"the {name} does not stand on the table")
    pose, (dx, dy) = belief.world.poses[index], DIRECTIONS[direction]
    aim = Aim(pose.x, pose.y, belief.world.top(index), pose.yaw)
    behind = radius(belief.world.things[index]) + PUSH_BACK_M
    for reach_m in (-behind, distance_m):
        _reached(belief.world, aim._replace(x=pose.x + dx * reach_m, y=pose.y + dy * reach_m))
    return aim


def legal(belief: Belief, *, look: bool, everything: bool) -> Iterator[ToolCall]:
    """Yield the calls that can be begun now: of pushes those of 10 cm, of `ask` none.

    Args:
        everything: Yield those too that would be refused, as a planner weighs them that does not know (SayCan).
    """
    for call in _grounded(belief.world):
        try:
            check(belief, call)
        except Impossible:
            if not everything:
                continue
        yield call
    if look:
        yield from (ToolCall("look", {"place": place}) for place in PLACES)
    yield ToolCall("done", {})


def check(belief: Belief, call: ToolCall) -> None:
    """Raise `Impossible` where a pick, a place or a push cannot be begun."""
    given = call.arguments
    if call.tool == "pick":
        pick(belief, str(given["object"]))
    elif call.tool == "place":
        place(belief, str(given["target"]), given["relation"])
    elif call.tool == "push":
        push(belief, str(given["object"]), str(given["direction"]), float(given["distance_m"]))


def _grounded(world: World) -> Iterator[ToolCall]:
    names = [thing.name for thing in world.things]
    for name in names:
        yield ToolCall("pick", {"object": name})
    for thing in world.things:
        for relation in ("in" if thing.kind == "bowl" else "on", *BESIDE):
            yield ToolCall("place", {"target": thing.name, "relation": relation})
    for target in PLACES:
        yield ToolCall("place", {"target": target, "relation": "at"})
    for name, direction in itertools.product(names, DIRECTIONS):
        yield ToolCall("push", {"object": name, "direction": direction, "distance_m": LEGAL_PUSH_M})


def reaches(x: float, y: float, highest_m: float = _HIGHEST_M) -> bool:
    """Say whether the cup gets to a point of the table, and up from it."""
    try:
        for z in (0.0, highest_m):
            arm.inverse(x, y, z, 0.0, HOME)
    except arm.OutOfReach:
        return False
    return True


def _reached(world: World, aim: Aim) -> Aim:
    """Refuse what is out of reach there, or above it at the height at which the cup travels over the highest thing."""
    tops = max(world.top(i) for i in range(len(world.things)) if i != world.held)
    highest = tops + CLEAR_M + CARRIED_M
    if not reaches(aim.x, aim.y, max(_HIGHEST_M, highest)):
        over = f" over things {tops:.2f} m high" if highest > _HIGHEST_M else ""
        raise Impossible(f"out of reach: the arm does not get to ({aim.x:.2f}, {aim.y:.2f}) m{over}")
    return aim
