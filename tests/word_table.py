"""A tabletop of words: what a text-only player can be told and can do, with mishaps at will, and no physics.

It checks every call against the tools' schemas, executes it, and says what came of it in the words of the real table.
"""

from __future__ import annotations

import numpy as np

from trajgen.spaces import ToolSpace
from trajgen.types import Feedback, ObservationRecord, Step, ToolCall, to_json
from trajgen_envs.tabletop import tools
from trajgen_envs.tabletop.planner import TabletopPlanner

TWO = "Put the red block in the green bowl and the blue block in the white bowl."
THINGS = ("red block", "blue block", "green bowl", "white bowl")
RED, BLUE = ("red block", "in", "green bowl"), ("blue block", "in", "white bowl")


class Table:
    """A tabletop of words: it executes a planner's calls, with the mishaps it is told of, and says what came of them.

    Args:
        parts: The facts that make up the goal.
        fails: Numbers of the calls (from 0) that do not work: a pick leaves the cup empty, a place misses.
        keeps: Numbers of the places after which the cup still holds what it held.
        knocks: Number of a call -> the object that is knocked off where it is after it, or off the table (`falls`).
        why: Number of a call -> the reason it is refused for.
        hidden: Objects out of sight -> the place one has to look at to see them.
    """

    def __init__(
        self,
        goal=TWO,
        things=THINGS,
        parts=(RED, BLUE),
        *,
        shown=(),
        fails=(),
        keeps=(),
        knocks=None,
        falls=None,
        why=None,
        hidden=None,
        look=False,
    ):
        self.text = f"{goal}\nOn the table: {', '.join(things)}."
        self.things, self.parts, self.shown = things, set(parts), shown
        self.fails, self.keeps, self.knocks, self.falls = fails, keeps, knocks or {}, falls or {}
        self.why, self.hidden = why or {}, dict(hidden or {})
        self.tools = tools.offered(things, look=look, ask=True)
        self.space = ToolSpace(self.tools)
        self.cup, self.facts, self.gone = None, set(), set()
        self.on_top = "table"  # of what a place that misses leaves its object
        self.turns, self.calls = [], []

    def play(self, most=100):
        """Play to `done`; return the calls in short form."""
        strategy = TabletopPlanner()
        strategy.start(self.text, self.tools, self.lines(None, None), np.random.default_rng(0))
        for _ in range(most):
            turn = strategy.next()
            self.turns.append(turn)
            if turn.stop:
                return self.calls
            step = self.step(turn.calls[0])
            if turn.calls[0].tool == "done":
                return self.calls
            strategy.saw(step)
        raise AssertionError(f"no end after {most} calls: {self.calls}")

    def step(self, call):
        problem = self.space.problem(ToolCall(call.tool, call.arguments))
        assert problem is None, problem
        number = len(self.calls)
        self.calls.append(" ".join([call.tool, *call.arguments.values()]))
        worked, why, text = getattr(self, f"_{call.tool}")(number, **call.arguments)
        for upset in (self.knocks.get(number), self.falls.get(number)):
            self.facts = {fact for fact in self.facts if fact[0] != upset}
        self.gone |= {self.falls[number]} if number in self.falls else set()
        return a_step(call, text, *self.lines(worked, why))

    def _pick(self, number, object):  # noqa: A002 - the tool's argument
        if self.cup is not None:
            return False, f"The cup holds the {self.cup}; place it first.", "Acknowledged."
        refused = self._refused(number, object)
        if refused or number in self.fails:
            return False, refused or "The cup holds nothing: the seal did not hold.", "Acknowledged."
        self.cup = object
        self.facts = {fact for fact in self.facts if fact[0] != object}
        return True, None, "Acknowledged."

    def _place(self, number, target, relation):
        if number in self.why or number in self.keeps:
            return False, self.why.get(number, "Target: there is no room."), "Acknowledged."
        held, self.cup = self.cup, None
        if held is None:
            return False, "The cup held nothing.", "Acknowledged."
        if number in self.fails:
            where = "has fallen off the table" if number in self.falls else f"is on the {self.on_top}"
            return False, f"It came out otherwise: The {held} {where}.", "Acknowledged."
        self.facts.add((held, relation, target))
        return True, None, "Acknowledged."

    def _look(self, number, place):
        self.hidden = {name: where for name, where in self.hidden.items() if where != place}
        seen = [f"The {name} is on the table." for name in self.things if name not in self.hidden]
        return True, None, "\n".join(seen) or "Nothing is in view."

    def _done(self, number):
        return None, None, "Acknowledged."

    def _refused(self, number, name):
        if name in self.hidden:
            return f"The {name} is not in view; look around."
        if name in self.gone:
            return f"The {name} has fallen off the table."
        upon = next((a for a, relation, b in sorted(self.facts) if b == name and relation == "on"), None)
        return self.why.get(number) or (upon and f"The {upon} lies on the {name}; move that first.")

    def lines(self, worked, why):
        seen = [n for n in self.things if n not in {self.cup, *self.gone, *self.hidden}]
        held = sorted(self.facts & self.parts)
        said = [
            ("object", f"In view: {', '.join(seen) or 'nothing'}."),
            *([("object", f"In the cup: {self.cup}.")] if self.cup else []),
            ("scene", f"{len(held)} of {len(self.parts)} parts of the goal hold."),
            *(("scene", f"The {a} is {r} the {b}.") for a, r, b in held),
            *([] if worked is None else [("success", f"The last skill {'worked' if worked else 'failed'}.")]),
            *([] if why is None else [("error", why)]),
        ]
        return tuple(Feedback(channel, text, shown=channel in self.shown) for channel, text in said)


def a_step(call, text, *feedback):
    return Step(
        turn=0,
        call_id="call_0_0",
        tool=call.tool,
        arguments=to_json(call.arguments),
        raw=None,
        observation=ObservationRecord(text),
        reward=0.0,
        terminated=False,
        truncated=False,
        success=False,
        feedback=feedback,
        state_digest=None,
        agent_s=0.0,
        env_s=0.0,
    )
