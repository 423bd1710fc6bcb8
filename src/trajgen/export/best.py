"""Best of n: of all samples that an agent played of one task, the few best; the others are left out and counted.

Rejection sampling over `samples = n` of a job (best-of-n). Better is: no failure, then success, then a higher return, then
fewer steps; ties go to the lower sample and trial. Reads the run once before it is exported; holds one line an episode.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trajgen.types import Episode

LEFT_OUT = "not among the best of its task and agent"


class _Rank(NamedTuple):
    """Sorts the better one first."""

    failed: bool
    unsuccessful: float  # 0 solved, 0.5 unknown, 1 not
    minus_return: float
    n_steps: int
    sample: int
    trial: int
    episode_id: str


def best_of(episodes: Iterable[Episode], n: int) -> frozenset[str]:
    """Return the ids of the `n` best episodes of each task and agent."""
    groups: defaultdict[tuple[str, ...], list[_Rank]] = defaultdict(list)
    for episode in episodes:
        players = (f"{a.role}/{a.name}/{a.version}/{a.config}/{a.backend}" for a in episode.agents)
        groups[episode.group_id, *players].append(_rank(episode))
    return frozenset(rank.episode_id for ranks in groups.values() for rank in sorted(ranks)[:n])


def _rank(episode: Episode) -> _Rank:
    outcome = episode.outcome
    value = outcome.return_ if math.isfinite(outcome.return_) else -math.inf
    return _Rank(
        failed=episode.failure is not None,
        unsuccessful=0.5 if outcome.success is None else float(not outcome.success),
        minus_return=-value,
        n_steps=len(episode.steps),
        sample=episode.sample,
        trial=episode.trial,
        episode_id=episode.episode_id,
    )
