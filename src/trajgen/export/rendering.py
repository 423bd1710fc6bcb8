"""The same episode under another choice of shown feedback, where that is honest. Knows no format and no agent by name.

A conversation teaches that each reply follows from what was told before it. So another choice is honest

- for an agent that reads no feedback (`reads_feedback = False` on its factory, as on `oracle` and `random`): its
  replies could not have used a line, so any choice is as true as the recorded one;
- for every other agent only where it changes no line. With a line that it acted on left out, or one that it never saw
  put in, its replies would no longer follow from what is shown; such an episode is left out and counted with the reason.

An agent that says nothing of it counts as one that reads, and so does one that is not installed here in the version
that played. Only passive channels are chosen: the engine's own errors, and answers to a tool that asked, stay as they
were.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from trajgen import registry
from trajgen.errors import ConfigError, UserError, nearest
from trajgen.strict import shown
from trajgen.types import ACTIVE_CHANNELS, ENGINE, PASSIVE_CHANNELS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from trajgen.types import AgentRecord, Episode, Feedback


def check_channels(names: Iterable[str]) -> None:
    """Accept passive channels.

    Raises:
        ConfigError: there is another name among them.
    """
    for name in names:
        if name not in PASSIVE_CHANNELS:
            told_anyway = "; answers to a tool that asked are always shown" if name in ACTIVE_CHANNELS else None
            raise ConfigError(
                f"feedback: expected channels of {', '.join(PASSIVE_CHANNELS)}, found {shown(name)}"
                f"{told_anyway or nearest(name, PASSIVE_CHANNELS)}"
            )


def rendered(episode: Episode, channels: Collection[str]) -> Episode:
    """Return the episode with the lines of exactly these passive channels marked as shown, whoever played it."""
    steps = tuple(replace(step, feedback=_chosen(step.feedback, channels)) for step in episode.steps)
    reset = replace(episode.reset, feedback=_chosen(episode.reset.feedback, channels))
    return replace(episode, reset=reset, steps=steps)


def _chosen(feedback: Iterable[Feedback], channels: Collection[str]) -> tuple[Feedback, ...]:
    return tuple(replace(f, shown=f.channel in channels) if _is_a_choice(f) else f for f in feedback)


def _is_a_choice(line: Feedback) -> bool:
    return line.channel in PASSIVE_CHANNELS and not (line.channel == "error" and line.source == ENGINE)


def dishonesty(episode: Episode, channels: Collection[str]) -> str | None:
    """Return why showing these channels would tell another story than the one that happened; None where it is honest."""
    told = (episode.reset.feedback, *(step.feedback for step in episode.steps))
    lines = [f for feedback in told for f in feedback if _is_a_choice(f)]
    removed = {f.channel for f in lines if f.shown and f.channel not in channels}
    added = {f.channel for f in lines if not f.shown and f.channel in channels}
    if not (removed or added):
        return None
    readers = [note for agent in episode.agents if (note := _reader(agent)) is not None]
    if not readers:
        return None
    faults = []
    if removed:
        faults.append(f"acted on {_named(removed)}, which --feedback leaves out")
    if added:
        faults.append(f"was not shown {_named(added)}, which --feedback adds")
    return f"the agent {' and '.join(faults)}{next(filter(None, readers), '')}"


def _named(channels: Collection[str]) -> str:
    return " ".join(f"[{channel}]" for channel in PASSIVE_CHANNELS if channel in channels)


def _reader(agent: AgentRecord) -> str | None:
    """Return None for an agent that reads no feedback; else what else there is to say of it, mostly nothing."""
    try:
        factory = registry.agent(agent.name)
    except UserError:  # not installed, or no longer importable
        factory = None
    if factory is None or factory.version != agent.version:
        played = f"{agent.name} of version {agent.version}"
        return f" ({played} is not installed here, so it counts as an agent that reads feedback)"
    # a stranger's agent need not have it; anything but a plain False is no promise
    return None if getattr(factory, "reads_feedback", True) is False else ""
