"""What a comparison needs of each episode, and no more: it reads few columns of a run's shards, one shard at a time."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from trajgen.store import reader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trajgen.store.layout import RunDir
    from trajgen.store.plan import EpisodeKey, Plan
    from trajgen.types import Episode

_COLUMNS = ("outcome", "failure", "steps", "reset")


class Row(NamedTuple):
    """One committed episode.

    Attributes:
        entry: Index into the plan's entries.
        start: Equal for equal first observations, as far as words tell them apart.
        success: None where it failed, or its environment cannot tell.
        return_: Undiscounted sum of rewards.
        n_lines: Lines of feedback that its agent was shown.
    """

    entry: int
    start: bytes
    seed: int
    sample: int
    trial: int
    failed: bool
    success: bool | None
    n_steps: int
    return_: float
    n_lines: int


def rows(run: RunDir, plan: Plan) -> Iterator[Row]:
    """Yield every committed episode in the plan's order; one that was played again hides the older one.

    Raises:
        DamagedRun: a file of the run was changed; the message names it.
    """
    # what was shown, and which budget it had, only the plan knows: the rows of a shard do not say their entry
    places = {
        key.episode_id: (unit.entry, key) for unit in plan.units if unit.generation == 0 for key in plan.keys(unit)
    }
    for episode in reader.iter_episodes(run, columns=_COLUMNS):
        entry, key = places[episode.episode_id]
        yield _row(entry, key, episode)


def _row(entry: int, key: EpisodeKey, episode: Episode) -> Row:
    lines = sum(line.shown for line in episode.reset.feedback)
    lines += sum(line.shown for step in episode.steps for line in step.feedback)
    failed = episode.failure is not None
    return Row(
        entry=entry,
        start=blake2b(episode.reset.observation.text.encode(), digest_size=8).digest(),
        seed=key.seed,
        sample=key.sample,
        trial=key.trial,
        failed=failed,
        success=None if failed else episode.outcome.success,
        n_steps=len(episode.steps),
        return_=episode.outcome.return_,
        n_lines=lines,
    )
