"""Re-executes a stored episode and compares. Trusts nothing of the row but the task and the calls.

A replay takes the path the episode took: the same `EnvSession`, fed with the stored calls. Compared at every step:
observation, reward, ends, success, feedback and the state digest, all to the bit.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from trajgen.errors import EnvFault
from trajgen.session import EnvSession
from trajgen.strict import shown
from trajgen.types import ENGINE, ObservationRecord, ToolCall, as_written, stored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trajgen.session import Begun, Landing
    from trajgen.types import Episode, Feedback, Step

Status = Literal["replays", "diverges", "not_replayable", "failed"]


class Divergence(NamedTuple):
    """The first difference. `step` is -1 for the reset; `expected` is what is stored."""

    step: int
    field: str
    expected: str
    found: str


class Verdict(NamedTuple):
    """What a replay came to.

    Attributes:
        status: `replays`; `diverges`; `not_replayable`: the environment makes no promise; `failed`: the row is of an
            episode that failed, whose steps up to the failure replay.
        n_steps: Steps that were compared and equal.
        why: For `not_replayable`: who says so.
    """

    episode_id: str
    status: Status
    n_steps: int
    divergence: Divergence | None = None
    why: str | None = None


def verify(episode: Episode) -> Verdict:
    """Rebuild the task, execute the stored calls again and compare step by step.

    Raises:
        UserError: the environment is not installed here, or does not take the stored options.
    """
    task = episode.task
    try:
        session = EnvSession(task.env_id, task.wrappers, msgspec.json.decode(task.make_options))
    except EnvFault as fault:
        return _unless_failed(episode, Divergence(-1, "making the environment", "it can be made", str(fault)))
    try:
        if not session.replayable:
            return Verdict(episode.episode_id, "not_replayable", 0, why=f"{task.env_id} says it is nondeterministic")
        return _replay(episode, session)
    finally:
        session.close()


def _replay(episode: Episode, session: EnvSession) -> Verdict:
    task = episode.task
    n_equal = 0
    try:
        begun = session.begin(task.seed, msgspec.json.decode(task.options), task.split)
        if episode.tools:  # a row that failed before its reset was over has none, and nothing to compare
            found = next(_reset_differences(episode, begun), None)
            if found is not None:
                return Verdict(episode.episode_id, "diverges", 0, found)
        for number, step in enumerate(episode.steps):
            call = ToolCall(step.tool, msgspec.json.decode(step.arguments))
            landing = session.execute(call, _refusal(step))
            for field, expected, seen in _step_differences(step, landing):
                return Verdict(episode.episode_id, "diverges", number, Divergence(number, field, expected, seen))
            n_equal += 1
    except EnvFault as fault:
        return _unless_failed(episode, Divergence(n_equal, "the environment", "it returns", str(fault)), n_equal)
    status: Status = "failed" if episode.failure else "replays"
    return Verdict(episode.episode_id, status, n_equal)


def _unless_failed(episode: Episode, divergence: Divergence, n_equal: int = 0) -> Verdict:
    """An environment that fails again where it failed before is no divergence."""
    if episode.failure is not None and n_equal >= len(episode.steps):
        return Verdict(episode.episode_id, "failed", n_equal)
    return Verdict(episode.episode_id, "diverges", n_equal, divergence)


def _refusal(step: Step) -> str | None:
    """Return why the engine refused the call, where it did: such a step never reached the environment."""
    return next((f.text for f in step.feedback if f.channel == "error" and f.source == ENGINE), None)


_Difference = tuple[str, str, str]


def _reset_differences(episode: Episode, begun: Begun) -> Iterator[Divergence]:
    reset, landing = episode.reset, begun.landing
    tools = [(t.name, t.description, as_written(t.parameters)) for t in begun.tools]
    pairs: list[_Difference] = [
        *_observation_differences(reset.observation, stored(landing.observation)),
        *_pair("tools", [(t.name, t.description, t.parameters) for t in episode.tools], tools),
        *_pair("goal", episode.task.goal, begun.goal),
        *_pair("feedback", _sentences(reset.feedback), [(s.channel, s.text) for s in landing.said]),
        *_pair("state_digest", reset.state_digest, landing.digest),
    ]
    for field, expected, found in pairs:
        yield Divergence(-1, field, expected, found)


def _step_differences(step: Step, landing: Landing) -> Iterator[_Difference]:
    yield from _observation_differences(step.observation, stored(landing.observation))
    yield from _pair("reward", _bits(step.reward), _bits(landing.reward))
    yield from _pair("terminated", step.terminated, landing.terminated)
    yield from _pair("truncated", step.truncated, landing.truncated)
    yield from _pair("success", step.success, landing.success)
    yield from _pair("feedback", _sentences(step.feedback), [(s.channel, s.text) for s in landing.said])
    yield from _pair("state_digest", step.state_digest, landing.digest)


def _observation_differences(expected: ObservationRecord, found: ObservationRecord) -> Iterator[_Difference]:
    yield from _pair("observation.text", expected.text, found.text)
    yield from _pair("observation.arrays", expected.arrays, found.arrays)
    yield from _pair("observation.images", expected.images, found.images)


def _pair(field: str, expected: Any, found: Any) -> Iterator[_Difference]:
    if expected != found:
        yield field, shown(expected, 200), shown(found, 200)


def _bits(value: float) -> tuple[float, bytes] | bytes:
    """Compare floats by their bits: NaN equals itself, and -0.0 is not 0.0."""
    packed = struct.pack("<d", value)
    return packed if value != value else (value, packed)  # noqa: PLR0124 - only NaN differs from itself


def _sentences(feedback: tuple[Feedback, ...]) -> list[tuple[str, str]]:
    return [(f.channel, f.text) for f in feedback]
