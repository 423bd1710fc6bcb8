"""The statistics against published values, brute force and their own symmetries."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trajgen.compare.stats import Table, holm, mcnemar, paired_difference, wilson

COUNTS = st.integers(0, 60)
TABLES = st.builds(Table, COUNTS, COUNTS, COUNTS, COUNTS).filter(lambda t: t.n)

# ------------------------------------------------------------------------------------- Wilson


@pytest.mark.parametrize(
    ("n_success", "n", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
        (1, 200, 0.0009, 0.0278),
        (81, 263, 0.2553, 0.3662),
    ],
)
def test_wilson_agrees_with_published_values(n_success, n, low, high):
    assert wilson(n_success, n) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share_within_0_and_1(numbers):
    k, n = numbers
    low, high = wilson(k, n)
    assert 0 <= low <= k / n <= high <= 1
    assert math.isclose(1 - wilson(n - k, n).low, high, abs_tol=1e-12)


@pytest.mark.parametrize("numbers", [(0, 0), (-1, 3), (4, 3)])
def test_wilson_refuses_what_is_no_share(numbers):
    with pytest.raises(ValueError, match="expected 0 <= n_success <= n"):
        wilson(*numbers)


# ------------------------------------------------------------------------------------- McNemar


def by_sign_flips(only_a: int, only_b: int) -> float:
    """The share of all ways to exchange A and B in the pairs that is at least as one-sided as what was seen."""
    n, seen = only_a + only_b, abs(only_a - only_b)
    flips = itertools.product((-1, 1), repeat=n)
    return sum(abs(sum(signs)) >= seen for signs in flips) / 2**n


@pytest.mark.parametrize(("only_a", "only_b"), [(a, n - a) for n in range(13) for a in range(n + 1)])
def test_mcnemar_is_the_share_of_sign_flips_at_least_as_one_sided(only_a, only_b):
    assert mcnemar(only_a, only_b) == by_sign_flips(only_a, only_b)


def test_mcnemar_agrees_with_a_published_value():
    # Armitage and Berry, Statistical Methods in Medical Research, 1994, p. 127: P = 0.0129
    assert mcnemar(12, 2) == pytest.approx(0.0129, abs=5e-5)


@given(st.integers(0, 3_000), st.integers(0, 3_000))
def test_mcnemar_is_symmetric_and_a_probability_above_0(only_a, only_b):
    p = mcnemar(only_a, only_b)
    assert p == mcnemar(only_b, only_a)
    assert 0 < p <= 1


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_falls_as_one_side_wins_more(fewer, more):
    fewer, more = sorted((fewer, more))
    assert mcnemar(fewer, more + 1) <= mcnemar(fewer, more)


def test_mcnemar_refuses_negative_counts():
    with pytest.raises(ValueError, match="expected counts from 0, found -1 and 3"):
        mcnemar(-1, 3)


# ------------------------------------------------------------------------------------- paired difference


@pytest.mark.parametrize(
    ("table", "low", "high"),
    [
        # Newcombe 1998, table II: 36, 12, 2, 0
        (Table(both=36, only_a=2, only_b=12, neither=0), 0.0569, 0.3404),
        # Altman et al., Statistics with Confidence, 2000, table 6.2: 0.011 to 0.226
        (Table(both=14, only_a=0, only_b=5, neither=22), 0.0115, 0.2265),
        # Fagerland et al., Statistical Analysis of Contingency Tables, 2017, chapter 8: -0.507 to -0.026
        (Table(both=1, only_a=7, only_b=1, neither=12), -0.5069, -0.0256),
    ],
)
def test_the_paired_interval_agrees_with_published_values(table, low, high):
    assert paired_difference(table) == pytest.approx((low, high), abs=5e-5)


@given(TABLES)
def test_the_paired_interval_holds_the_difference_within_minus_1_and_1(table):
    low, high = paired_difference(table)
    difference = (table.only_b - table.only_a) / table.n
    assert -1 <= low <= difference + 1e-12
    assert difference - 1e-12 <= high <= 1


@given(TABLES)
def test_the_paired_interval_turns_round_with_a_and_b(table):
    low, high = paired_difference(table)
    turned = paired_difference(Table(table.both, table.only_b, table.only_a, table.neither))
    assert turned == pytest.approx((-high, -low), abs=1e-12)


def test_the_paired_interval_has_a_width_where_all_pairs_agree():
    low, high = paired_difference(Table(20, 0, 0, 0))
    assert low < 0 < high


# ------------------------------------------------------------------------------------- Holm


def test_holm_agrees_with_a_case_worked_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))


@given(st.lists(st.floats(0, 1, exclude_min=True), max_size=20))
def test_holm_keeps_the_order_and_never_lowers_a_p(ps):
    adjusted = holm(ps)
    assert all(p <= q <= 1 for p, q in zip(ps, adjusted, strict=True))
    assert all(a <= b for (_, a), (_, b) in itertools.pairwise(sorted(zip(ps, adjusted, strict=True))))
    assert max(adjusted, default=0) <= min(1.0, len(ps) * max(ps, default=0))
