"""A language model that calls tools: natively, or in its text where the server does not read it.

Its messages are `trajgen.messages`', so that a stored episode reads back as exactly what the model saw: a call that was
written into the text goes back as a call. Knows no server: it is handed a backend that keeps the record.

The lesson of an earlier trial (Reflexion, arXiv 2303.11366) goes to the end of the system prompt, which the record
keeps as `system_prompt`; where the environment already tells it as feedback, it is not told twice.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Annotated, ClassVar

from msgspec import Meta, Struct

from trajgen.context import fitted
from trajgen.messages import SYSTEM_PROMPT, PlacedCall, Transcript, default_system_prompt
from trajgen.replies.formats import reader
from trajgen.types import Json, Turn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trajgen.chat import Message
    from trajgen.protocols import Aids, Backend, Opening
    from trajgen.types import Need, Step, ToolCall

LESSON = "\n\nYou tried this task before. What you learnt:\n"
_SEEDS = 2**31  # servers take seeds of 31 bits


class LlmConfig(Struct, frozen=True):
    """Keys of the agent.

    Attributes:
        system_prompt: Instead of the default one.
        format: How calls are written, see `trajgen.replies.formats`; `auto` takes native calls, else looks for the marks
            of each format in the text, for servers that do not read them themselves.
        sampling: Keys that win over the backend's own, e.g. `{temperature = 0}`.
        context_chars: A longer conversation loses its oldest turns, see `trajgen.context`; about 4 make a token.
    """

    system_prompt: str | None = None
    format: str = "auto"
    sampling: dict[str, Json] | None = None
    context_chars: Annotated[int, Meta(ge=1)] | None = None

    def __post_init__(self) -> None:
        """Refuse a format that is none."""
        reader(self.format)


class LlmAgent:
    """One exchange with the model a turn."""

    version: ClassVar[str] = "2"
    needs: ClassVar[frozenset[Need]] = frozenset()
    config: ClassVar[type[Struct]] = LlmConfig
    backends: ClassVar[tuple[str, ...]] = ("backend",)
    prompts: ClassVar[tuple[str, ...]] = (SYSTEM_PROMPT, LESSON)

    def __init__(self, config: LlmConfig, backends: Mapping[str, Backend], aids: Aids) -> None:
        """Keep the model."""
        self._config = config
        self._backend = backends["backend"]
        self._read = reader(config.format)
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
            self._asked(),
            self._tools,
            seed=int(self._rng.integers(_SEEDS)),  # the n-th call has the n-th draw
            sampling=self._config.sampling,
        )
        self._last = self._read(reply, self._tools)
        return self._last

    def observe(self, step: Step, *, legal: Sequence[ToolCall] | None) -> None:
        """Keep what a call brought until the turn is over."""
        self._steps.append(step)

    def _asked(self) -> list[Message]:
        """Return what the model is to reply to."""
        return fitted(self._transcript.messages, self._config.context_chars)

    def _write_down(self) -> None:
        """Add the last turn, and those of others since, to the transcript, as `messages.episode_messages` will from the record."""
        own = self._last or Turn()
        for _, group in itertools.groupby(self._steps, key=lambda step: step.turn):
            steps = list(group)
            self._transcript.turn(own.text, own.reasoning, [PlacedCall(s.call_id, s.tool, s.arguments) for s in steps])
            for step in steps:
                self._transcript.step(step)
            own = Turn()  # what follows before the next reply was done by another, who says nothing
        self._last, self._steps = None, []
