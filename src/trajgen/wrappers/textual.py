"""Any gymnasium environment, played by words: its spaces described, its actions one tool `act`.

Owns the meeting of a foreign environment with our contract; what it cannot see from the spaces it asks the adapters
(`trajgen.adapters`), so it knows no environment by name. What is decided here:

- The first text states the goal, what ends well and what the numbers mean; the later ones hold numbers only. They never
  tell a reward: the return so far is in the channel `scene` (against the threshold), and the engine's `progress`.
- `success` is `return >= spec.reward_threshold` where gymnasium's spec has one, else what an adapter says, else None. A
  threshold of 0 or less is met by doing nothing for a while, so it counts only once the episode is over or has had its
  usual number of steps.
- Options beside `split` go to the foreign `reset`, which ignores those it does not know, silently.
- The foreign `info` is dropped: it holds timings and simulator state in places, and nothing an agent may rely on.
"""

from __future__ import annotations

import inspect
import itertools
import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import gymnasium
from gymnasium import spaces

from trajgen import registry, splits
from trajgen.ids import DIGEST_BYTES
from trajgen.spaces import ObservationSpace, ToolSpace, tool
from trajgen.types import Channel, Json, Observation, ToolCall
from trajgen.wrappers.calling import Unfit, action_reader
from trajgen.wrappers.seeing import ObservationReader
from trajgen.wrappers.state import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from trajgen.protocols import ForeignAdapter
    from trajgen.wrappers.seeing import Seen

T = TypeVar("T")
Foreign = gymnasium.Env[Any, Any]
_SEED_BYTES = 4  # what every generator accepts as a seed


class _Played(NamedTuple):
    """What happened since the reset."""

    n_steps: int = 0
    total_reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    called: bool = False  # whether anything was called at all
    problem: str | None = None  # why the last call was refused

    @property
    def over(self) -> bool:
        return self.terminated or self.truncated


def is_foreign(env: Foreign) -> bool:
    """Say whether an environment's spaces are not ours, so that it must be wrapped."""
    return not (isinstance(env.action_space, ToolSpace) and isinstance(env.observation_space, ObservationSpace))


def textual(
    env: Foreign, *, usual_steps: int | None = None, adapters: Sequence[ForeignAdapter] | None = None
) -> Textual:
    """Wrap a foreign environment; the result has `snapshot` and `restore` only where they are exact.

    Args:
        env: Its spaces are not ours.
        usual_steps: After how many steps it is usually ended; None takes `spec.max_episode_steps`.
        adapters: None takes those that are installed.

    Raises:
        ConfigError: a space holds a part that cannot be told or called by words.
    """
    known = registry.adapters() if adapters is None else tuple(adapters)
    if env is env.unwrapped:  # else a wrapper may hold state that no adapter knows of
        for adapter in known:
            if adapter.snapshot(env) is not None:
                return RewindableTextual(env, adapter, usual_steps=usual_steps, adapters=known)
    return Textual(env, usual_steps=usual_steps, adapters=known)


class Textual(gymnasium.Env[Observation, ToolCall]):
    """A foreign environment behind our contract. No `gymnasium.Wrapper`: its `unwrapped` is itself.

    Args: as `textual`, which is what makes one.
    """

    def __init__(
        self, env: Foreign, *, usual_steps: int | None = None, adapters: Sequence[ForeignAdapter] | None = None
    ) -> None:
        self.foreign = env  # not `env`: `abilities.find` would take a stranger's `snapshot` for ours
        self.spec, self.metadata, self.render_mode = env.spec, env.metadata, env.render_mode
        self._raw: Any = env.unwrapped
        self._adapters = registry.adapters() if adapters is None else tuple(adapters)
        self._id = env.spec.id if env.spec else type(self._raw).__name__
        self._threshold = None if env.spec is None else env.spec.reward_threshold
        self._usual_steps = usual_steps or (env.spec.max_episode_steps if env.spec else None)
        names = self._ask(lambda adapter: adapter.action_names(self._raw)) or _enum_names(self._raw, env.action_space)
        self._action = action_reader(env.action_space, names, self._id)
        self._tools = ToolSpace([tool("act", f"Take one step in {self._id}.", **self._action.properties)])
        self.action_space, self.observation_space = self._tools, ObservationSpace()
        seen_names = self._ask(lambda adapter: adapter.observation_names(self._raw))
        self._reader = ObservationReader(env.observation_space, seen_names, self._id)
        self._layers = tuple(_layers(env))
        self._played: _Played | None = None

    def _ask(self, question: Callable[[ForeignAdapter], T | None]) -> T | None:
        """Return the first adapter's answer."""
        for adapter in self._adapters:
            answer = question(adapter)
            if answer is not None:
                return answer
        return None

    # ---- gymnasium

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode; `options["split"]` draws until the first observation falls in it (None: any)."""
        given = dict(options or {})
        split = given.pop("split", None)
        seeds = _seeds(seed)

        def begin() -> tuple[Any, Seen]:
            observation, _ = self.foreign.reset(seed=next(seeds), options=given or None)
            self._seen = self._reader.read(observation)
            return observation, self._seen

        observation, seen = splits.draw(split, begin, lambda: _task_key(self._seen))
        self._np_random = getattr(self._raw, "np_random", None)
        self._played = _Played()
        told = self._words(observation)
        meaning = None if told else f"What you see after each step:\n{self._reader.meaning()}"
        text = "\n".join([*self._task(), *([meaning] if meaning else []), told or seen.text])
        return Observation(text, (), seen.arrays), self._info()

    def step(self, action: ToolCall) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Execute one call. A call that does not fit, or comes after the end, changes nothing and is told why."""
        played = self._since_reset()
        problem = "the episode is over" if played.over else self._tools.problem(action)
        if problem is None:
            try:
                return self._act(played, self._action.read(action.arguments))
            except Unfit as why:
                problem = f"{action.tool}: {why}"
        self._played = played._replace(problem=problem, called=True)
        return Observation("The call was not executed."), 0.0, played.terminated, played.truncated, self._info()

    def _act(self, played: _Played, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, _ = self.foreign.step(action)
        total = played.total_reward + float(reward)
        self._played = _Played(played.n_steps + 1, total, bool(terminated), bool(truncated), called=True)
        seen = self._reader.read(observation)
        told = Observation(self._words(observation) or seen.text, (), seen.arrays)
        return told, float(reward), bool(terminated), bool(truncated), self._info()

    def render(self) -> Any:  # whatever the foreign environment renders
        """Return what the foreign environment renders."""
        return self.foreign.render()

    def close(self) -> None:
        """Close the foreign environment."""
        self.foreign.close()

    # ---- words

    def _words(self, observation: Any) -> str | None:
        return self._ask(lambda adapter: adapter.observation_text(self._raw, observation))

    def _task(self) -> Iterator[str]:
        """Yield the goal, and what ends well."""
        goal = self._ask(lambda adapter: adapter.goal(self._raw))
        yield (goal or f"You act in {self._id}. {_first_sentence(self._raw)}").strip()
        if self._threshold is not None:
            yield f"An episode is a success when its rewards add up to {self._threshold:g} or more."
        if self._usual_steps is not None:
            yield f"It is usually ended after {self._usual_steps} steps."

    def describe(self, channel: Channel) -> str | None:
        """Return what can honestly be said: whether the call was executed, the return so far, why a call was refused."""
        played = self._since_reset()
        if channel == "error":
            return played.problem
        if channel == "success":
            verb = "was executed" if played.problem is None else "failed"
            return f"The last call {verb}." if played.called else None
        return self._scene(played) if channel == "scene" else None

    def _scene(self, played: _Played) -> str | None:
        if self._threshold is not None:
            return f"Return so far {played.total_reward:.6g}; a success takes {self._threshold:g}."
        solved = self._solved(played)
        return None if solved is None else f"The goal is {'reached' if solved else 'not reached'}."

    # ---- state

    def _since_reset(self) -> _Played:
        if self._played is None:
            raise gymnasium.error.ResetNeeded("call reset() before anything else")
        return self._played

    def _solved(self, played: _Played) -> bool | None:
        if self._threshold is None:
            total, terminated = played.total_reward, played.terminated
            return self._ask(lambda adapter: adapter.solved(self._raw, total, terminated=terminated))
        finished = played.over or (self._usual_steps is not None and played.n_steps >= self._usual_steps)
        return played.total_reward >= self._threshold and (finished or self._threshold > 0)

    def _info(self) -> dict[str, Any]:
        return {"success": self._solved(self._since_reset())}

    def state_digest(self) -> bytes:
        """Return 16 bytes over the simulator state, its random generator, and the return and steps so far."""
        played = self._since_reset()
        generator = getattr(self._raw, "np_random", None)
        hashed = blake2b(self._state(), digest_size=DIGEST_BYTES)
        for layer in self._layers:
            hashed.update(fingerprint(layer))
        # repr: the generator's state holds integers of 128 bits, which JSON encoders refuse
        drawn = None if generator is None else generator.bit_generator.state
        hashed.update(repr((drawn, played[:4])).encode())
        return hashed.digest()

    def _state(self) -> bytes:
        known = self._ask(lambda adapter: adapter.state(self._raw))
        return fingerprint(self._raw) if known is None else known


class RewindableTextual(Textual):
    """A foreign environment whose state an adapter can copy and put back exactly."""

    def __init__(
        self,
        env: Foreign,
        keeper: ForeignAdapter,
        *,
        usual_steps: int | None = None,
        adapters: Sequence[ForeignAdapter] | None = None,
    ) -> None:
        super().__init__(env, usual_steps=usual_steps, adapters=adapters)
        self._keeper = keeper

    def snapshot(self) -> object:
        """Return an opaque copy of the state, random generator and counters included."""
        return self._keeper.snapshot(self._raw), self._since_reset()

    def restore(self, saved: Any) -> None:  # opaque
        """Return to a state that `snapshot` gave."""
        state, played = saved
        self._keeper.restore(self._raw, state)
        self._np_random, self._played = getattr(self._raw, "np_random", None), played


def _layers(env: Foreign) -> Iterator[Foreign]:
    """Yield the foreign wrappers between us and the environment itself."""
    while env is not env.unwrapped:
        yield env
        env = env.env  # type: ignore[attr-defined] # every layer but the innermost is a gymnasium.Wrapper


def _enum_names(raw: Any, space: spaces.Space[Any]) -> list[str] | None:
    """Return the names in the environment's `actions` enum, as minigrid-like environments have it."""
    members = getattr(raw, "actions", None)
    if not isinstance(space, spaces.Discrete) or not inspect.isclass(members):
        return None
    by_value = {int(value): str(name) for name, value in getattr(members, "__members__", {}).items()}
    wanted = range(int(space.start), int(space.start + space.n))
    return [by_value[i] for i in wanted] if by_value.keys() == set(wanted) else None


def _first_sentence(raw: Any) -> str:
    """Return the first sentence of an environment's docstring that is no heading."""
    lines = inspect.cleandoc(type(raw).__doc__ or "").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#")).strip()
    prose = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(text.partition("\n\n")[0].split()))  # links -> their text
    return re.split(r"(?<=[.!?])\s", prose)[0]


def _seeds(seed: int | None) -> Iterator[int | None]:
    """Yield the seed, then ones derived from it for the draws a split needs."""
    yield seed
    for i in itertools.count(1):
        derived = blake2b(f"{seed}:{i}".encode(), digest_size=_SEED_BYTES).digest()
        yield None if seed is None else int.from_bytes(derived, "big")


def _task_key(seen: Seen) -> Json:
    """Return the content of a first observation; our own wording is not in it, so it never moves a task."""
    arrays = {
        path: [a.dtype.newbyteorder("<").str, list(a.shape), a.tobytes().hex()] for path, a in seen.arrays.items()
    }
    return {"arrays": arrays, "strings": dict(seen.strings)}
