"""The seams: what a plug-in may be. Nothing here is implemented here.

An environment is a plain `gymnasium.Env[Observation, ToolCall]`; the small protocols `Oracle`, `Snapshot`,
`FeedbackSource`, `Affordance`, `Digest` and `Filmed` are abilities it may have beside that, found with `trajgen.abilities.find`.
All of them run on the environment's own thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from msgspec import Struct
    from numpy.random import Generator
    from numpy.typing import NDArray

    from trajgen.chat import Message, Reply
    from trajgen.types import (
        Channel,
        Episode,
        Feedback,
        Json,
        Line,
        Need,
        Observation,
        Outcome,
        Step,
        TaskBrief,
        Tool,
        ToolCall,
        Turn,
    )

# ------------------------------------------------------------------------------------- abilities of environments


@runtime_checkable
class Oracle(Protocol):
    """An expert that may read simulator state."""

    def oracle(self) -> Iterator[ToolCall]:
        """Yield the calls that solve the task from the present state; asked afresh after any call not its own."""
        ...


@runtime_checkable
class Snapshot(Protocol):
    """Exact copies of the simulator state, restorable many times in this process."""

    def snapshot(self) -> object:
        """Return an opaque copy of the state, random generator included."""
        ...

    def restore(self, saved: Any) -> None:  # opaque on purpose
        """Return to a state that `snapshot` gave."""
        ...


@runtime_checkable
class FeedbackSource(Protocol):
    """Sentences about the last step and the present state."""

    def describe(self, channel: Channel) -> str | Sequence[Line] | None:
        """Return what one channel says: a sentence, or several lines each with its source; None or no lines for nothing.

        An active channel (`types.ACTIVE_CHANNELS`) has lines only after the step that asked. Draws no random number,
        changes no state.
        """
        ...


@runtime_checkable
class Affordance(Protocol):
    """How likely a call is to work now."""

    def can(self, call: ToolCall) -> float:
        """Return the probability, in [0, 1], that `call` would succeed in the present state."""
        ...


@runtime_checkable
class Digest(Protocol):
    """A fingerprint of the full simulator state, for replay."""

    def state_digest(self) -> bytes:
        """Return 16 bytes."""
        ...


@runtime_checkable
class Filmed(Protocol):
    """Frames of the simulation while calls are executed."""

    def film(
        self,
        sink: Callable[[NDArray[np.uint8]], None] | None,
        *,
        fps: float = 15.0,
        width: int = 640,
        height: int = 480,
    ) -> None:
        """Hand frames to `sink` during every later call and reset; None stops. Changes nothing of what the calls do.

        A frame has shape (height, width, 3), in RGB; there are `fps` of them a simulated second. The last one of a
        reset, and of a call that moved anything, shows the state it left.
        """
        ...


# ------------------------------------------------------------------------------------- agents


class OracleProxy(Protocol):
    """The environment's oracle as an agent sees it."""

    async def next(self) -> ToolCall | None:
        """Return the next call of the expert from the present state; None where it has nothing more to do."""
        ...


class AffordanceProxy(Protocol):
    """The environment's affordance as an agent sees it."""

    async def can(self, call: ToolCall) -> float:
        """Return the probability, in [0, 1], that `call` would succeed now."""
        ...


class Aids(NamedTuple):
    """What an agent that names a need is handed. None where it did not ask."""

    oracle: OracleProxy | None = None
    affordance: AffordanceProxy | None = None


class Opening(NamedTuple):
    """What an agent is told when an episode begins.

    Attributes:
        observation: The first one; it states the goal.
        feedback: Shown lines only.
        legal: What can be called now; None where the agent does not need it, or the environment does not tell.
        memory: The lesson of the trial before.
    """

    task: TaskBrief
    tools: Sequence[Tool]
    observation: Observation
    feedback: Sequence[Feedback]
    legal: Sequence[ToolCall] | None
    rng: Generator
    memory: str | None = None


class Agent(Protocol):
    """Plays one role in one episode; one instance, one episode. It never holds the environment."""

    def reset(self, opening: Opening) -> None:
        """Begin an episode."""
        ...

    async def act(self) -> Turn:
        """Return the next reply."""
        ...

    def observe(self, step: Step, *, legal: Sequence[ToolCall] | None) -> None:
        """Take in one executed call. `step.feedback` holds shown lines only."""
        ...


@runtime_checkable
class Reflects(Protocol):
    """An agent that learns between trials (Reflexion, arXiv 2303.11366)."""

    async def reflect(self, outcome: Outcome) -> str | None:
        """Return the lesson to hand to the next trial."""
        ...


class AgentFactory(Protocol):
    """What the entry-point group `trajgen.agents` names: usually the agent's class itself.

    Attributes:
        version: Changes when the agent would act differently on the same input; part of every episode id.
        needs: What it must be handed; an environment that lacks it is refused before the job starts.
        config: Struct of the keys an agent table may have beside `name`, `version` and backends.
        backends: Names of the roles of backends it must be given, e.g. `("backend",)`.
        prompts: Every fixed text it puts before a model; part of every episode id.

    It may also have `reads_feedback: ClassVar[bool] = False`, which promises that no line of feedback ever changes what
    it does or says, so that exporters may show others. Without it, it counts as an agent that reads.
    """

    version: ClassVar[str]
    needs: ClassVar[frozenset[Need]]
    config: ClassVar[type[Struct]]
    backends: ClassVar[tuple[str, ...]]
    prompts: ClassVar[tuple[str, ...]]

    def __call__(self, config: Any, backends: Mapping[str, Backend], aids: Aids) -> Agent:
        """Make the agent of one episode; `config` is an instance of the class's `config`."""
        ...


class PlannerStrategy(Protocol):
    """How the scripted agent `planner` plays one environment, from text and shown feedback only.

    Found through the entry-point group `trajgen.planners`, whose names are environment ids. It may import neither the
    environment nor its tasks.
    """

    def start(self, goal: str, tools: Sequence[Tool], feedback: Sequence[Feedback], rng: Generator) -> None:
        """Read the goal as the first observation states it."""
        ...

    def next(self) -> Turn:
        """Return the next thought and call; `Turn(stop=True)` when it is finished or sees no way on."""
        ...

    def saw(self, step: Step) -> None:
        """Take in what one call brought."""
        ...


# ------------------------------------------------------------------------------------- backends


class Backend(Protocol):
    """A language model: messages and tools in, one reply out."""

    async def generate(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool],
        *,
        seed: int | None = None,
        sampling: Mapping[str, Json] | None = None,
        constraint: Mapping[str, Json] | None = None,
    ) -> Reply:
        """Return one reply. A reply the model made badly is a reply; only the provider's failures are raised."""
        ...

    async def close(self) -> None:
        """Release connections; the backend is not used again."""
        ...


@runtime_checkable
class Scorer(Protocol):
    """A backend that can weigh given texts."""

    async def score(self, messages: Sequence[Message], candidates: Sequence[str]) -> Sequence[float]:
        """Return the log-likelihood (natural log, summed over tokens) of each candidate as the next reply."""
        ...


class BackendFactory(Protocol):
    """What the entry-point group `trajgen.backends` names: usually the backend's class itself.

    Attributes:
        config: Struct of the keys of a `[backend.NAME]` table beside `kind`.
        not_identity: Keys that say where or how the model runs, not what it is; they are left out of episode ids.
    """

    config: ClassVar[type[Struct]]
    not_identity: ClassVar[frozenset[str]]

    def __call__(self, config: Any) -> Backend:
        """Make one backend for one worker; it is shared by that worker's episodes."""
        ...


# ------------------------------------------------------------------------------------- data


class ExportReport(NamedTuple):
    """What an export did, counted.

    Attributes:
        rejected: reason -> episodes left out.
        loss: What the format cannot carry, one line each.
        files: What was written.
        how_to_load: One line a person can paste.
    """

    n_in: int
    n_out: int
    rejected: Mapping[str, int]
    loss: tuple[str, ...]
    files: tuple[Path, ...]
    how_to_load: str


class Exporter(Protocol):
    """Writes episodes in a consumer's format. What the entry-point group `trajgen.exporters` names.

    Attributes:
        summary: One line for `trajgen list exporters`.
        config: Struct of the options it takes.
    """

    summary: ClassVar[str]
    config: ClassVar[type[Struct]]

    def export(self, episodes: Iterable[Episode], out: Path, config: Any) -> ExportReport:
        """Write into the empty or new folder `out`; stream, never hold all episodes."""
        ...


class Filter(Protocol):
    """Keeps or drops episodes. What the entry-point group `trajgen.filters` names."""

    def keep(self, episode: Episode) -> str | None:
        """Return None to keep the episode, or the reason why it is dropped."""
        ...


class SandboxResult(NamedTuple):
    """What one sandboxed program did. `stopped_by` names the limit that ended it, or is None."""

    stdout: str
    stderr: str
    exit_code: int
    stopped_by: str | None


class Sandbox(Protocol):
    """Runs a program an agent wrote, away from the host."""

    async def run(self, argv: Sequence[str], files: Mapping[str, bytes], *, timeout_s: float) -> SandboxResult:
        """Run `argv` over `files` (relative path -> content) and return what it did."""
        ...


class ForeignAdapter(Protocol):
    """What `wrappers.textual` cannot see from a foreign environment's spaces alone.

    Found through the entry-point group `trajgen.adapters`. Subclass it and write what you know: every method returns
    None where it does not know the environment, and so do those you leave out. `env` is the unwrapped foreign
    environment.
    """

    def action_names(self, env: Any) -> Sequence[str] | None:
        """Name the discrete actions, or the components of a box, in their order."""
        return None

    def observation_names(self, env: Any) -> Sequence[str] | None:
        """Name the components of a box observation, in their order."""
        return None

    def goal(self, env: Any) -> str | None:
        """Say in one or two sentences what is to be done, and what the world looks like; asked after every reset."""
        return None

    def observation_text(self, env: Any, observation: Any) -> str | None:
        """Say in words what `observation` shows, and nothing that it does not carry."""
        return None

    def solved(self, env: Any, total_reward: float, *, terminated: bool) -> bool | None:
        """Say whether the goal is reached; asked only where gymnasium's spec has no reward threshold."""
        return None

    def state(self, env: Any) -> bytes | None:
        """Return the full simulator state, random generator excluded, as bytes that are equal only for equal states."""
        return None

    def snapshot(self, env: Any) -> object | None:
        """Return an exact copy of the simulator state, random generator included; works before the first reset."""
        return None

    def restore(self, env: Any, saved: Any) -> None:  # opaque on purpose
        """Return to a state that `snapshot` gave; the same one can be restored again."""
