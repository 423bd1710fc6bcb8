"""ReAct (Yao et al. 2022, arXiv 2210.03629): a thought, an action, an observation, and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from trajgen.prompting import PromptFiles
from trajgen.words import call_words
from trajgen_agents.llm.text import TextAgent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trajgen.types import Feedback, Step


class ReactAgent(TextAgent):
    """Thinks and acts in turns; reads `Thought:` and `Action:`."""

    prompts = PromptFiles("react.md")
    reads: ClassVar[str] = "react"
    stops: ClassVar[tuple[str, ...]] = ("\nObservation:",)

    def wrote(self, step: Step) -> str:
        """Put another's call as the model would have."""
        return f"Action: {call_words(step.tool, step.arguments)}"

    def opened(self, text: str, feedback: Sequence[Feedback]) -> str:
        """Put the first observation, which states the goal."""
        return "\n".join([text, *map(_line, feedback)])

    def told(self, steps: Sequence[Step]) -> str:
        """Put what the action brought."""
        lines = [line for step in steps for line in (step.observation.text, *map(_line, step.feedback)) if line]
        return "Observation: " + ("\n".join(lines) or "nothing to be seen")


def _line(feedback: Feedback) -> str:
    return f"[{feedback.channel}] {feedback.text}"
