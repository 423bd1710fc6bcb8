"""What is told beside an observation: every channel is asked after each step, all of it is recorded, the job says what is shown.

Channels and their meaning are Inner Monologue's (arXiv 2207.05608, section 3.2). The passive ones speak without being
asked: `success`, `object`, `scene`; to these `progress` (reward so far) and `error` (why a call failed) are added. The
active ones, `human` and `simulation`, answer a tool that asked, once; what was asked for is always shown. Knows no
environment by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from trajgen.strict import shown as quoted
from trajgen.types import ACTIVE_CHANNELS, ENGINE, PASSIVE_CHANNELS, Feedback, Line

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from trajgen.protocols import FeedbackSource
    from trajgen.types import Channel


class Said(NamedTuple):
    """One sentence before it is decided whether the agent sees it."""

    channel: Channel
    text: str
    source: str


def describe(source: FeedbackSource | None, reward_so_far: float) -> list[Said]:
    """Ask an environment for every channel; `progress` falls back to the reward. Runs on its thread.

    Raises:
        TypeError, ValueError: as `asked`.
    """
    said = []
    for channel in (*PASSIVE_CHANNELS, *ACTIVE_CHANNELS):
        found = [] if source is None else asked(source, channel)
        if not found and channel == "progress":
            found = [Said(channel, f"reward so far: {reward_so_far:.6g}", ENGINE)]
        said += found
    return said


def asked(source: FeedbackSource, channel: Channel) -> list[Said]:
    """Return what an environment says on one channel, whichever way it says it.

    Raises:
        TypeError: it is neither text, nor lines, nor None.
        ValueError: a line claims to be the engine's own, which are always shown.
    """
    described = source.describe(channel)
    if described is None:
        return []
    if isinstance(described, str):
        return [Said(channel, described, "env")]
    return list(_each(described, channel))


def _each(described: object, channel: Channel) -> Iterator[Said]:
    where = f"describe({channel!r})"
    if not isinstance(described, Sequence) or isinstance(described, bytes | bytearray):
        raise TypeError(f"{where}: expected text, a sequence of Line, or None, found {quoted(described)}")
    for i, line in enumerate(described):
        if not (isinstance(line, Line) and isinstance(line.text, str) and isinstance(line.source, str)):
            raise TypeError(f"{where}[{i}]: expected Line(text, source), both text, found {quoted(line)}")
        if line.source == ENGINE:
            raise ValueError(
                f"{where}[{i}]: the source {ENGINE!r} marks the engine's own lines, which are always shown; "
                "name the predicate it came from, or leave `source` away"
            )
        yield Said(channel, line.text, line.source)


def refused(source: FeedbackSource | None, reward_so_far: float, problem: str) -> list[Said]:
    """Say what there is to say after a call that never reached the environment.

    The environment would speak of the call before: so `success` and `error` are the engine's, and no answer is repeated.
    """
    of_the_call = {"success", "error", *ACTIVE_CHANNELS}
    kept = [s for s in describe(source, reward_so_far) if s.channel not in of_the_call]
    return [Said("success", "The last call failed.", ENGINE), *kept, Said("error", problem, ENGINE)]


def lines(said: list[Said], shown: Collection[Channel]) -> tuple[Feedback, ...]:
    """Decide what the agent sees: the job's channels, and always an answer it asked for and the engine's own errors."""
    return tuple(Feedback(s.channel, s.text, s.channel in shown or _always(s), s.source) for s in said)


def _always(said: Said) -> bool:
    return said.channel in ACTIVE_CHANNELS or (said.source == ENGINE and said.channel == "error")
