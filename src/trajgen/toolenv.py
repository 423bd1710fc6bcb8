"""A base for environments of tools: `begin` states the goal, `act` executes one call that fits, the rest is here.

What is here: strict options, splits, refusing bad calls without changing anything, the `success` and `error`
channels, state digests and snapshots. A `ToolEnv` is a plain `gymnasium.Env`; nothing requires one to use it.
"""

from __future__ import annotations

import copy
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import gymnasium
from msgspec import Struct

from trajgen import splits
from trajgen.ids import DIGEST_BYTES
from trajgen.spaces import ObservationSpace, ToolSpace
from trajgen.strict import convert
from trajgen.types import Channel, Json, Line, Observation, Tool, ToolCall, to_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class NoOptions(Struct, frozen=True):
    """An environment that takes no options."""


class Acted(NamedTuple):
    """What one executed call brought."""

    text: str
    reward: float = 0.0
    terminated: bool = False
    images: tuple[bytes, ...] = ()
    arrays: Mapping[str, Any] = {}


class Impossible(Exception):
    """Raised by `act`: the call fits its schema but cannot be done now. Says why; nothing has changed."""


class ToolEnv(gymnasium.Env[Observation, ToolCall]):
    """Subclass it and write `begin`, `act`, `solved` and `state`; `oracle` to give it an expert.

    Attributes:
        options_type: Struct of the reset options it takes, beside `split`.
        refusal: Observation text of a refused call. An environment made for ablations says the same for every call.
        tools: What can be called; a class attribute, or set in `begin` where it differs from task to task.
        oracle_steps: Least number of calls, where `begin` knows it.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - gymnasium's declaration
    options_type: ClassVar[type[Struct]] = NoOptions
    refusal: ClassVar[str] = "The call was not executed."
    tools: Sequence[Tool] = ()
    oracle_steps: int | None = None

    def __init__(self) -> None:
        self.action_space = ToolSpace(self.tools)
        self.observation_space = ObservationSpace()
        self._problem: str | None = None  # why the last call was refused
        self._worked: str | None = None  # what the success channel says of the last call

    # ---- what a subclass writes

    def begin(self, options: Any) -> str:  # an instance of `options_type`
        """Draw a task with `self.np_random` and return its goal in words."""
        raise NotImplementedError

    def act(self, call: ToolCall) -> Acted:
        """Execute a call that fits its schema, or raise `Impossible` before anything changed."""
        raise NotImplementedError

    def solved(self) -> bool | None:
        """Say whether the goal holds now; None where that cannot be told."""
        raise NotImplementedError

    def state(self) -> Json:
        """Return the full state as JSON data: start, goal and all that has changed since."""
        raise NotImplementedError

    def task_key(self) -> Json:
        """Return, as JSON data, what decides the split of the task `begin` drew; by default all of `state()`.

        It holds what makes this task, start and goal, and nothing that only says how hard the execution is.
        """
        return self.state()

    # ---- gymnasium

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin a task of `options["split"]` (None: any)."""
        super().reset(seed=seed)
        given = dict(options or {})
        split = given.pop("split", None)
        chosen = convert(given, self.options_type, "options")
        self._problem = self._worked = None
        goal = splits.draw(split, lambda: self.begin(chosen), self.task_key)
        self._offer_tools()
        return Observation(goal), self._info() | {"oracle_steps": self.oracle_steps}

    def step(self, action: ToolCall) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Execute one call. A call that does not fit, or cannot be done, changes nothing and is told why."""
        self._problem = self.action_space.problem(action)  # type: ignore[attr-defined] # a ToolSpace
        if self._problem is None:
            try:
                done = self.act(action)
            except Impossible as why:
                self._problem = str(why)
            else:
                self._worked = "worked"
                return (
                    Observation(done.text, done.images, done.arrays),
                    done.reward,
                    done.terminated,
                    False,
                    self._info(),
                )
        self._worked = "failed"
        return Observation(self.refusal), 0.0, False, False, self._info()

    def _info(self) -> dict[str, Any]:
        return {"success": self.solved()}

    # ---- abilities

    def describe(self, channel: Channel) -> str | Sequence[Line] | None:
        """Return what a channel says: here `success` and `error`; subclasses add the others."""
        if channel == "error":
            return self._problem
        if channel == "success":
            return self._worked and f"The last call {self._worked}."
        return None

    def state_digest(self) -> bytes:
        """Return 16 bytes over `state()` and the random generator."""
        # repr: the generator's state holds integers of 128 bits, which JSON encoders refuse
        whole = to_json(self.state()) + repr(self.np_random.bit_generator.state)
        return blake2b(whole.encode(), digest_size=DIGEST_BYTES).digest()

    def snapshot(self) -> object:
        """Return a deep copy of everything but the spaces."""
        return copy.deepcopy({k: v for k, v in self.__dict__.items() if k not in _SHARED})

    def restore(self, saved: Any) -> None:  # opaque
        """Return to a state that `snapshot` gave."""
        self.__dict__.update(copy.deepcopy(saved))
        self._offer_tools()

    def _offer_tools(self) -> None:
        if self.action_space.tools != tuple(self.tools):  # type: ignore[attr-defined] # a ToolSpace
            self.action_space = ToolSpace(self.tools)


_SHARED = frozenset({"action_space", "observation_space", "spec"})
