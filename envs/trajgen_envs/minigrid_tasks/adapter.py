"""What `wrappers.textual` cannot see from the spaces of minigrid's environments (MiniGrid-*, BabyAI-*).

Owns the words for the agent's own view: what is told is what the observation carries, nothing behind walls. Importing
this module imports minigrid, so that the registry skips it where minigrid is not installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minigrid.core.constants import IDX_TO_COLOR, IDX_TO_OBJECT, STATE_TO_IDX
from minigrid.envs.babyai.core import roomgrid_level, verifier
from minigrid.minigrid_env import MiniGridEnv

from trajgen.protocols import ForeignAdapter
from trajgen.wrappers.state import copied, put_back

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_ACTIONS = ("turn_left", "turn_right", "forward", "pick_up", "drop", "toggle", "done")
_FACING = ("east", "south", "west", "north")
_DOOR_STATES = {index: name for name, index in STATE_TO_IDX.items()}
_NOTHING = frozenset({"unseen", "empty", "agent"})
_PASSABLE = frozenset({"empty", "floor", "goal"})
_RULES = (
    "You stand in a world of square cells, see only what is in front of and beside you, and face one direction. "
    "`forward` moves one cell, `pick_up` takes the object right in front of you, `drop` puts it there, `toggle` opens or "
    "closes a door or opens a box in front of you (a locked door needs a key of its colour), and `done` does nothing "
    "unless the mission asks for it."
)


class MiniGridAdapter(ForeignAdapter):
    """Every environment whose class is a `MiniGridEnv`. Snapshots are exact."""

    def __init__(self) -> None:
        _keep_quiet()

    def action_names(self, env: Any) -> Sequence[str] | None:
        """Name minigrid's seven actions."""
        return _ACTIONS if isinstance(env, MiniGridEnv) and env.action_space.n == len(_ACTIONS) else None  # type: ignore[attr-defined] # always a Discrete space

    def goal(self, env: Any) -> str | None:
        """State the mission, the rules and the steps there are."""
        if not isinstance(env, MiniGridEnv):
            return None
        return f"Your mission: {env.mission}. You have {env.max_steps} steps; fewer earn more. {_RULES}"

    def observation_text(self, env: Any, observation: Any) -> str | None:
        """Tell direction, what is carried, the free way ahead and beside, and the objects in view."""
        if not isinstance(env, MiniGridEnv) or not isinstance(observation, dict) or "image" not in observation:
            return None
        view = _View(observation["image"])
        parts = [
            f"You face {_FACING[int(observation['direction'])]}.",
            f"You carry {view.carried() or 'nothing'}.",
            f"Ahead: {view.way(0, 1)}. To the left: {view.way(-1, 0)}. To the right: {view.way(1, 0)}.",
            f"You see: {'; '.join(view.objects()) or 'no objects'}.",
        ]
        return " ".join(parts)

    def solved(self, env: Any, total_reward: float, *, terminated: bool) -> bool | None:
        """Say whether the mission is done: minigrid pays for nothing else."""
        return total_reward > 0 if isinstance(env, MiniGridEnv) else None

    def state(self, env: Any) -> bytes | None:
        """Return the grid, what is in its boxes, the agent, and how far the mission's checks have come."""
        if not isinstance(env, MiniGridEnv):
            return None
        agent = (*map(int, env.agent_pos), int(env.agent_dir), env.step_count, env.max_steps, env.mission)
        held = [_things(thing) for thing in (env.carrying, *env.grid.grid)]
        checks = list(_checks(getattr(env, "instrs", None)))
        return env.grid.encode().tobytes() + repr((agent, held, checks)).encode()

    def snapshot(self, env: Any) -> object | None:
        """Copy every attribute; objects that the grid, the agent and the mission share stay shared."""
        return copied(env) if isinstance(env, MiniGridEnv) else None

    def restore(self, env: Any, saved: Any) -> None:  # what `snapshot` returned
        """Put every attribute back."""
        put_back(env, saved)


def _keep_quiet() -> None:
    """Keep BabyAI from printing every rejected draw of a mission to standard output.

    Standard output is not redirected, which would catch other threads' lines: `print` is hidden from that one module.
    """
    vars(roomgrid_level)["print"] = _say_nothing


def _say_nothing(*_: object) -> None:
    """Take the place of `print`."""


def _things(thing: Any) -> object:
    """Return an object and, for a box, what is in it."""
    return None if thing is None else (thing.type, thing.encode(), _things(getattr(thing, "contains", None)))


def _checks(check: Any) -> Iterator[object]:
    """Yield what the mission's checks remember between steps."""
    if not isinstance(check, verifier.Instr):
        return
    yield type(check).__name__
    for name, value in sorted(vars(check).items()):
        if isinstance(value, verifier.Instr):
            yield name, tuple(_checks(value))
        elif isinstance(value, (bool, int, str)):
            yield name, value
        elif name == "preCarrying":
            yield name, _things(value)
        elif isinstance(value, verifier.ObjDesc):
            yield name, [tuple(map(int, place)) for place in value.obj_poss]


class _View:
    """The agent's own view; it stands in the middle of the last row and looks along falling rows.

    Args:
        image: uint8 of shape (columns, rows, 3): object, colour, state.
    """

    def __init__(self, image: Any) -> None:
        self.cells: list[list[list[int]]] = image.tolist()
        self.middle, self.last = len(self.cells) // 2, len(self.cells[0]) - 1

    def kind(self, right: int, ahead: int) -> str | None:
        """Return what is in the cell `right` and `ahead` of the agent; None outside the view."""
        x, y = self.middle + right, self.last - ahead
        return IDX_TO_OBJECT[self.cells[x][y][0]] if 0 <= x < len(self.cells) and y >= 0 else None

    def thing(self, right: int, ahead: int) -> str:
        """Return the words for the object in a cell."""
        kind, colour, state = self.cells[self.middle + right][self.last - ahead]
        name = IDX_TO_OBJECT[kind]
        door = f"{_DOOR_STATES[state]} " if name == "door" else ""
        return name if name in {"wall", "lava"} else f"{door}{IDX_TO_COLOR[colour]} {name}"

    def carried(self) -> str | None:
        """Return what the agent carries: minigrid shows it in the agent's own cell."""
        return None if self.kind(0, 0) in _NOTHING else f"a {self.thing(0, 0)}"

    def way(self, right: int, ahead: int) -> str:
        """Say how many cells are free in one direction, and what is behind them."""
        n = 1
        while (kind := self.kind(right * n, ahead * n)) in _PASSABLE:
            n += 1
        free = f"{n - 1} free cell{'' if n == 2 else 's'}"  # noqa: PLR2004 - one cell is free before the second
        if kind is None or kind in _NOTHING:
            return f"{free}, then out of sight"
        return f"{free}, then a {self.thing(right * n, ahead * n)}"

    def objects(self) -> list[str]:
        """Return the objects in view with their places, the nearest first."""
        found = []
        for x in range(len(self.cells)):
            for y in range(self.last + 1):
                right, ahead = x - self.middle, self.last - y
                kind = self.kind(right, ahead)
                if (right, ahead) != (0, 0) and kind not in _NOTHING | {"wall", "floor"}:
                    found.append((abs(right) + ahead, right, ahead))
        return [f"{self.thing(right, ahead)} {_place(right, ahead)}" for _, right, ahead in sorted(found)]


def _place(right: int, ahead: int) -> str:
    steps = [f"{ahead} ahead"] * (ahead > 0) + [f"{abs(right)} to the {'right' if right > 0 else 'left'}"] * (
        right != 0
    )
    return " and ".join(steps)
