"""A person at the keyboard, recorded like any agent: what a model would be told is printed, what is typed is read as its
reply. Used by `trajgen play`; one person plays one episode at a time, so a job that uses it has `concurrency = 1`.

A line is a call, as `pick("red block")`, `pick red block` or, in a game with one tool that takes a text, just the text. What
stands before `>>` is kept as the thought. `:tools`, `:legal` and `:quit` are for the person and no part of the episode.
Writes to stderr, reads stdin; the end of the input stops the episode.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, ClassVar

import msgspec
from msgspec import Struct

from trajgen.chat import Reply
from trajgen.prompting import tool_lines
from trajgen.replies import command
from trajgen.types import Turn, as_written
from trajgen.words import call_words, inert

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from trajgen.protocols import Aids, Backend, Opening
    from trajgen.types import Feedback, Need, Step, ToolCall

_THOUGHT = ">>"


class HumanConfig(Struct, frozen=True):
    """It has no keys."""


class HumanAgent:
    """One line of a person's a turn."""

    version: ClassVar[str] = "1"
    needs: ClassVar[frozenset[Need]] = frozenset({"legal"})
    config: ClassVar[type[Struct]] = HumanConfig
    backends: ClassVar[tuple[str, ...]] = ()
    prompts: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: HumanConfig, backends: Mapping[str, Backend], aids: Aids) -> None:
        """Need nothing."""

    def reset(self, opening: Opening) -> None:
        """Say what is asked, and what can be done."""
        self._tools, self._legal = tuple(opening.tools), opening.legal
        _say(opening.observation.text, *_lines(opening.feedback), "", *tool_lines(self._tools).splitlines())
        _say("", ":tools shows these again, :legal what can be called now, :quit ends; THOUGHT >> CALL keeps a thought")
        if opening.memory:
            _say(f"From the trial before: {opening.memory}")

    async def act(self) -> Turn:
        """Read a line; those for the person alone are answered at once."""
        while True:
            line = await asyncio.to_thread(_read)
            if line is None or line.strip() == ":quit":
                return Turn(stop=True)
            if line.strip() == ":tools":
                _say(tool_lines(self._tools))
            elif line.strip() == ":legal":
                _say(*self._legal_lines())
            elif line.strip():
                return self._turn(line.strip())

    def observe(self, step: Step, *, legal: Sequence[ToolCall] | None) -> None:
        """Say what the call brought."""
        self._legal = legal
        _say(*filter(None, (step.observation.text, *_lines(step.feedback))))
        if step.terminated or step.truncated:
            _say("The episode is over.")

    def _turn(self, line: str) -> Turn:
        thought, mark, said = line.rpartition(_THOUGHT)
        turn = command.turn_of(Reply(said.strip() if mark else line, finish_reason="stop"), self._tools)
        return msgspec.structs.replace(turn, text=thought.strip() or None)

    def _legal_lines(self) -> list[str]:
        if self._legal is None:
            return ["this environment does not say what is legal"]
        return [call_words(call.tool, as_written(call.arguments)) for call in self._legal] or ["nothing"]


def _lines(feedback: Iterable[Feedback]) -> list[str]:
    return [f"[{f.channel}] {f.text}" for f in feedback]


def _say(*lines: str) -> None:
    sys.stderr.write("".join(f"{inert(line)}\n" for line in lines))
    sys.stderr.flush()


def _read() -> str | None:
    """Return a line without its end; None at the end of the input."""
    sys.stderr.write("> ")
    sys.stderr.flush()
    line = sys.stdin.readline()
    return line.rstrip("\n") if line else None
