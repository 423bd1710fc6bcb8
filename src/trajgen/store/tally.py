"""Counts over episodes that can be added up, so that tables are made without reading rows. Knows nothing of files."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from trajgen.types import Episode


class Tally(Struct, frozen=True):
    """What some episodes come to.

    Attributes:
        n_episodes: Rows, failed ones included.
        n_failed: Rows with `failure` set.
        n_unneeded: Trials that were not played, since an earlier one succeeded.
        n_success: Rows with success True.
        n_unknown: Rows that did not fail and have success None: the environment cannot tell.
        n_steps: Executed calls, of failed rows too; likewise `n_turns`.
        return_sum: Over rows that did not fail, returns that are no finite number left out.
        solved_steps: Steps of the successful rows whose oracle's steps are known.
        solved_oracle_steps: The oracle's steps on the same rows.
        n_feedback: Channel -> lines that were shown to the agent.
        failures: "boundary:type" -> rows.
        stop_reasons: Reason -> rows.
    """

    n_episodes: int = 0
    n_failed: int = 0
    n_unneeded: int = 0
    n_success: int = 0
    n_unknown: int = 0
    n_steps: int = 0
    n_turns: int = 0
    return_sum: float = 0.0
    solved_steps: int = 0
    solved_oracle_steps: int = 0
    n_feedback: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    stop_reasons: dict[str, int] = field(default_factory=dict)

    def __add__(self, other: Self) -> Self:
        """Return the tally of both together."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in self.__struct_fields__)
        sums: list[Any] = [_merged(a, b) if isinstance(a, dict) else a + b for a, b in pairs]
        return type(self)(*sums)

    @property
    def n_judged(self) -> int:
        """Rows of which success is known: the denominator of a success rate."""
        return self.n_episodes - self.n_failed - self.n_unknown


def _merged(a: Mapping[str, int], b: Mapping[str, int]) -> dict[str, int]:
    return _sorted({key: a.get(key, 0) + b.get(key, 0) for key in a.keys() | b.keys()})


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items()))  # equal counts give equal bytes in the record


def tally(episodes: Iterable[Episode], unneeded: Collection[str]) -> Tally:
    """Count `episodes`, and the ids in `unneeded`."""
    rows = list(episodes)
    fine = [e for e in rows if e.failure is None]
    solved = [e for e in fine if e.outcome.success and e.oracle_steps is not None]
    lines = (f for e in rows for told in (e.reset.feedback, *(s.feedback for s in e.steps)) for f in told)
    return Tally(
        n_episodes=len(rows),
        n_failed=len(rows) - len(fine),
        n_unneeded=len(unneeded),
        n_success=sum(e.outcome.success is True for e in rows),
        n_unknown=sum(e.outcome.success is None for e in fine),
        n_steps=sum(len(e.steps) for e in rows),
        n_turns=sum(len(e.turns) for e in rows),
        return_sum=_sum(e.outcome.return_ for e in fine),
        solved_steps=sum(len(e.steps) for e in solved),
        solved_oracle_steps=sum(e.oracle_steps or 0 for e in solved),
        n_feedback=_sorted(Counter(line.channel for line in lines if line.shown)),
        failures=_sorted(Counter(f"{e.failure.boundary}:{e.failure.type}" for e in rows if e.failure)),
        stop_reasons=_sorted(Counter(e.outcome.stop_reason for e in rows)),
    )


def _sum(values: Iterable[float]) -> float:
    try:
        return math.fsum(v for v in values if math.isfinite(v))
    except OverflowError:
        return 0.0  # JSON has no infinity, and a sum beyond 1e308 means nothing
