"""The only map from an episode to chat messages. The `llm` agent and every exporter go through it.

So oracle and planner data reads exactly like what a model would have seen. The layout:

    system      the agent's prompt, or `default_system_prompt` where it has none
    user        the first observation and its shown feedback
    assistant   the thought and all calls of one turn
    tool        one per call: the observation, then `[channel] text` lines; or `not executed: why`
    user        instead of a tool message, where a reply called nothing: the correction

Pure text in, pure text out; knows no model, no wire format and no file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from trajgen.chat import FunctionCall, Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from trajgen.types import Episode, Feedback, Step, Tool, TurnRecord, UnexecutedCall

SYSTEM_PROMPT = """\
You act in an environment by calling tools. The first message states the goal.
Say in a sentence what you think, then call a tool. Every reply must call at least one tool.
After each call you are told its result. Lines that begin with a word in brackets are feedback:
[success] did the last call work, [object] what is there, [scene] how far along you are, \
[progress] reward so far, [error] why a call failed.
Use the feedback: when a call failed, find out why and try another way."""

NAMELESS = "invalid_call"  # stands for a tool name that a model left out, since servers refuse a null in a history


def default_system_prompt(tool_names: Sequence[str]) -> str:
    """Return the prompt of an episode that has none of its own."""
    return f"{SYSTEM_PROMPT}\nYour tools: {', '.join(tool_names)}."


def call_id(turn: int, index: int) -> str:
    """Return the id of a turn's call; a function of its place alone, so that equal episodes have equal ids."""
    return f"call_{turn}_{index}"


class PlacedCall(NamedTuple):
    """A call with its id. `call_id` is empty for a reply that called nothing."""

    call_id: str
    tool: str | None
    arguments: str


class Transcript:
    """Messages of one role, built while an episode goes on or from its record; both ways give the same.

    Args:
        system_prompt: None for the default one.
        tool_names: What the role may call, for the default prompt.
        shows: Which feedback lines are told; by default those the agent saw.
    """

    def __init__(
        self, system_prompt: str | None, tool_names: Sequence[str], shows: Callable[[Feedback], bool] | None = None
    ) -> None:
        self._shows = shows or _was_shown
        prompt = default_system_prompt(tool_names) if system_prompt is None else system_prompt
        self.messages = [Message("system", prompt)]

    def open(self, text: str, feedback: Iterable[Feedback]) -> None:
        """Add the first observation."""
        self.messages.append(Message("user", self._told(text, feedback)))

    def turn(self, text: str | None, reasoning: str | None, calls: Sequence[PlacedCall]) -> None:
        """Add one reply with all its calls."""
        emitted = tuple(FunctionCall(c.call_id, c.tool or NAMELESS, c.arguments) for c in calls if c.call_id)
        self.messages.append(Message("assistant", text or "", reasoning_content=reasoning, tool_calls=emitted))

    def step(self, step: Step) -> None:
        """Add what one executed call brought; a correction where the reply had none."""
        told = self._told(step.observation.text, step.feedback)
        if step.call_id:
            self.messages.append(Message("tool", told, tool_call_id=step.call_id, name=step.tool or NAMELESS))
        else:
            self.messages.append(Message("user", told))

    def not_executed(self, call: UnexecutedCall) -> None:
        """Add the answer to a call that was never executed."""
        if not call.call_id:
            return  # a reply that called nothing has nothing to be answered
        told = f"not executed: {call.why}"
        self.messages.append(Message("tool", told, tool_call_id=call.call_id, name=call.tool or NAMELESS))

    def _told(self, text: str, feedback: Iterable[Feedback]) -> str:
        lines = [f"[{f.channel}] {f.text}" for f in feedback if self._shows(f)]
        return "\n".join([text, *lines] if text else lines)


def _was_shown(line: Feedback) -> bool:
    return line.shown


def episode_messages(
    episode: Episode, *, role: str | None = None, shows: Callable[[Feedback], bool] | None = None
) -> list[Message]:
    """Return the chat of one episode as `role` would have seen it.

    Args:
        role: None for the first (usually the only) role.
        shows: Which feedback lines are told; by default those the agent saw.
    """
    played = next(a for a in episode.agents if role in {None, a.role})
    names = [t.name for t in episode.tools if t.role == played.role]
    transcript = Transcript(played.system_prompt, names, shows)
    transcript.open(episode.reset.observation.text, episode.reset.feedback)
    steps = iter(episode.steps)
    step = next(steps, None)
    for turn in episode.turns:
        mine: list[Step] = []
        while step is not None and step.turn == turn.turn:
            mine.append(step)
            step = next(steps, None)
        if turn.role == played.role:
            _add_turn(transcript, turn, mine)
    return transcript.messages


def _add_turn(transcript: Transcript, turn: TurnRecord, steps: Sequence[Step]) -> None:
    if not (turn.text or turn.reasoning or steps or turn.unexecuted):
        return  # a turn that only stopped said nothing
    calls = [PlacedCall(s.call_id, s.tool, s.arguments) for s in steps]
    calls += [PlacedCall(u.call_id, u.tool, u.arguments) for u in turn.unexecuted]
    transcript.turn(turn.text, turn.reasoning, calls)
    for step in steps:
        transcript.step(step)
    for call in turn.unexecuted:
        transcript.not_executed(call)


def with_postscript(messages: Sequence[Message], text: str) -> list[Message]:
    """Return a chat whose last message says something more.

    Not a message of its own: many chat templates refuse two of one side in a row, and a user's after a tool's.
    """
    *before, last = messages
    return [*before, msgspec.structs.replace(last, content=f"{last.content}\n\n{text}".lstrip())]


def tool_schema(tool: Tool) -> dict[str, object]:
    """Return a tool as chat APIs and trainers want it: `{"type": "function", "function": {...}}`."""
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}
