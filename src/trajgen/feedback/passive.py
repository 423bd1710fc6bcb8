"""The passive channels: what is said after a step without being asked. Recorded on every step, shown as the job says.

Channels and their meaning are Inner Monologue's (arXiv 2207.05608, section 3.2): `success`, `object`, `scene`; to
these `progress` (reward so far) and `error` (why a call failed) are added. Knows no environment by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from trajgen.types import ENGINE, PASSIVE_CHANNELS, Feedback

if TYPE_CHECKING:
    from collections.abc import Collection

    from trajgen.protocols import FeedbackSource
    from trajgen.types import Channel


class Said(NamedTuple):
    """One sentence before it is decided whether the agent sees it."""

    channel: Channel
    text: str
    source: str


def describe(source: FeedbackSource | None, reward_so_far: float) -> list[Said]:
    """Ask an environment for every channel; `progress` falls back to the reward. Runs on its thread."""
    said = []
    for channel in PASSIVE_CHANNELS:
        text = None if source is None else source.describe(channel)
        if text is not None:
            if not isinstance(text, str):
                raise TypeError(f"describe({channel!r}): expected text or None, found {type(text).__name__}")
            said.append(Said(channel, text, "env"))
        elif channel == "progress":
            said.append(Said(channel, f"reward so far: {reward_so_far:.6g}", ENGINE))
    return said


def refused(source: FeedbackSource | None, reward_so_far: float, problem: str) -> list[Said]:
    """Say what there is to say after a call that never reached the environment.

    The environment would speak of the call before, so `success` and `error` are the engine's.
    """
    kept = [s for s in describe(source, reward_so_far) if s.channel not in {"success", "error"}]
    return [Said("success", "The last call failed.", ENGINE), *kept, Said("error", problem, ENGINE)]


def lines(said: list[Said], shown: Collection[Channel]) -> tuple[Feedback, ...]:
    """Decide what the agent sees: the job's channels, and the engine's own errors always."""
    return tuple(
        Feedback(s.channel, s.text, s.channel in shown or (s.source == ENGINE and s.channel == "error"), s.source)
        for s in said
    )
