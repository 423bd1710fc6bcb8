"""Units convert exactly there and back; dates agree with the calendar; bad ones name what was meant."""

from __future__ import annotations

import datetime as dt
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trajgen.toolenv import Impossible
from trajgen_envs.toolbox import dates, units
from trajgen_envs.toolbox.graph import CONVERSIONS
from trajgen_envs.toolbox.phrases import WEEKDAYS

PAIRS = [(a, b) for a in units.UNITS for b in units.UNITS if a.dimension == b.dimension]


@given(st.sampled_from(PAIRS), st.fractions())
def test_a_conversion_there_and_back_is_exact(pair, value):
    one, two = pair
    there, unit = units.convert(value, one.name, two.name)
    assert unit == two
    assert units.convert(there, two.name, one.name)[0] == value


@pytest.mark.parametrize(
    ("value", "source", "target", "result"),
    [
        (1, "mile", "km", Fraction(1609344, 1000000)),
        (100, "C", "degrees Fahrenheit", 212),
        (-40, "\u00b0F", "celsius", -40),
        (0, "celsius", "kelvin", Fraction("273.15")),
        (1, "acre", "m2", Fraction("4046.8564224")),
        (2, "weeks", "h", 336),
        (1, "US gallon", "litres", Fraction("3.785411784")),
    ],
)
def test_known_conversions_hold(value, source, target, result):
    assert units.convert(Fraction(value), source, target)[0] == result


def test_no_name_of_a_unit_has_two_meanings():
    names = [name.casefold() for unit in units.UNITS for name in (unit.name, *unit.also)]
    assert len(names) == len(set(names))


def test_an_unknown_unit_names_the_nearest():
    with pytest.raises(Impossible, match="did you mean 'kilograms'"):
        units.convert(Fraction(1), "kilogrms", "grams")


def test_units_of_different_things_do_not_convert_and_it_says_which_would():
    with pytest.raises(Impossible, match=r"metres measure length and grams measure mass; expected one of .*miles"):
        units.convert(Fraction(1), "m", "g")


def test_every_conversion_a_question_asks_for_ends_as_a_decimal():
    for source, targets in CONVERSIONS.items():
        for target in targets:
            result, unit = units.convert(Fraction(1), source, target)
            assert unit.name == target
            assert 10**20 % result.denominator == 0


DAYS = st.dates(dt.date(1, 1, 1), dt.date(9999, 12, 31))


@given(DAYS, DAYS)
def test_adding_the_days_between_leads_to_the_other_day(one, two):
    days = dates.days_between(one.isoformat(), two.isoformat())
    assert dates.add_days(one.isoformat(), days) == two.isoformat()


@given(st.integers(1, 9999), st.integers(1, 12), st.sampled_from(WEEKDAYS), st.integers(1, 5))
def test_the_nth_weekday_is_that_weekday_in_that_week(year, month, name, n):
    first = dt.date(year, month, 1)
    days = [first + dt.timedelta(k) for k in range(35 if (year, month) < (9999, 12) else 31)]
    wanted = [d for d in days if d.month == month and WEEKDAYS[d.weekday()] == name]
    if n > len(wanted):
        with pytest.raises(Impossible, match="has no 5th"):
            dates.nth_weekday(year, month, name.lower(), n)
    else:
        assert dates.nth_weekday(year, month, name.lower(), n) == wanted[n - 1].isoformat()


@pytest.mark.parametrize(("date", "n"), [("2024-12-31", 366), ("2023-12-31", 365), ("1999-01-01", 1)])
def test_days_of_the_year_count_from_one(date, n):
    assert dates.day_of_year(date) == n


@pytest.mark.parametrize(
    "text", ["2023-02-29", "2023-13-01", "tomorrow", "", "2023-1-1", "20230101", "\u0662023-01-01"]
)
def test_what_is_no_date_is_refused(text):
    with pytest.raises(Impossible, match=r"date: (expected a date as YYYY-MM-DD|there is no day)"):
        dates.weekday(text)


def test_a_day_outside_the_calendar_is_refused():
    with pytest.raises(Impossible, match="outside the years"):
        dates.add_days("9999-12-31", 1)


def test_an_unknown_weekday_names_the_nearest():
    with pytest.raises(Impossible, match="did you mean 'wednesday'"):
        dates.nth_weekday(2020, 1, "wednesdy", 1)
