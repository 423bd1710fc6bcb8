"""The records: what agents and environments exchange, and what one stored episode holds.

Everything here is frozen. The upper half lives in memory (`Observation`, `ToolCall`, `Turn`, ...); the lower half is
the stored record, of which `trajgen.store.schema` makes the Arrow schema. Free-form parts of the stored half are
JSON strings, and every field exists from schema version 1. Imports nothing of ours; knows no simulator, agent or file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct, field

from trajgen.chat import Message, Usage

SCHEMA_VERSION = 1

Json = Any  # what json.loads can return
Channel = Literal["success", "object", "scene", "progress", "error", "human", "simulation", "reflection"]
PASSIVE_CHANNELS: tuple[Channel, ...] = ("success", "object", "scene", "progress", "error")
ACTIVE_CHANNELS: tuple[Channel, ...] = ("human", "simulation")  # answers to a tool that asked; always shown
DEFAULT_SHOWN: tuple[Channel, ...] = ("success", "object", "scene", "error")
Author = Literal["agent", "oracle", "perturbed"]
StopReason = Literal["terminated", "max_steps", "max_turns", "deadline", "context", "agent_stop", "failure"]
Need = Literal["oracle", "affordance", "legal", "score"]
ENGINE = "engine"  # the `source` of feedback that the engine itself gives; always shown

_sorted = msgspec.json.Encoder(order="sorted")
_plain = msgspec.json.Encoder()


def to_json(value: Json) -> str:
    """Encode with sorted keys, so that equal values give equal strings: for hashes and for settings."""
    return _sorted.encode(value).decode()


def as_written(value: Json) -> str:
    """Encode with keys in their own order, as a model writes and reads them: for calls and their schemas."""
    return _plain.encode(value).decode()


# --------------------------------------------------------------------------------------------- in memory


class Observation(Struct, frozen=True, eq=False):
    """What the agent sees after a call. The first one of an episode states the goal.

    Attributes:
        text: Plain text; may be empty.
        images: PNG files, each as bytes.
        arrays: name -> numpy array, for physics and other numeric state.
    """

    text: str
    images: tuple[bytes, ...] = ()
    arrays: Mapping[str, Any] = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        # msgspec's own comparison asks an array for its truth value and raises
        if not isinstance(other, Observation):
            return NotImplemented
        return stored(self) == stored(other)

    def __ne__(self, other: object) -> bool:
        # not derived from `__eq__` here: a struct with eq=False brings its own, which compares identities
        return not self == other

    def __hash__(self) -> int:
        return hash((self.text, self.images))


class ToolCall(Struct, frozen=True):
    """One executable call: an element of a `ToolSpace`.

    Attributes:
        tool: Name of the tool; None for a reply that called nothing.
        arguments: Parsed JSON object.
    """

    tool: str | None
    arguments: Mapping[str, Json] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash((self.tool, to_json(self.arguments)))

    def __str__(self) -> str:
        return f"{self.tool}({', '.join(f'{k}={to_json(v)}' for k, v in self.arguments.items())})"


class Line(Struct, frozen=True):
    """One sentence of feedback as an environment gives it.

    Attributes:
        source: The predicate and the bodies it came from, e.g. `in(red block, green bowl)`; never `engine`.
    """

    text: str
    source: str = "env"


class Tool(Struct, frozen=True):
    """What an agent may call.

    Attributes:
        parameters: JSON Schema of the arguments, an object schema.
    """

    name: str
    description: str
    parameters: Mapping[str, Json]


class Call(Struct, frozen=True):
    """One call as an agent emits it: parsed where it could be, and raw.

    Attributes:
        raw: The arguments exactly as a model wrote them; None for agents that write no text.
        problem: Why the call cannot be executed as written; None when it can.
    """

    tool: str | None
    arguments: Mapping[str, Json] = field(default_factory=dict)
    raw: str | None = None
    problem: str | None = None


class Option(Struct, frozen=True):
    """One alternative an agent weighed (SayCan, arXiv 2204.01691): `score` = `say` x `can`."""

    tool: str
    arguments: str
    say: float | None = None
    can: float | None = None
    score: float | None = None


class Imagined(Struct, frozen=True):
    """One plan an agent tried in its head. `calls` and `outcome` are JSON."""

    calls: str
    outcome: str


class Turn(Struct, frozen=True):
    """One reply of an agent: a thought and zero or more calls.

    Attributes:
        text: What it says, apart from calls.
        reasoning: Hidden reasoning where the model gives it.
        problem: Why the reply as a whole could not be used; shown to the agent as error feedback.
        stop: The agent ends the episode after this turn's calls.
    """

    text: str | None = None
    calls: tuple[Call, ...] = ()
    reasoning: str | None = None
    plan: str | None = None
    options: tuple[Option, ...] = ()
    imagined: tuple[Imagined, ...] = ()
    by: Author = "agent"
    label: str | None = None
    loss_weight: float | None = None
    problem: str | None = None
    stop: bool = False


class TaskBrief(Struct, frozen=True):
    """What an agent is told of its task. The seed is not in it, so it can reach no prompt."""

    env_id: str
    goal: str
    max_steps: int
    max_turns: int


# --------------------------------------------------------------------------------------------- the stored record


class ArrayRecord(Struct, frozen=True):
    """A numpy array: C order, little endian bytes in `data`; `dtype` as numpy's `dtype.str`."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: bytes


class ObservationRecord(Struct, frozen=True):
    """An `Observation` in stored form."""

    text: str
    images: tuple[bytes, ...] = ()
    arrays: tuple[ArrayRecord, ...] = ()


class Feedback(Struct, frozen=True):
    """One line beside the observation (Inner Monologue, arXiv 2207.05608).

    Attributes:
        shown: Whether the agent saw it, or it was only recorded.
        source: What the line came from: `env`, `engine`, or a predicate and its bodies (see `Line`).
    """

    channel: Channel
    text: str
    shown: bool
    source: str = "env"


class Task(Struct, frozen=True):
    """What reproduces one start state and one goal. `make_options` and `options` are JSON objects."""

    env_id: str
    wrappers: tuple[str, ...]
    make_options: str
    options: str
    split: str | None
    seed: int
    goal: str


class AgentRecord(Struct, frozen=True):
    """Who played a role. `config` and `backend` are JSON; `system_prompt` as the model saw it."""

    role: str
    name: str
    version: str
    config: str
    backend: str | None
    system_prompt: str | None


class ToolRecord(Struct, frozen=True):
    """A tool offered to a role; `parameters` is JSON Schema as JSON."""

    role: str
    name: str
    description: str
    parameters: str


class Reset(Struct, frozen=True):
    """What the episode began with."""

    observation: ObservationRecord
    feedback: tuple[Feedback, ...] = ()
    state_digest: bytes | None = None


class UnexecutedCall(Struct, frozen=True):
    """A call of a turn that was never executed, and why."""

    call_id: str
    tool: str | None
    arguments: str
    raw: str | None
    why: str


class TurnRecord(Struct, frozen=True):
    """One reply of an agent, in stored form; its executed calls are the steps with the same `turn`."""

    turn: int
    role: str
    by: Author
    text: str | None = None
    reasoning: str | None = None
    plan: str | None = None
    options: tuple[Option, ...] = ()
    imagined: tuple[Imagined, ...] = ()
    unexecuted: tuple[UnexecutedCall, ...] = ()
    label: str | None = None
    loss_weight: float | None = None


class Step(Struct, frozen=True):
    """One executed call.

    Attributes:
        tool: None for a reply without a call.
        arguments: JSON object.
        raw: The arguments as the model wrote them, where that differs from `arguments`.
        success: Whether the goal holds now; None where the environment cannot tell.
        state_digest: 16 bytes over the full simulator state; None where the environment has none.
        agent_s: Wall seconds the agent took for the turn (on its first step; 0 on the others).
        env_s: Wall seconds the environment took.
    """

    turn: int
    call_id: str
    tool: str | None
    arguments: str
    raw: str | None
    observation: ObservationRecord
    reward: float
    terminated: bool
    truncated: bool
    success: bool | None
    feedback: tuple[Feedback, ...]
    state_digest: bytes | None
    agent_s: float
    env_s: float


class ModelCall(Struct, frozen=True):
    """One exchange with a model.

    Attributes:
        n_kept: How many messages of the previous call of the same role and purpose begin this one too.
        messages_new: The messages after those, so that long episodes do not grow quadratically.
        raw: The server's message as JSON, as received.
        prompt_prefix_len: How many prompt token ids repeat the previous call's prompt and completion.
        latency_s: Wall seconds.
    """

    turn: int
    role: str
    purpose: str
    model: str | None
    n_kept: int
    messages_new: tuple[Message, ...]
    raw: str
    prompt_prefix_len: int | None
    prompt_token_ids_new: tuple[int, ...] | None
    token_ids: tuple[int, ...] | None
    logprobs: tuple[float, ...] | None
    finish_reason: str | None
    usage: Usage
    error_kind: str | None
    latency_s: float


class Outcome(Struct, frozen=True, rename={"return_": "return"}):
    """How the episode ended. `return_` is the undiscounted sum of rewards."""

    success: bool | None
    return_: float
    stop_reason: StopReason


class Failure(Struct, frozen=True):
    """Why the episode is `failed`, attributed to one boundary."""

    boundary: str
    type: str
    message: str


class Provenance(Struct, frozen=True):
    """Where the row came from. `versions` is a JSON object package -> version."""

    versions: str
    env_digest: str | None
    git: str | None
    host: str | None


class Episode(Struct, frozen=True):
    """One row of a dataset; self-contained."""

    episode_id: str
    group_id: str
    trial: int
    sample: int
    task: Task
    agents: tuple[AgentRecord, ...]
    tools: tuple[ToolRecord, ...]
    reset: Reset
    turns: tuple[TurnRecord, ...]
    steps: tuple[Step, ...]
    model_calls: tuple[ModelCall, ...]
    tokens_exact: bool | None
    outcome: Outcome
    failure: Failure | None
    oracle_steps: int | None
    memory_in: str | None
    reflection: str | None
    provenance: Provenance
    created_at: str
    schema_version: int = SCHEMA_VERSION


def stored(observation: Observation) -> ObservationRecord:
    """Put an observation into its stored form."""
    if not observation.arrays:
        return ObservationRecord(observation.text, observation.images)
    arrays = tuple(
        ArrayRecord(
            name,
            array.dtype.newbyteorder("<").str,
            tuple(array.shape),
            array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes(),
        )
        for name, array in sorted(observation.arrays.items())
    )
    return ObservationRecord(observation.text, observation.images, arrays)
