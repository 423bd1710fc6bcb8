"""The statistics of tables and comparisons: exact, or of a named source. Pure; knows no episode and no run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_Z_95 = 1.959963984540054  # the 97.5 % point of the normal distribution


class Interval(NamedTuple):
    """A 95 % confidence interval: of a proportion, in [0, 1]; or of a difference of two, in [-1, 1]."""

    low: float
    high: float


class Table(NamedTuple):
    """Pairs of trials A and B by which of the two succeeded."""

    both: int
    only_a: int
    only_b: int
    neither: int

    @property
    def n(self) -> int:
        """All pairs."""
        return sum(self)


def wilson(n_success: int, n: int) -> Interval:
    """Return Wilson's score interval (E. B. Wilson, JASA 22, 1927), which stays sound at 0 %, at 100 % and for small n.

    Raises:
        ValueError: `n` is below 1, or `n_success` is not in [0, n].
    """
    if n < 1 or not 0 <= n_success <= n:
        raise ValueError(f"expected 0 <= n_success <= n and n >= 1, found {n_success} of {n}")
    p, z2 = n_success / n, _Z_95**2
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z_95 / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    # at the ends the formula gives 0 and 1 but for rounding
    low = 0.0 if n_success == 0 else max(0.0, middle - half)
    high = 1.0 if n_success == n else min(1.0, middle + half)
    return Interval(low, high)


def mcnemar(only_a: int, only_b: int) -> float:
    """Return the two-sided p of McNemar's exact test (Q. McNemar, Psychometrika 12, 1947): in (0, 1].

    Of the pairs in which one alone succeeded, each side's count is binomial with one half if A and B are alike; p is
    twice the smaller tail, in exact integers until the last division. Without such a pair p is 1.

    Raises:
        ValueError: a count is negative.
    """
    if min(only_a, only_b) < 0:
        raise ValueError(f"expected counts from 0, found {only_a} and {only_b}")
    n = only_a + only_b
    ways = tail = 1
    for i in range(min(only_a, only_b)):
        ways = ways * (n - i) // (i + 1)
        tail += ways
    # what is too small for a float is told as the smallest one: p is never 0
    return min(1.0, max(2 * tail / (1 << n), math.ulp(0.0)))


def paired_difference(table: Table) -> Interval:
    """Return the interval of (success of B - success of A) over pairs.

    R. G. Newcombe, Improved confidence intervals for the difference between binomial proportions based on paired data,
    Statistics in Medicine 17, 1998: method 10. It joins two Wilson intervals by squares, with the continuity-corrected
    correlation of the table, and stays sound where Wald's has no width: at 0 %, at 100 %, or where all pairs agree.

    Raises:
        ValueError: there is no pair.
    """
    both, only_a, only_b, _ = table
    n = table.n
    low_b, high_b = wilson(both + only_b, n)
    low_a, high_a = wilson(both + only_a, n)
    p_b, p_a, phi = (both + only_b) / n, (both + only_a) / n, _correlation(table)
    below = _joined(p_b - low_b, high_a - p_a, phi)
    above = _joined(p_a - low_a, high_b - p_b, phi)
    middle = (only_b - only_a) / n
    return Interval(max(-1.0, middle - below), min(1.0, middle + above))


def _correlation(table: Table) -> float:
    both, only_a, only_b, neither = table
    product = (both + only_b) * (only_a + neither) * (both + only_a) * (only_b + neither)
    if product == 0:
        return 0.0
    over = both * neither - only_a * only_b
    return (max(over - table.n / 2, 0.0) if over > 0 else over) / math.sqrt(product)


def _joined(one: float, other: float, phi: float) -> float:
    return math.sqrt(max(0.0, one * one - 2 * phi * one * other + other * other))


def holm(ps: Sequence[float]) -> tuple[float, ...]:
    """Return p values adjusted for their number, in the given order (S. Holm, Scand. J. Statistics 6, 1979)."""
    adjusted = [1.0] * len(ps)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = largest
    return tuple(adjusted)
