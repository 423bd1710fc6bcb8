"""The one statistic of the tables. Pure."""

from __future__ import annotations

import math
from typing import NamedTuple

_Z_95 = 1.959963984540054  # the 97.5 % point of the normal distribution


class Interval(NamedTuple):
    """A 95 % confidence interval of a proportion, in [0, 1]."""

    low: float
    high: float


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
