"""Small, real plug-ins for tests: an environment with every ability that can misbehave, and an agent with a script.

They check what they are given and say what was wrong; nothing is mocked. `ScriptedBackend` is the third of them.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct

from trajgen.backends.notation import arguments, parse
from trajgen.backends.scripted import ScriptedBackend
from trajgen.spaces import tool
from trajgen.toolenv import Acted, Impossible, ToolEnv
from trajgen.types import Call, ToolCall, Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from trajgen.protocols import Aids, Backend, Opening
    from trajgen.types import Channel, Json, Line, Need, Observation, Step, Tool

__all__ = ["COUNTER_ID", "CounterEnv", "CounterOptions", "ScriptedAgent", "ScriptedAgentConfig", "ScriptedBackend"]

COUNTER_ID = "trajgen-testing/Counter-v0"
_LARGEST_ADD = 3
_NONE: frozenset[Need] = frozenset()
Step0 = Annotated[int, Meta(ge=0)]  # 0 is the reset, 1 the first step


class CounterOptions(Struct, frozen=True):
    """Reset options of `CounterEnv`. Steps are counted from 1, refused calls included; 0 is the reset.

    Attributes:
        target: Count from 0 to it; by default start and target are drawn.
        step_sleep_s: Wall seconds every step takes.
        raise_at: Raise `RuntimeError` at this step.
        hang_at: Never return from this step; the GIL is free.
        hold_gil_at: Never return from this step, and hold the GIL, so that no other thread runs.
        exit_at: End the process at this step.
        exit_by: How: SIGKILL, or `os._exit(exit_code)`.
        only_seeds: Misbehave in episodes of these seeds only; by default in all.
        once_in: A folder; misbehave only the first time for each seed, whatever process it is in.
        nondeterministic: Put bytes of `os.urandom` into every observation.
    """

    target: Annotated[int, Meta(ge=1)] | None = None
    step_sleep_s: Annotated[float, Meta(ge=0)] = 0.0
    raise_at: Step0 | None = None
    hang_at: Step0 | None = None
    hold_gil_at: Step0 | None = None
    exit_at: Step0 | None = None
    exit_by: Literal["kill", "exit"] = "kill"
    exit_code: int = 17
    only_seeds: tuple[int, ...] = ()
    once_in: str | None = None
    nondeterministic: bool = False


class CounterEnv(ToolEnv):
    """Bring a counter to a number, then submit. Has every ability an environment can have.

    The observation only acknowledges the call; where the counter stands is told through the channel `scene`, so that
    ablations of feedback can be tested. It is not registered by itself; a test or a plug-in does that:

        gymnasium.register(COUNTER_ID, entry_point="trajgen.testing.fakes:CounterEnv")
    """

    options_type: ClassVar[type[Struct]] = CounterOptions
    tools: Sequence[Tool] = (
        tool("add", "Add to the counter.", n={"type": "integer", "minimum": 1, "maximum": _LARGEST_ADD}),
        tool("subtract", "Take from the counter.", n={"type": "integer", "minimum": 1, "maximum": _LARGEST_ADD}),
        tool("submit", "Say that the counter is right. Ends the episode."),
    )

    def begin(self, options: CounterOptions) -> str:
        """Draw a start and a target that is 5 to 20 away."""
        self._options = options
        self._start, self._target = 0, options.target or 0
        if options.target is None:
            self._start = int(self.np_random.integers(100))
            self._target = self._start + int(self.np_random.integers(5, 20, endpoint=True))
        self._value, self._submitted = self._start, False
        self.oracle_steps = -(-(self._target - self._start) // _LARGEST_ADD) + 1
        return f"The counter shows {self._start}. Bring it to {self._target}, then submit."

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """See `ToolEnv`."""
        self._seed, self._n_steps = seed, 0
        begun = super().reset(seed=seed, options=options)
        self._misbehave()
        return begun

    def step(self, action: ToolCall) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """See `ToolEnv`."""
        self._n_steps += 1
        if self._options.step_sleep_s:
            time.sleep(self._options.step_sleep_s)
        self._misbehave()
        return super().step(action)

    def act(self, call: ToolCall) -> Acted:
        """Count, or end."""
        if self._submitted:
            raise Impossible("the counter was submitted; the episode is over")
        if call.tool == "submit":
            self._submitted = True
            return Acted("Submitted." + self._noise(), reward=float(bool(self.solved())), terminated=True)
        step = call.arguments["n"] if call.tool == "add" else -call.arguments["n"]
        if self._value + step < 0:
            raise Impossible(f"the counter shows {self._value} and cannot go below 0")
        self._value += step
        return Acted("Done." + self._noise())

    def solved(self) -> bool:
        """Hold once the right number was submitted."""
        return self._submitted and self._value == self._target

    def state(self) -> Json:
        """Return all there is."""
        return [self._start, self._target, self._value, self._submitted]

    def describe(self, channel: Channel) -> str | Sequence[Line] | None:
        """Tell the counter through `scene`, the goal through `object`."""
        if channel == "scene":
            return f"The counter shows {self._value}."
        if channel == "object":
            return f"A note says {self._target}."
        return super().describe(channel)

    def oracle(self) -> Iterator[ToolCall]:
        """Go the shortest way from wherever the counter stands."""
        while not self._submitted:
            away = self._target - self._value
            if away == 0:
                yield ToolCall("submit")
            else:
                yield ToolCall("add" if away > 0 else "subtract", {"n": min(_LARGEST_ADD, abs(away))})

    def can(self, call: ToolCall) -> float:
        """Return 1 for a call that would be executed, else 0."""
        return float(call in self._legal())

    def _legal(self) -> tuple[ToolCall, ...]:
        if self._submitted:
            return ()
        amounts = range(1, _LARGEST_ADD + 1)
        adds = [ToolCall("add", {"n": n}) for n in amounts]
        subtracts = [ToolCall("subtract", {"n": n}) for n in amounts if n <= self._value]
        return (*adds, *subtracts, ToolCall("submit"))

    def _info(self) -> dict[str, Any]:
        return super()._info() | {"legal": self._legal()}

    def _noise(self) -> str:
        return " " + os.urandom(4).hex() if self._options.nondeterministic else ""

    # ---- misbehaviour

    def _misbehave(self) -> None:
        options = self._options
        now: dict[int | None, Callable[[], None]] = {
            options.exit_at: self._exit,
            options.hold_gil_at: _hold_gil,
            options.hang_at: _hang,
            options.raise_at: self._raise,
        }
        wanted = now.get(self._n_steps)
        if wanted is None or (options.only_seeds and self._seed not in options.only_seeds) or not self._first_time():
            return
        wanted()

    def _first_time(self) -> bool:
        if self._options.once_in is None:
            return True
        os.makedirs(self._options.once_in, exist_ok=True)  # noqa: PTH103 - beside os.open
        try:
            os.close(os.open(f"{self._options.once_in}/{self._seed}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True

    def _raise(self) -> None:
        raise RuntimeError(f"scripted failure at step {self._n_steps}")

    def _exit(self) -> None:
        if self._options.exit_by == "exit":
            os._exit(self._options.exit_code)
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)  # the signal may take a moment


def _hang() -> None:
    while True:
        time.sleep(0.05)


def _hold_gil() -> None:
    sleep = ctypes.PyDLL(None).sleep  # PyDLL keeps the GIL while the C function runs
    while True:
        sleep(60)


class ScriptedAgentConfig(Struct, frozen=True):
    """Keys of `ScriptedAgent`: `turns` in the notation of `trajgen.backends.notation`."""

    turns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a turn that is not in the notation."""
        for turn in self.turns:
            parse(turn)


class ScriptedAgent:
    """Plays its turns in order, then stops. Checks that the engine keeps to the protocol of agents.

    Attributes:
        seen: Every step it was told of.
        memory: The lesson it was handed.
    """

    version: ClassVar[str] = "1"
    needs: ClassVar[frozenset[Need]] = _NONE
    config: ClassVar[type[Struct]] = ScriptedAgentConfig
    backends: ClassVar[tuple[str, ...]] = ()
    prompts: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, config: ScriptedAgentConfig | Sequence[str | Turn], backends: Mapping[str, Backend], aids: Aids
    ) -> None:
        self._script: Sequence[str | Turn] = config.turns if isinstance(config, ScriptedAgentConfig) else config
        self._tools: Sequence[Tool] | None = None
        self._n_turns = 0
        self._untold = 0  # calls of the last turn it was not told of
        self.seen: list[Step] = []
        self.memory: str | None = None

    def reset(self, opening: Opening) -> None:
        """Begin; once only."""
        _check(self._tools is None, "reset was called twice: an agent plays one episode")
        _check(bool(opening.tools), "reset: no tool is offered")
        _check(all(f.shown for f in opening.feedback), f"reset: was told lines that are not shown: {opening.feedback}")
        _check(opening.legal is None, "reset: was given legal calls, which it does not need")
        self._tools, self.memory = opening.tools, opening.memory

    async def act(self) -> Turn:
        """Play the next turn."""
        _check(self._tools is not None, "act was called before reset")
        _check(self._untold == 0, f"act was called while {self._untold} calls of the last turn were not told")
        number = self._n_turns
        self._n_turns += 1
        if number == len(self._script):
            return Turn(stop=True)
        _check(number < len(self._script), "act was called after it had stopped")
        given = self._script[number]
        turn = given if isinstance(given, Turn) else self._parsed(given)
        self._untold = len(turn.calls)
        return turn

    def observe(self, step: Step, *, legal: Sequence[ToolCall] | None) -> None:
        """Check and keep the step."""
        hidden = [f for f in step.feedback if not f.shown]
        _check(not hidden, f"observe: was told lines that are not shown: {hidden}")
        _check(step.turn == self._n_turns - 1, f"observe: a step of turn {step.turn} after turn {self._n_turns - 1}")
        _check(legal is None, "observe: was given legal calls, which it does not need")
        self._untold = max(0, self._untold - 1)
        self.seen.append(step)

    def _parsed(self, text: str) -> Turn:
        typed = parse(text)
        calls = tuple(Call(c.tool, arguments(c, self._tools or ())) for c in typed.calls)
        return Turn(text=typed.text, calls=calls)


def _check(holds: bool, what: str) -> None:  # noqa: FBT001 - reads like an assertion
    if not holds:
        raise AssertionError(f"the engine broke the protocol of agents: {what}")
