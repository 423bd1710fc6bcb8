"""A language model that calls tools natively. Its messages are `trajgen.messages`', so that a stored episode reads back
as exactly what the model saw. Knows no server: it is handed a backend that keeps the record.

The lesson of an earlier trial (Reflexion, arXiv 2303.11366) goes to the end of the system prompt, which the record
keeps as `system_prompt`; where the environment already tells it as feedback, it is not told twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from msgspec import Struct

from trajgen.messages import SYSTEM_PROMPT, PlacedCall, Transcript, default_system_prompt
from trajgen.replies.native import turn_of
from trajgen.types import Json, Turn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trajgen.protocols import Aids, Backend, Opening
    from trajgen.types import Need, Step, ToolCall

LESSON = "\n\nYou tried this task before. What you learnt:\n"
_SEEDS = 2**31  # servers take seeds of 31 bits


class LlmConfig(Struct, frozen=True):
    """Keys of the agent.

    Attributes:
        system_prompt: Instead of the default one.
        sampling: Keys that win over the backend's own, e.g. `{temperature = 0}`.
    """

    system_prompt: str | None = None
    sampling: dict[str, Json] | None = None


class LlmAgent:
    """One exchange with the model a turn."""

    version: ClassVar[str] = "1"
    needs: ClassVar[frozenset[Need]] = frozenset()
    config: ClassVar[type[Struct]] = LlmConfig
    backends: ClassVar[tuple[str, ...]] = ("backend",)
    prompts: ClassVar[tuple[str, ...]] = (SYSTEM_PROMPT, LESSON)

    def __init__(self, config: LlmConfig, backends: Mapping[str, Backend], aids: Aids) -> None:
        """Keep the model."""
        self._config = config
        self._backend = backends["backend"]
        self._prompt = config.system_prompt
        self._last: Turn | None = None
        self._steps: list[Step] = []  # what the last turn's calls brought

    @property
    def system_prompt(self) -> str | None:
        """The prompt as the model sees it; None for the default one."""
        return self._prompt

    def reset(self, opening: Opening) -> None:
        """Write the first two messages."""
        names = [t.name for t in opening.tools]
        if opening.memory and not any(f.channel == "reflection" for f in opening.feedback):
            base = default_system_prompt(names) if self._prompt is None else self._prompt
            self._prompt = base + LESSON + opening.memory
        self._tools, self._rng = tuple(opening.tools), opening.rng
        self._transcript = Transcript(self._prompt, names)
        self._transcript.open(opening.observation.text, opening.feedback)

    async def act(self) -> Turn:
        """Ask the model for its next reply."""
        self._write_down()
        reply = await self._backend.generate(
            self._transcript.messages,
            self._tools,
            seed=int(self._rng.integers(_SEEDS)),  # the n-th call has the n-th draw
            sampling=self._config.sampling,
        )
        self._last = turn_of(reply, self._tools)
        return self._last

    def observe(self, step: Step, *, legal: Sequence[ToolCall] | None) -> None:
        """Keep what a call brought until the turn is over."""
        self._steps.append(step)

    def _write_down(self) -> None:
        """Add the last turn to the transcript, as `messages.episode_messages` will from the record."""
        if self._last is None:
            return
        turn, steps = self._last, self._steps
        self._transcript.turn(turn.text, turn.reasoning, [PlacedCall(s.call_id, s.tool, s.arguments) for s in steps])
        for step in steps:
            self._transcript.step(step)
        self._last, self._steps = None, []
