"""Plans, carries the plan out, and plans anew when the world says that something failed or the plan is used up.

Plan-and-act as in Plan-and-Solve (Wang et al. 2023, arXiv 2305.04091), closed over feedback as in Inner Monologue (Huang et
al. 2022, arXiv 2207.05608). The newest plan stands at the end of every request and is kept in `Turn.plan` of the turn that it was
made in; the conversation itself is `llm`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import msgspec

from trajgen.context import fitted
from trajgen.messages import SYSTEM_PROMPT, with_postscript
from trajgen.prompting import PromptFiles
from trajgen.replies.arguments import readable
from trajgen_agents.llm.agent import LESSON, LlmAgent, LlmConfig

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from msgspec import Struct

    from trajgen.chat import Message
    from trajgen.protocols import Aids, Backend
    from trajgen.types import Step, ToolCall, Turn

REMINDER = "Your plan:\n"


class PlanExecuteConfig(LlmConfig, frozen=True, kw_only=True):
    """Keys of the agent, beside those of `llm`.

    Attributes:
        planning: Instead of the prompt in `prompts/plan.md`.
    """

    planning: str | None = None


class PlanExecuteAgent(LlmAgent):
    """Asks for a plan, then for its steps."""

    version: ClassVar[str] = "1"
    config: ClassVar[type[Struct]] = PlanExecuteConfig
    prompts = PromptFiles("plan.md", also=(SYSTEM_PROMPT, LESSON, REMINDER))

    def __init__(self, config: PlanExecuteConfig, backends: Mapping[str, Backend], aids: Aids) -> None:
        """Keep the model."""
        super().__init__(config, backends, aids)
        self._question = config.planning
        self._plan = ""
        self._n_left = 0  # steps of the plan that were not tried; 0 asks for a new one

    async def act(self) -> Turn:
        """Plan where there is no plan that holds, then ask for the next reply."""
        made = await self._plan_anew() if self._n_left <= 0 else None
        turn = await super().act()
        self._n_left -= max(1, len(turn.calls))
        return turn if made is None else msgspec.structs.replace(turn, plan=made)

    def observe(self, step: Step, *, legal: Sequence[ToolCall] | None) -> None:
        """Give the plan up where a call failed."""
        super().observe(step, legal=legal)
        if any(line.channel == "error" for line in step.feedback):
            self._n_left = 0

    def _asked(self) -> list[Message]:
        asked = super()._asked()
        return with_postscript(asked, REMINDER + self._plan) if self._plan else asked

    async def _plan_anew(self) -> str:
        self._write_down()
        question = self.prompts[0] if self._question is None else self._question
        asked = with_postscript(fitted(self._transcript.messages, self._config.context_chars), question)
        reply = await self._backend.generate(asked, (), sampling=self._config.sampling)
        self._plan = readable(reply.text or "").strip()
        self._n_left = max(1, sum(bool(line.strip()) for line in self._plan.splitlines()))
        return self._plan
