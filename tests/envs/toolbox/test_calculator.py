"""The calculator is exact, bounded, and says where an expression goes wrong."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trajgen.toolenv import Impossible
from trajgen_envs.toolbox.calculator import MAX_BITS, calculate
from trajgen_envs.toolbox.exact import read_number, write_number

NUMBERS = st.one_of(
    st.integers(0, 10**6).map(lambda n: (str(n), Fraction(n))),
    st.decimals(0, 1000, places=3, allow_nan=False).map(lambda d: (f"{d:f}", Fraction(d))),
)


def _joined(pair):
    (left, a), (right, b), sign = pair
    value = {"+": a + b, "-": a - b, "*": a * b, "/": a / b if b else None, "%": a % b if b else None}[sign]
    return (f"({left} {sign} {right})", value)


def _usable(pair):
    return pair[0][1] is not None and pair[1][1] is not None


EXPRESSIONS = st.recursive(
    NUMBERS, lambda inner: st.tuples(inner, inner, st.sampled_from("+-*/%")).filter(_usable).map(_joined), max_leaves=8
)


@given(EXPRESSIONS)
def test_it_agrees_with_exact_fractions(expression):
    text, value = expression
    if value is None:
        with pytest.raises(Impossible, match="division by zero"):
            calculate(text)
    else:
        assert calculate(text) == value


def _value_or_message(text):
    try:
        return isinstance(calculate(text), Fraction)
    except Impossible as why:
        return str(why).startswith("expression: ")


@given(st.text(max_size=60))
def test_any_text_is_a_number_or_a_message(text):
    assert _value_or_message(text)


@given(st.text(alphabet="0123456789+-*/%^(), gcdmaxround.", max_size=60))
def test_any_near_expression_is_a_number_or_a_message(text):
    assert _value_or_message(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2 + 3 * 4", 14),
        ("-2^2", -4),
        ("(-2)^2", 4),
        ("2^3^2", 512),
        ("2**-2", Fraction(1, 4)),
        ("1/3 + 1/6", Fraction(1, 2)),
        ("0.1 + 0.2", Fraction(3, 10)),
        ("7 % 3", 1),
        ("-7 % 3", 2),
        ("gcd(12, 18, 27)", 3),
        ("lcm(4, 6)", 12),
        ("abs(3 - 10)", 7),
        ("max(1, 2/3, 0.5) - min(1, 2)", 0),
        ("round(2.5)", 3),
        ("round(-2.5)", -3),
        ("round(2/3, 2)", Fraction(67, 100)),
        ("floor(-7/2)", -4),
        ("ceil(7/2)", 4),
        ("6 \u00d7 7 \u00f7 2 \u2212 1", 20),
        ("1^999999999", 1),
    ],
)
def test_it_follows_the_usual_rules(text, value):
    assert calculate(text) == value


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "it ends"),
        ("1 / 0", "division by zero"),
        ("0^-1", "division by zero"),
        ("5 % 0", "division by zero"),
        ("2^100000", f"larger than {MAX_BITS} bits"),
        ("9^9^9", f"larger than {MAX_BITS} bits"),
        ("2^0.5", "whole exponent"),
        ("gdc(4, 6)", "did you mean 'gcd'"),
        ("__import__('os')", "expected a number, a function"),
        ("2 3", "write 2*3"),
        ("(1 + 2", "')' is missing"),
        ("round(1, 99)", "0 to 20 places"),
        ("gcd(1/2)", "whole numbers"),
        ("abs(1, 2)", "takes 1 arguments"),
        ("(" * 60 + "1" + ")" * 60, "nested deeper"),
        ("1" * 401, "at most 400 characters"),
        ("1 + ", "it ends"),
    ],
)
def test_a_bad_expression_says_what_is_wrong(text, says):
    with pytest.raises(Impossible) as why:
        calculate(text)
    assert says in str(why.value)


def test_a_long_tower_of_signs_does_not_nest():
    assert calculate("-" * 399 + "1") == -1


@given(st.fractions())
def test_a_number_reads_back_as_it_was_written(value):
    assert read_number(write_number(value)) == value


@pytest.mark.parametrize(
    "text", ["1,285,220", "1 285 220", "1285220", "1285220.0", "+1285220", "1.28522e6", "2570440/2"]
)
def test_forms_of_a_number_are_the_same_number(text):
    assert read_number(text) == 1_285_220


@pytest.mark.parametrize("text", ["", "x", "1/0", "12,34", "1e9999", "1.", "9" * 2_000, "\u0663"])
def test_what_is_no_number_is_none(text):
    assert read_number(text) is None
