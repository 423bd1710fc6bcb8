"""What a job file means, after every list is multiplied out: a `Job` of entries, each one environment with one agent.

Records only; how they are read from a file is `trajgen.config`'s.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct, field

from trajgen import registry
from trajgen.limits import MAX_SECONDS
from trajgen.splits import Split
from trajgen.types import Channel, Json

if TYPE_CHECKING:
    from collections.abc import Iterator

Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0, le=MAX_SECONDS)]
DEFAULT_MAX_STEPS = 50


class Budget(Struct, frozen=True):
    """What one episode may use.

    Attributes:
        max_steps: None: what the environment's spec says, else 50.
        max_turns: None: as `max_steps`.
        step_timeout_s: Wall seconds for one reset or step of the environment.
        episode_timeout_s: Wall seconds for the whole episode, the model's time included.
    """

    max_steps: Count | None = None
    max_turns: Count | None = None
    step_timeout_s: Seconds = 10.0
    episode_timeout_s: Seconds = 120.0


class OracleMix(Struct, frozen=True):
    """Turns that the environment's expert plays in the agent's place; the record says `by = "oracle"` of each.

    Attributes:
        first: So many turns of the expert's at the beginning.
        share: Then every turn is the expert's with this probability, drawn from the episode's id.
    """

    first: Annotated[int, Meta(ge=0)] = 0
    share: Annotated[float, Meta(ge=0, le=1)] = 0.0

    def __post_init__(self) -> None:
        """Refuse a mixture without any oracle in it."""
        if not (self.first or self.share):
            raise ValueError("expected `first` or `share` above 0")


class BackendChoice(Struct, frozen=True):
    """A model: which plug-in, and its validated keys with defaults filled in."""

    name: str
    kind: str
    config: dict[str, Json]

    def identity(self) -> Json:
        """Return what the model is, without where and how it runs."""
        hidden = registry.backend(self.kind).not_identity
        return [self.kind, {k: v for k, v in self.config.items() if k not in hidden}]


class AgentChoice(Struct, frozen=True):
    """An agent: which plug-in, its validated keys with defaults filled in, and its backends by role."""

    name: str
    version: str
    config: dict[str, Json]
    backends: dict[str, BackendChoice] = field(default_factory=dict)


class Entry(Struct, frozen=True):
    """One environment with one agent over a set of seeds.

    Attributes:
        key: Hash of what shapes an episode beside its task; part of every episode id.
        id: Hash of the key and the task set without its seeds; names the entry in the plan.
        trials: Episodes per task, played in order with memory handed on.
    """

    key: str
    id: str
    env_id: str
    wrappers: tuple[str, ...]
    make_options: dict[str, Json]
    options: dict[str, Json]
    split: Split | None
    agent: AgentChoice
    feedback: tuple[Channel, ...]
    budget: Budget
    seeds: tuple[int, ...]
    samples: int
    trials: int
    resources: dict[str, float]
    oracle_mix: OracleMix | None = None

    def items(self) -> Iterator[tuple[int, int]]:
        """Yield (seed, sample) in the order of the plan."""
        return itertools.product(self.seeds, range(self.samples))

    def label(self) -> str:
        """Name it in a line of a table."""
        return f"{self.env_id} x {self.agent.name}"


class Job(Struct, frozen=True):
    """A whole job. `workers` is None for one Ray worker per core, 0 for this process alone."""

    name: str
    out: str | None
    workers: int | None
    concurrency: int
    entries: tuple[Entry, ...]
