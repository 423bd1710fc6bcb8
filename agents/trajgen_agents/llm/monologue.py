"""Inner Monologue (Huang et al. 2022, arXiv 2207.05608): a running script of Human, Scene, Success and Robot lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import msgspec

from trajgen.prompting import PromptFiles
from trajgen.words import call_words
from trajgen_agents.llm.text import TextAgent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trajgen.chat import Reply
    from trajgen.types import Channel, Feedback, Step, Turn

# whose line each channel is, in the paper's words; what it calls object and scene description is one speaker
SPEAKERS: Mapping[Channel, str] = {
    "success": "Success",
    "object": "Scene",
    "scene": "Scene",
    "progress": "Progress",
    "error": "Error",
    "human": "Human",
    "simulation": "Simulation",
    "reflection": "Lesson",
}
_ACTION = ("robot action:", "robot:")
_THOUGHT = "robot thought:"


class InnerMonologueAgent(TextAgent):
    """Writes the robot's lines of the script."""

    prompts = PromptFiles("inner_monologue.md")
    reads: ClassVar[str] = "command"
    stops: ClassVar[tuple[str, ...]] = ("\nSuccess:", "\nScene:", "\nHuman:", "\nError:")

    def wrote(self, step: Step) -> str:
        """Put another's call as the model would have."""
        return f"Robot action: {call_words(step.tool, step.arguments)}"

    def opened(self, text: str, feedback: Sequence[Feedback]) -> str:
        """Put the instruction."""
        return "\n".join([f"Human: {text}", *map(_line, feedback)])

    def told(self, steps: Sequence[Step]) -> str:
        """Put what the action brought."""
        lines: list[str] = []
        for step in steps:
            if step.observation.text:
                lines.append(f"Scene: {step.observation.text}")
            lines += map(_line, step.feedback)
        return "\n".join(lines) or "Scene: nothing new"

    def read(self, reply: Reply) -> Turn:
        """Return the robot's action, and what it thought before."""
        thought, action = _split(self.kept(reply.text or ""))
        turn = super().read(msgspec.structs.replace(reply, text=action or None))
        return msgspec.structs.replace(turn, text=thought or turn.text)


def _split(text: str) -> tuple[str, str]:
    """Return what is thought, and the first action; a reply without the robot's marks is an action."""
    thoughts: list[str] = []
    for line in text.splitlines():
        said = line.strip()
        mark = next((m for m in _ACTION if said.lower().startswith(m)), None)
        if mark is not None:
            return " ".join(thoughts), said[len(mark) :].strip()
        thoughts.append(said[len(_THOUGHT) :].strip() if said.lower().startswith(_THOUGHT) else said)
    return "", text


def _line(feedback: Feedback) -> str:
    return f"{SPEAKERS[feedback.channel]}: {feedback.text}"
