"""The tools of one scene: skills in words, whose arguments are the names of what is on the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trajgen.types import Tool
from trajgen_envs.tabletop.objects import COLOURS, KINDS, Thing
from trajgen_envs.tabletop.spots import RELATIONS
from trajgen_envs.tabletop.world import DIRECTIONS, PLACES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trajgen.types import Json

MIN_PUSH_M, MAX_PUSH_M = 0.02, 0.25
MAX_QUESTION_CHARS = 300
DONE = Tool(
    "done",
    "Say that the instruction is carried out; this ends the episode.",
    {"type": "object", "properties": {}, "additionalProperties": False},
)


def offered(names: Sequence[str], *, look: bool, ask: bool) -> tuple[Tool, ...]:
    """Return the tools for a table with these objects."""
    thing = {"type": "string", "enum": list(names)}
    target = {"type": "string", "enum": [*names, *PLACES]}
    tools = [
        Tool("pick", "Pick up an object with the suction cup.", _object({"object": thing})),
        Tool(
            "place",
            "Put down what the cup holds. Relations: 'on' a block or can, 'in' a bowl, 'at' a place of the table, or "
            "beside an object ('behind' is farther from the robot).",
            _object({"target": target, "relation": {"type": "string", "enum": list(RELATIONS)}}),
        ),
        Tool(
            "push",
            f"Push an object along the table, {MIN_PUSH_M} to {MAX_PUSH_M} metres; 'forward' is away from the robot, "
            "towards the top side.",
            _object(
                {
                    "object": thing,
                    "direction": {"type": "string", "enum": list(DIRECTIONS)},
                    "distance_m": {"type": "number", "minimum": MIN_PUSH_M, "maximum": MAX_PUSH_M},
                }
            ),
        ),
    ]
    if look:
        place = {"type": "string", "enum": list(PLACES)}
        tools.append(
            Tool(
                "look",
                "Say what can be seen and where; with a place, move the camera above it first.",
                _object({"place": place}, required=()),
            )
        )
    if ask:
        question = {"type": "string", "minLength": 1, "maxLength": MAX_QUESTION_CHARS}
        tools.append(
            Tool(
                "ask",
                "Ask the person beside the table: where something is, what next, ...",
                _object({"question": question}),
            )
        )
    return (*tools, DONE)


def _object(properties: Mapping[str, Json], required: Sequence[str] | None = None) -> Mapping[str, Json]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties if required is None else required),
        "additionalProperties": False,
    }


# before the first reset nobody knows what will be on the table
ANY = offered([Thing(kind, colour).name for kind in KINDS for colour in COLOURS], look=True, ask=True)
