"""Environments with pictures that a test can read: a dot that runs over a field, filmed within its calls or after them.

Each checks what it is given. `register` makes them known to gymnasium for a test.
"""

from __future__ import annotations

import contextlib
from typing import ClassVar

import gymnasium
import numpy as np

from trajgen import ToolEnv, tool
from trajgen.toolenv import Acted, Impossible
from trajgen.types import Line

FIELD = 8  # squares
SUBSTEPS = 10
CALL_S = 0.4  # of simulated time
DOT = (255, 220, 40)


class Field(ToolEnv):
    """A dot at square x of a row is to reach the last one."""

    tools = (
        tool("move", "Move the dot.", by={"type": "integer", "minimum": -3, "maximum": 3}),
        tool("ask", "Ask for help."),
    )
    drift = 0.0  # what another version of the simulator would do

    def begin(self, options):
        self.x, self.asked = float(self.np_random.integers(3)), False
        self.dot_rests()
        return f"Move the dot from square {self.x:.0f} to square {FIELD - 1}."

    def dot_moves(self):
        """Called at every substep."""

    def dot_rests(self):
        """Called at the end of a reset and of a call that moved the dot."""

    def act(self, call):
        self.asked = call.tool == "ask"
        if self.asked:
            return Acted("Asked.")
        if not 0 <= self.x + call.arguments["by"] < FIELD:
            raise Impossible("the dot would leave the field")
        for _ in range(SUBSTEPS):
            self.x += call.arguments["by"] / SUBSTEPS + self.drift / SUBSTEPS
            self.dot_moves()
        self.x = round(self.x, 6)
        self.dot_rests()
        return Acted(f"The dot is on square {self.x:g}.", reward=1.0, terminated=self.solved())

    def describe(self, channel):
        if channel == "human":
            return [Line("Go right.", "human")] if self.asked else None
        if channel == "scene":
            return f"{FIELD - 1 - self.x:g} squares to go."
        return super().describe(channel)

    def solved(self):
        return self.x >= FIELD - 1

    def state(self):
        return self.x

    def picture(self, width, height):
        frame = np.full((height, width, 3), (20, 60, 120), np.uint8)
        side = min(width // FIELD, height)
        left = round(self.x * (width - side) / (FIELD - 1))
        frame[:side, left : left + side] = DOT
        return frame


class FilmedField(Field):
    """Filmed within its calls."""

    sink = None
    refuses = None  # what it says it lacks for pictures

    def film(self, sink, *, fps=15.0, width=640, height=480):
        assert sink is None or callable(sink)
        assert 1 <= fps <= 100
        assert width % 2 == 0 == height % 2, "an encoder needs even sizes"
        if self.refuses is not None:
            raise RuntimeError(self.refuses)
        self.sink, self.every, self.since, self.size = sink, 1 / fps, 0.0, (width, height)

    def dot_moves(self):
        self.since = getattr(self, "since", 0.0) + CALL_S / SUBSTEPS
        while self.sink is not None and self.since >= self.every - 1e-9:
            self.since -= self.every
            self.sink(self.picture(*self.size))

    def dot_rests(self):
        if self.sink is not None:
            self.sink(self.picture(*self.size))


class DrawnField(Field):
    """Drawn after its calls, where it was made for that."""

    metadata: ClassVar = {"render_modes": ["human", "rgb_array"]}
    raises_at = None
    paints = np.uint8

    def __init__(self, render_mode=None):
        super().__init__()
        assert render_mode in {None, "rgb_array"}
        self.render_mode = render_mode

    def render(self):
        assert self.render_mode == "rgb_array", "render() of an environment that was not made for it"
        if self.raises_at is not None and self.x >= self.raises_at:
            raise OSError("no device to draw on")
        return self.picture(90, 60).astype(self.paints)


FILMED, DRAWN, BLIND = "film-test/Filmed-v0", "film-test/Drawn-v0", "film-test/Blind-v0"


@contextlib.contextmanager
def registered():
    known = {FILMED: FilmedField, DRAWN: DrawnField, BLIND: Field}
    for name, env in known.items():
        gymnasium.register(name, entry_point=env)
    try:
        yield
    finally:
        for name in known:
            del gymnasium.registry[name]


SCRIPT = (
    "I look for the dot. It is on the left, so I go right. >> move(by=3)",
    "Further, and too far. >> move(by=3)",
    "move(by=3)",
    "I do not know. >> ask()",
    "One more. >> move(by=1)",
    "move(by=1)",
)
