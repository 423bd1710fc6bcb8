"""A language model that is told of its tools in words and answers in words: for any server, with or without tool calls.

What the styles share: the prompt is a file, one message of the world's follows each reply, and the reply is read by a
room of `trajgen.replies`. What differs is the prompt, how feedback reads, and the reader; see `react` and `monologue`.
The messages the model saw are kept by the recording backend; `trajgen.messages` gives the same episode as native calls.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar

import msgspec
from msgspec import Meta, Struct

from trajgen.chat import Message
from trajgen.context import fitted
from trajgen.prompting import PromptFiles, filled, tool_lines
from trajgen.replies.formats import reader
from trajgen.types import Json, Turn
from trajgen.words import call_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trajgen.chat import Reply
    from trajgen.protocols import Aids, Backend, Opening
    from trajgen.types import Feedback, Need, Step, Tool, ToolCall

_SEEDS = 2**31  # servers take seeds of 31 bits


class TextConfig(Struct, frozen=True):
    """Keys of the agents that speak in text.

    Attributes:
        prompt: Instead of the one in the agent's `prompts` folder; `$tools` and `$example` are filled in.
        sampling: Keys that win over the backend's own, e.g. `{temperature = 0}`.
        context_chars: A longer conversation loses its oldest turns, see `trajgen.context`; about 4 make a token.
    """

    prompt: str | None = None
    sampling: dict[str, Json] | None = None
    context_chars: Annotated[int, Meta(ge=1)] | None = None


class TextAgent(ABC):
    """One exchange with the model a turn; subclasses say how things are put.

    Attributes:
        reads: Name of the reader of its replies, of `trajgen.replies.formats`.
        stops: Where the model is asked to stop, lest it write the world's lines itself.
    """

    version: ClassVar[str] = "1"
    needs: ClassVar[frozenset[Need]] = frozenset()
    config: ClassVar[type[Struct]] = TextConfig
    backends: ClassVar[tuple[str, ...]] = ("backend",)
    prompts: ClassVar[PromptFiles | tuple[str, ...]]
    reads: ClassVar[str]
    stops: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: TextConfig, backends: Mapping[str, Backend], aids: Aids) -> None:
        """Keep the model."""
        self._config, self._backend = config, backends["backend"]
        self._read = reader(self.reads)
        self._steps: list[Step] = []  # what the last turn's calls brought
        self._said: str | None = None

    @property
    def system_prompt(self) -> str | None:
        """The prompt as the model sees it."""
        return self._prompt

    def reset(self, opening: Opening) -> None:
        """Write the first two messages."""
        template = self.prompts[0] if self._config.prompt is None else self._config.prompt
        example = call_words(*_example(opening.tools))
        self._prompt = filled(template, {"tools": tool_lines(opening.tools), "example": example})
        self._tools, self._rng = tuple(opening.tools), opening.rng
        told = self.opened(opening.observation.text, opening.feedback)
        if opening.memory:
            told = f"You tried this task before. What you learnt: {opening.memory}\n\n{told}"
        self._messages = [Message("system", self._prompt), Message("user", told)]

    async def act(self) -> Turn:
        """Ask the model for its next reply."""
        self._write_down()
        sampling = {"stop": list(self.stops)} if self.stops else {}
        reply = await self._backend.generate(
            fitted(self._messages, self._config.context_chars),
            (),
            seed=int(self._rng.integers(_SEEDS)),  # the n-th call has the n-th draw
            sampling=sampling | (self._config.sampling or {}),
        )
        turn = self.read(reply)
        self._said = self.kept(reply.text or "")
        return turn

    def observe(self, step: Step, *, legal: Sequence[ToolCall] | None) -> None:
        """Keep what a call brought until the turn is over."""
        self._steps.append(step)

    def _write_down(self) -> None:
        """Add the last reply and what it brought, and the calls that others made since."""
        for _, group in itertools.groupby(self._steps, key=lambda step: step.turn):
            steps = list(group)
            said = "\n".join(map(self.wrote, steps)) if self._said is None else self._said
            self._messages += [Message("assistant", said), Message("user", self.told(steps))]
            self._said = None
        self._steps = []

    # ---- what a style may change

    def read(self, reply: Reply) -> Turn:
        """Return a reply as a turn."""
        return self._read(reply, self._tools)

    def kept(self, text: str) -> str:
        """Return what of a reply goes into the conversation: all before the first of `stops`."""
        for mark in self.stops:
            text = text.partition(mark)[0]
        return text.strip()

    @abstractmethod
    def wrote(self, step: Step) -> str:
        """Put another's call as the model would have."""

    @abstractmethod
    def opened(self, text: str, feedback: Sequence[Feedback]) -> str:
        """Put the first observation."""

    @abstractmethod
    def told(self, steps: Sequence[Step]) -> str:
        """Put what the last reply brought."""


def _example(tools: Sequence[Tool]) -> tuple[str, str]:
    """Return a call of the first tool that takes something: the model sees how one is written, not what to do."""
    for tool in tools:
        properties = tool.parameters.get("properties")
        if isinstance(properties, dict) and properties:
            return tool.name, msgspec.json.encode(
                {name: _value(schema) for name, schema in properties.items()}
            ).decode()
    return tools[0].name, "{}"


_VALUES: Mapping[str, Json] = {"integer": 1, "number": 0.5, "boolean": True, "array": [], "object": {}}


def _value(schema: Json) -> Json:
    if not isinstance(schema, dict):
        return "..."
    if choices := schema.get("enum"):
        return choices[0]
    return schema.get("const", _VALUES.get(str(schema.get("type")), "..."))
