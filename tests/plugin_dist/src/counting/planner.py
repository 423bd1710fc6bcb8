"""Halve the range, from the words `Higher` and `Lower` alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trajgen.types import Call, Turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.random import Generator

    from trajgen.types import Feedback, Step, Tool


class HalvingPlanner:
    """See `trajgen.protocols.PlannerStrategy`."""

    def start(self, goal: str, tools: Sequence[Tool], feedback: Sequence[Feedback], rng: Generator) -> None:
        """Begin with the whole range."""
        self._low, self._high, self._guess, self._done = 1, 100, 0, False

    def next(self) -> Turn:
        """Guess the middle."""
        if self._done:
            return Turn(stop=True)
        self._guess = (self._low + self._high) // 2
        return Turn(text=f"It is in {self._low}..{self._high}.", calls=(Call("guess", {"n": self._guess}),))

    def saw(self, step: Step) -> None:
        """Narrow the range."""
        said = step.observation.text
        if said == "Higher.":
            self._low = self._guess + 1
        elif said == "Lower.":
            self._high = self._guess - 1
        else:
            self._done = True
