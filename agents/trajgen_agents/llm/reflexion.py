"""Reflexion (Shinn et al. 2023, arXiv 2303.11366): after a failed trial the model says what to do differently, and the
next trial is told.

Plays as `llm` does. `trials = k` of the job makes k trials of a task; after a success the rest are not played. As in the
paper (section 4.2) only the last few lessons are kept, since they must fit into the prompt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from msgspec import Meta

from trajgen.context import fitted
from trajgen.messages import SYSTEM_PROMPT, with_postscript
from trajgen.prompting import PromptFiles, filled
from trajgen.replies.arguments import readable
from trajgen.words import ENDS
from trajgen_agents.llm.agent import LESSON, LlmAgent, LlmConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from msgspec import Struct

    from trajgen.protocols import Aids, Backend, Opening
    from trajgen.types import Outcome

_BULLET = "- "


class ReflexionConfig(LlmConfig, frozen=True, kw_only=True):
    """Keys of the agent, beside those of `llm`.

    Attributes:
        n_lessons: How many of the newest lessons are kept; the paper keeps 1 to 3.
        reflection: Instead of the prompt in `prompts/reflexion.md`; `$ending` is how the trial ended.
    """

    n_lessons: Annotated[int, Meta(ge=1, le=100)] = 3
    reflection: str | None = None


class ReflexionAgent(LlmAgent):
    """Plays, and learns between trials."""

    version: ClassVar[str] = "1"
    config: ClassVar[type[Struct]] = ReflexionConfig
    prompts = PromptFiles("reflexion.md", also=(SYSTEM_PROMPT, LESSON))

    def __init__(self, config: ReflexionConfig, backends: Mapping[str, Backend], aids: Aids) -> None:
        """Keep the model."""
        super().__init__(config, backends, aids)
        self._n_lessons, self._question = config.n_lessons, config.reflection
        self._lessons: list[str] = []

    def reset(self, opening: Opening) -> None:
        """Write the first two messages, with what was learnt."""
        super().reset(opening)
        self._lessons = (opening.memory or "").splitlines()

    async def reflect(self, outcome: Outcome) -> str | None:
        """Ask for a lesson; None where the model has none to give, so that the next trial keeps the old ones."""
        self._write_down()
        ending = ENDS[outcome.stop_reason]
        question = filled(self.prompts[0] if self._question is None else self._question, {"ending": ending})
        asked = with_postscript(fitted(self._transcript.messages, self._config.context_chars), question)
        reply = await self._backend.generate(asked, (), sampling=self._config.sampling)
        lesson = " ".join(readable(reply.text or "").split())
        if not lesson:
            return None
        return "\n".join([*self._lessons, _BULLET + lesson][-self._n_lessons :])
