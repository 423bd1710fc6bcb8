"""Two groups of episodes compared over the tasks that both played, as paired trials. Pure; knows no file and no entry."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec import Struct

from trajgen.compare.stats import Interval, Table, holm, mcnemar, paired_difference

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class Twin(NamedTuple):
    """What two episodes have in common where they are the same task but for the keys compared by.

    Attributes:
        rest: The values of all other keys, as a number.
        start: What both were told at first: an option that changes the scene makes another task of the same seed.
        sample: 0 where samples are what is compared.
    """

    rest: int
    start: bytes
    seed: int
    sample: int
    trial: int


class Played(NamedTuple):
    """One episode of a group. `success` is None where it failed, or cannot be judged."""

    twin: Twin
    success: bool | None


class Pair(Struct, frozen=True):
    """Two cells that differ in one key, over the tasks that both played once and whose success is known.

    Attributes:
        key: The key in which they differ.
        a, b: Their values of all keys.
        n: Pairs; `both`, `only_a`, `only_b` and `neither` add up to it.
        unpaired_a, unpaired_b: Their episodes without a partner: of failed, missing, repeated or different tasks.
        p: Two-sided, of McNemar's exact test; None where `n` is 0.
        p_holm: `p` adjusted for the number of tests of this comparison.
        difference: Success of B - success of A, shares of 1; `difference_95` is Newcombe's interval.
        kept: Success of B / success of A: the share of A's success that B keeps; None where A has none.
    """

    key: str
    a: tuple[str, ...]
    b: tuple[str, ...]
    n: int
    both: int
    only_a: int
    only_b: int
    neither: int
    unpaired_a: int
    unpaired_b: int
    p: float | None = None
    p_holm: float | None = None
    difference: float | None = None
    difference_95: Interval | None = None
    kept: float | None = None


class Group(Struct, frozen=True):
    """The episodes of one cell by task; None where a task's success is not known, or it was played more than once."""

    values: tuple[str, ...]
    n: int
    success: dict[Twin, bool | None]


def group(values: Sequence[str], played: Iterable[Played]) -> Group:
    """Sort a cell's episodes by task."""
    found: dict[Twin, bool | None] = {}
    n = 0
    for twin, success in played:
        # of one task played twice nobody can say which is the other's partner
        found[twin] = None if twin in found else success
        n += 1
    return Group(tuple(values), n, found)


def pair(key: str, a: Group, b: Group) -> Pair:
    """Compare two groups; `p_holm` is left to `adjusted`."""
    table = _table(a.success, b.success)
    found = Pair(key, a.values, b.values, table.n, *table, a.n - table.n, b.n - table.n)
    if not table.n:
        return found
    n_a, n_b = table.both + table.only_a, table.both + table.only_b
    return msgspec.structs.replace(
        found,
        p=mcnemar(table.only_a, table.only_b),
        difference=(n_b - n_a) / table.n,
        difference_95=paired_difference(table),
        kept=n_b / n_a if n_a else None,
    )


def _table(a: Mapping[Twin, bool | None], b: Mapping[Twin, bool | None]) -> Table:
    both = only_a = only_b = neither = 0
    for twin, won_a in a.items():
        won_b = b.get(twin)
        if won_a is None or won_b is None:
            continue
        both += won_a and won_b
        only_a += won_a and not won_b
        only_b += won_b and not won_a
        neither += not (won_a or won_b)
    return Table(both, only_a, only_b, neither)


def adjusted(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    """Return the pairs with `p_holm`; one without a single twin is no test."""
    tested = iter(holm([pair.p for pair in pairs if pair.p is not None]))
    return tuple(p if p.p is None else msgspec.structs.replace(p, p_holm=next(tested)) for p in pairs)
