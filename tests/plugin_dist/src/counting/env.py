"""Guess a number; each wrong guess is answered with higher or lower."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trajgen import Acted, ToolCall, ToolEnv, tool

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trajgen.types import Channel, Json, Line

_MOST = 100


class GuessEnv(ToolEnv):
    """Find a number between 1 and 100."""

    tools = (tool("guess", "Guess the number.", n={"type": "integer", "minimum": 1, "maximum": _MOST}),)
    oracle_steps = 1

    def begin(self, options: Any) -> str:
        """Draw the number."""
        self._secret = int(self.np_random.integers(1, _MOST, endpoint=True))
        self._guess = 0
        return f"I think of a number from 1 to {_MOST}. Guess it."

    def act(self, call: ToolCall) -> Acted:
        """Compare."""
        self._guess = int(call.arguments["n"])
        if self.solved():
            return Acted("Right!", reward=1.0, terminated=True)
        return Acted("Higher." if self._guess < self._secret else "Lower.")

    def solved(self) -> bool:
        """Hold once the number was guessed."""
        return self._guess == self._secret

    def state(self) -> Json:
        """Return both numbers."""
        return [self._secret, self._guess]

    def describe(self, channel: Channel) -> str | Sequence[Line] | None:
        """Add how near the last guess came."""
        if channel == "scene" and self._guess:
            return f"The last guess was {self._guess}."
        return super().describe(channel)

    def oracle(self) -> Iterator[ToolCall]:
        """Know it."""
        yield ToolCall("guess", {"n": self._secret})
