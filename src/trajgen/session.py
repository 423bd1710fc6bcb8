"""One environment as the engine drives it: begin, execute, and everything that is asked of it between calls.

All methods run on the environment's own thread and only there. Rollout and verify share it, so a replay takes exactly
the path the episode took. Knows no agent, no budget and no file.
"""

from __future__ import annotations

import operator
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from trajgen.abilities import find
from trajgen.errors import boundary
from trajgen.feedback import telling
from trajgen.protocols import Affordance, Digest, FeedbackSource, Oracle
from trajgen.strict import shown
from trajgen.types import Observation, ToolCall
from trajgen.wrappers.making import make, replayable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from trajgen.feedback.telling import Said
    from trajgen.types import Json, Tool

_REFUSED = Observation("")
_MOST_STEPS = 2**31


class Landing(NamedTuple):
    """What one call, or the reset, brought.

    Attributes:
        legal: What can be executed now, where it was asked for and is known.
        env_s: Wall seconds inside the environment.
    """

    observation: Observation
    reward: float
    terminated: bool
    truncated: bool
    success: bool | None
    said: list[Said]
    digest: bytes | None
    legal: tuple[ToolCall, ...] | None
    env_s: float


class Begun(NamedTuple):
    """What a reset brought beside its landing."""

    landing: Landing
    goal: str
    tools: Sequence[Tool]
    oracle_steps: int | None


class EnvSession:
    """An environment for one episode.

    Args:
        want_legal: Ask for `info["legal"]`, which some environments pay for dearly.
    """

    def __init__(
        self, env_id: str, wrappers: Sequence[str], make_options: Mapping[str, Json], *, want_legal: bool = False
    ) -> None:
        with boundary("env"):
            self.env = make(env_id, wrappers, dict(make_options))
            if want_legal and hasattr(self.env.unwrapped, "legal_wanted"):
                self.env.unwrapped.legal_wanted = True
            self._feedback = find(self.env, FeedbackSource)
            self._digest = find(self.env, Digest)
            self._oracle = find(self.env, Oracle)
            self._affordance = find(self.env, Affordance)
        self._return = 0.0
        self._success: bool | None = None
        self._legal: tuple[ToolCall, ...] | None = None
        self._plan: Iterator[ToolCall] | None = None
        self._expected: ToolCall | None = None
        self.tools: Sequence[Tool] = ()

    @property
    def replayable(self) -> bool:
        """Whether the environment promises that equal calls bring equal results."""
        return replayable(self.env)

    def has(self, need: str) -> bool:
        """Say whether the environment can give an agent what it needs."""
        return {"oracle": self._oracle, "affordance": self._affordance}.get(need, True) is not None

    def begin(self, seed: int, options: Mapping[str, Json], split: str | None) -> Begun:
        """Reset to the task that seed, options and split name."""
        given = dict(options) if split is None else {**options, "split": split}
        started = time.perf_counter()
        with boundary("env"):
            observation, info = self.env.reset(seed=seed, options=given)
            landing = self._land(observation, 0.0, False, False, info, started, None)  # noqa: FBT003
            self.tools = self.env.action_space.tools  # type: ignore[attr-defined] # `make` promises a ToolSpace
            goal = info.get("goal") or observation.text
            if not isinstance(goal, str):
                raise TypeError(f"info['goal']: expected text, found {shown(goal)}")
            return Begun(landing, goal, self.tools, _count(info.get("oracle_steps")))

    def execute(self, call: ToolCall, problem: str | None = None) -> Landing:
        """Execute one call; one that has a problem, or does not fit a tool, changes nothing and is told why."""
        started = time.perf_counter()
        with boundary("env"):
            problem = problem or self.env.action_space.problem(call)  # type: ignore[attr-defined] # as in `begin`
            if problem is not None:
                info = {"success": self._success, "legal": self._legal}
                return self._land(_REFUSED, 0.0, False, False, info, started, problem)  # noqa: FBT003
            if call != self._expected:
                self._plan = None  # the expert is asked afresh after any call not its own
            self._expected = None
            observation, reward, terminated, truncated, info = self.env.step(call)
            self._return += float(reward)
            return self._land(observation, float(reward), bool(terminated), bool(truncated), info, started, None)

    def _land(
        self,
        observation: Observation,
        reward: float,
        terminated: bool,  # noqa: FBT001 - gymnasium's order
        truncated: bool,  # noqa: FBT001
        info: Mapping[str, Any],
        started: float,
        problem: str | None,
    ) -> Landing:
        if not self.env.observation_space.contains(observation):
            raise TypeError(f"expected an Observation of text, PNG bytes and arrays, found {shown(observation)}")
        success = info.get("success")
        self._success = None if success is None else bool(success)
        self._legal = info.get("legal")
        if problem is None:
            said = telling.describe(self._feedback, self._return)
        else:
            said = telling.refused(self._feedback, self._return, problem)
        digest = None if self._digest is None else self._digest.state_digest()
        if not (digest is None or isinstance(digest, bytes)):
            raise TypeError(f"state_digest(): expected bytes, found {shown(digest)}")
        spent = time.perf_counter() - started
        return Landing(observation, reward, terminated, truncated, self._success, said, digest, self._legal, spent)

    def oracle_next(self) -> ToolCall | None:
        """Return the expert's next call from the present state; None when it is done."""
        with boundary("env"):
            if self._oracle is None:
                raise LookupError("this environment has no oracle")
            if self._plan is None:
                self._plan = iter(self._oracle.oracle())
            self._expected = next(self._plan, None)
            return self._expected

    def can(self, call: ToolCall) -> float:
        """Return the probability, in [0, 1], that `call` would succeed now."""
        with boundary("env"):
            if self._affordance is None:
                raise LookupError("this environment has no affordance")
            can = float(self._affordance.can(call))
            if not 0.0 <= can <= 1.0:
                raise ValueError(f"can({call}): expected a probability in [0, 1], found {can!r}")
            return can

    def close(self) -> None:
        """Release the simulator."""
        with boundary("env"):
            self.env.close()


def _count(steps: Any) -> int | None:
    """Read `info["oracle_steps"]`, which may be one of numpy's integers."""
    if steps is None:
        return None
    counted = operator.index(steps)
    if not 0 <= counted < _MOST_STEPS:
        raise ValueError(f"info['oracle_steps']: expected a count, found {shown(counted)}")
    return counted
