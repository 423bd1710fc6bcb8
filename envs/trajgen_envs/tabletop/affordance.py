"""`can(skill | state)`: how likely a skill is to work now (SayCan, arXiv 2204.01691, section 3). Analytic.

Reach, visibility and grasp, from geometry and the noise the arm is known to have. Knows no goal.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from trajgen.toolenv import Impossible
from trajgen_envs.tabletop import intents
from trajgen_envs.tabletop.world import BESIDE, ON_M, UPRIGHT

if TYPE_CHECKING:
    from trajgen.types import ToolCall
    from trajgen_envs.tabletop import spots
    from trajgen_envs.tabletop.intents import Belief
    from trajgen_envs.tabletop.objects import Kind
    from trajgen_envs.tabletop.tasks import TabletopOptions
    from trajgen_envs.tabletop.world import World

# off centre by more, and too many pads miss the face; measured on 150 picks a kind at noises of 8, 12 and 20 mm
GRASP_M: dict[Kind, float] = {"block": 0.017, "can": 0.0135, "bowl": 0.033}
_TILTED, _PUSHES = 0.3, 0.9  # of flat objects and free ways


def analytic(call: ToolCall, belief: Belief, options: TabletopOptions) -> float:
    """Return the probability, in [0, 1], that `call` works on the table as it is believed to be."""
    try:
        intents.check(belief, call)
    except Impossible:
        return 0.0
    if call.tool == "pick":
        return _pick(belief.world, str(call.arguments["object"]), options)
    if call.tool == "place":
        return _place(belief.world, call.arguments["relation"], options)
    return _PUSHES if call.tool == "push" else 1.0


def _pick(world: World, name: str, options: TabletopOptions) -> float:
    # a tilted face seals badly
    index = world.find(name)
    grasp_m = GRASP_M[world.things[index].kind]
    return within(grasp_m, options.pick_noise_m) if world.poses[index].up > UPRIGHT else _TILTED


def _place(world: World, relation: spots.Relation, options: TabletopOptions) -> float:
    if world.held < 0:
        return 0.0
    tolerance = ON_M if relation == "on" else 0.03 if relation == "in" or relation in BESIDE else 0.06
    # what is held hangs off the cup by as much as it was picked off its centre
    return within(tolerance, math.hypot(options.place_noise_m, min(options.pick_noise_m, GRASP_M["block"])))


def within(radius_m: float, noise_m: float) -> float:
    """Return the probability that two normal errors of `noise_m` each stay within a circle (Rayleigh's law)."""
    return 1.0 if noise_m == 0 else 1.0 - math.exp(-(radius_m**2) / (2 * noise_m**2))
