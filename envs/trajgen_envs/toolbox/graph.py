"""The typed graph: every operation of a question, with what it accepts and how its value is found.

Each entry of `FIND` takes the value in hand and returns what the operation gives, or None where it cannot follow. The
values are worked out from the corpus, the rows of the database and exact arithmetic, not by asking the tools.
"""

from __future__ import annotations

import datetime as dt
import math
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from trajgen_envs.toolbox import database, dates, facts, units
from trajgen_envs.toolbox.database import Plan
from trajgen_envs.toolbox.exact import read_number, write_number
from trajgen_envs.toolbox.phrases import BY_OP, MONTHS, ORDINALS, PHRASES, WEEKDAYS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.random import Generator


class Value(Struct, frozen=True):
    """What one part of a question finds.

    Attributes:
        kind: As in `phrases.Kind`, or `person` or `symbol`, which only a question can name.
        text: As tools write it; a city that shares its name carries its country in parentheses.
        unit: In the plural, for amounts.
    """

    kind: str
    text: str
    unit: str | None = None

    def number(self) -> Fraction:
        """Return it as a number; 0 where it is none."""
        return read_number(self.text) or Fraction(0)

    def whole(self) -> int | None:
        """Return it as a whole number, None where it is not written as one."""
        return int(self.text) if self.text.isdigit() else None


class Found(NamedTuple):
    """What an operation gives.

    Attributes:
        proof: What a tool must have shown for the part to count as known: the whole sentence, or the value.
        params: The other holes of its phrase.
        ref: Index of an earlier part that it uses too.
        plan: The database it needs.
        also: Further names that its call reveals.
    """

    value: Value
    proof: str
    params: Mapping[str, str] = MappingProxyType({})
    ref: int | None = None
    plan: Plan | None = None
    also: tuple[str, ...] = ()


class Ground(NamedTuple):
    """What an operation may draw on.

    Attributes:
        earlier: The values found so far, in order; the last one is the input.
        literal: The input is written in the question, and so is no part.
        ambiguous: A name may need what tells it apart.
        goes_on: Another part follows, so that a number too large for any look-up is of no use.
        db_seed: For the first operation that needs a database.
    """

    rng: Generator
    earlier: Sequence[Value]
    literal: bool
    ambiguous: bool
    goes_on: bool
    db_seed: int

    def below(self, n: int) -> int:
        """Draw from 0 to n - 1."""
        return int(self.rng.integers(n))

    def is_useless(self, number: Fraction | int) -> bool:
        """Say whether no look-up could start from a calculated number, where one must."""
        return self.goes_on and number > _DAYS[-1]

    def between(self, low: int, high: int) -> int:
        """Draw from low to high, both included."""
        return low + self.below(high - low + 1)


Find = "Callable[[Ground, Value], Found | None]"


def _number(value: Fraction | int, unit: str | None = None) -> Found:
    text = write_number(Fraction(value))
    return Found(Value("number" if unit is None else "quantity", text, unit), text)


# ------------------------------------------------------------------------------------- the corpus


def _forward(op: str) -> Callable[[Ground, Value], Found | None]:
    phrase = BY_OP[op]

    def find(_: Ground, x: Value) -> Found | None:
        fact = facts.about(phrase.relation or "").get(x.text)
        if fact is None or set(facts.words(fact.value)) <= set(facts.words(fact.display())):
            return None  # unknown, or told by its own question: the capital of Luxembourg
        if op == "numeric" and fact.value.startswith("0"):
            return None
        return Found(Value(phrase.gives, fact.value, phrase.unit), fact.sentence)

    return find


def _backward(op: str) -> Callable[[Ground, Value], Found | None]:
    phrase = BY_OP[op]

    def find(_: Ground, x: Value) -> Found | None:
        fact = facts.with_value(phrase.relation or "").get(x.text)
        if fact is None or not facts.is_telling(x.text):
            return None
        return Found(Value(phrase.gives, fact.display()), fact.sentence)

    return find


# ------------------------------------------------------------------------------------- arithmetic

_TARGETED = 5_000  # larger numbers would need an unwieldy constant to land on a code
_LARGEST = 10**9
_SQUARABLE = range(4, 30_001)


def _target(g: Ground) -> int | None:
    """Draw a number that another look-up can start from, or None for any."""
    kind = g.below(3 if g.goes_on else 4)
    if kind == 0:
        return facts.country_codes()[g.below(len(facts.country_codes()))]
    return (g.between(1, 118), g.between(1_700, 2_100), None)[kind - 1]


def _linear(sign: int) -> Callable[[Ground, Value], Found | None]:
    def find(g: Ground, x: Value) -> Found | None:
        number = x.number()
        if not 0 < number <= _LARGEST:
            return None
        a = g.between(2, 9)
        target = _target(g) if number <= _TARGETED and number.denominator == 1 else None
        b = g.between(11, 999) if target is None else sign * (target - a * int(number))
        result = number * a + sign * b
        if b <= 0 or result < 1 or g.is_useless(result):
            return None
        return _number(result)._replace(params={"a": str(a), "b": str(b)})

    return find


def _remainder(g: Ground, x: Value) -> Found | None:
    number, a = x.whole(), g.between(7, 997)
    if number is None or number < 2 * a:
        return None
    return _number(number % a)._replace(params={"a": str(a)})


def _gcd(g: Ground, x: Value) -> Found | None:
    number = x.whole()
    if number is None or not 0 < number <= _LARGEST:
        return None
    divisors = [d for d in range(4, 60) if number % d == 0 and d != number]
    if not divisors:
        return None
    a = divisors[g.below(len(divisors))] * g.between(2, 30)
    return None if math.gcd(number, a) == a else _number(math.gcd(number, a))._replace(params={"a": str(a)})


def _square(g: Ground, x: Value) -> Found | None:
    number = x.whole()
    if number is None or number not in _SQUARABLE or g.is_useless(number**2):
        return None
    return _number(number**2)


def _quotient(g: Ground, x: Value) -> Found | None:
    number, a = x.number(), g.between(3, 40)
    return _number(number / a)._replace(params={"a": str(a)}) if number > 0 and (number / a).denominator > 1 else None


def _with_earlier(combine: Callable[[Fraction, Fraction], Fraction]) -> Callable[[Ground, Value], Found | None]:
    def find(g: Ground, x: Value) -> Found | None:
        usable = [
            i for i, v in enumerate(g.earlier[:-1]) if v.kind in ("number", "quantity") and 1 < v.number() <= _LARGEST
        ]
        if g.literal or not usable or not 1 < x.number() <= _LARGEST:
            return None
        ref = usable[g.below(len(usable))]
        result = combine(x.number(), g.earlier[ref].number())
        return _number(result)._replace(ref=ref) if result > 0 and not g.is_useless(result) else None

    return find


# ------------------------------------------------------------------------------------- dates and units

_YEARS = range(1_583, 3_000)
_DAYS = range(3, 200_001)
_FIRST, _LAST = dt.date(1_850, 1, 1).toordinal(), dt.date(2_030, 12, 31).toordinal()


def draw_date(g: Ground, first: int = _FIRST, last: int = _LAST) -> str:
    """Draw a day as YYYY-MM-DD."""
    return dt.date.fromordinal(g.between(first, last)).isoformat()


def _nth_weekday(g: Ground, x: Value) -> Found | None:
    year = x.whole()
    if year is None or year not in _YEARS:
        return None
    n, w, m = g.below(4), g.below(7), g.below(12)
    day = dates.nth_weekday(year, m + 1, WEEKDAYS[w], n + 1)
    return Found(Value("date", day), day, {"n": ORDINALS[n], "w": WEEKDAYS[w], "m": MONTHS[m]})


def _add_days(g: Ground, x: Value) -> Found | None:
    days = x.whole()
    if days is None or days not in _DAYS:
        return None
    start = draw_date(g)
    day = dates.add_days(start, days)
    return Found(Value("date", day), day, {"d": start})


def _days_after(g: Ground, x: Value) -> Found | None:
    days = g.between(12, 2_500)
    day = dates.add_days(x.text, days)
    return Found(Value("date", day), day, {"a": str(days)})


def _days_between(g: Ground, x: Value) -> Found | None:
    end = dt.date.fromisoformat(x.text).toordinal()
    start = dt.date.fromordinal(end - g.between(40, 40_000)).isoformat()
    return _number(dates.days_between(start, x.text), "days")._replace(params={"d": start})


def _day_of_year(_: Ground, x: Value) -> Found | None:
    return _number(dates.day_of_year(x.text))


def _weekday(_: Ground, x: Value) -> Found | None:
    name = dates.weekday(x.text)
    return Found(Value("text", name), name)


CONVERSIONS: dict[str, tuple[str, ...]] = {  # only those that end as a decimal
    "square kilometres": ("hectares", "square metres"),
    "kilograms": ("grams", "tonnes", "milligrams"),
    "grams": ("kilograms", "milligrams"),
    "days": ("hours", "minutes", "seconds"),
    "miles": ("metres", "kilometres", "feet"),
    "feet": ("centimetres", "inches", "metres"),
    "pounds": ("grams", "kilograms", "ounces"),
    "acres": ("square metres",),
    "gallons": ("litres", "millilitres"),
    "weeks": ("hours", "minutes"),
}


def _convert(g: Ground, x: Value) -> Found | None:
    targets = CONVERSIONS.get(x.unit or "", ())
    if not targets:
        return None
    unit = targets[g.below(len(targets))]
    result, _ = units.convert(x.number(), x.unit or "", unit)
    if g.goes_on and (result > _TARGETED or result.denominator > 1):
        return None  # only a calculation can follow, and it must lead to a look-up
    return _number(result, unit)._replace(params={"u": unit})


# ------------------------------------------------------------------------------------- the database


def _by_id(op: str, theme: database.Theme, table: str, column: str) -> Callable[[Ground, Value], Found | None]:
    phrase = BY_OP[op]

    def find(g: Ground, x: Value) -> Found | None:
        number = x.whole()
        if number is None or not 0 < number < _TARGETED:
            return None
        plan = Plan(theme, g.db_seed, plant_id=(table, number))
        row = database.TABLES[table](plan)[0]
        value = str(getattr(row, column))
        also = tuple(str(cell) for cell in row if str(cell) not in (value, x.text))
        return Found(Value(phrase.gives, value), value, plan=plan, also=also)

    return find


def _customer_city(g: Ground, x: Value) -> Found | None:
    number = x.whole()
    if number is None or not 0 < number < _TARGETED:
        return None
    twin = g.below(len(facts.twin_cities())) if g.ambiguous else None
    plan = Plan("shop", g.db_seed, plant_id=("customers", number), plant_city=twin)
    row = database.customers(plan)[0]
    city = facts.named(row.city, row.country if twin is not None else "")
    return Found(Value("city", city), row.city, plan=plan, also=(row.country, row.name, str(row.born)))


def _person_country(g: Ground, _: Value) -> Found | None:
    plan = Plan("shop", g.db_seed, twins=g.ambiguous)
    row = database.customers(plan)[0]
    return Found(Value("country", row.country), row.country, plan=plan, also=(row.city,))


def person(plan: Plan) -> str:
    """Name the customer that a question about a person asks for."""
    row = database.customers(plan)[0]
    return f"{row.name} (born in {row.born})" if plan.twins else row.name


def _of_name(op: str, theme: database.Theme) -> Callable[[Ground, Value], Found | None]:
    phrase = BY_OP[op]

    def find(g: Ground, x: Value) -> Found | None:
        if theme == "shop" and not facts.cities_in(x.text):
            return None
        plan = Plan(theme, g.db_seed, plant_name=x.text)
        value = _SUMMARY[op](plan, x.text)
        return Found(Value(phrase.gives, value, phrase.unit), value, plan=plan)

    return find


def _kilograms(plan: Plan, country: str) -> str:
    buyers = [c.id for c in database.customers(plan) if c.country == country]
    return str(sum(o.kilograms for o in database.orders(plan) if o.customer_id in buyers))


def _samples(plan: Plan, element: str) -> list[database.Sample]:
    return [s for s in database.samples(plan) if s.element == element]


_SUMMARY: dict[str, Callable[[Plan, str], str]] = {
    "customers_in": lambda plan, name: str(sum(c.country == name for c in database.customers(plan))),
    "order_kilograms": _kilograms,
    "samples_of": lambda plan, name: str(len(_samples(plan, name))),
    "sample_grams": lambda plan, name: str(sum(s.grams for s in _samples(plan, name))),
    "latest_sample": lambda plan, name: max(s.taken_on for s in _samples(plan, name)),
}

FIND: dict[str, Callable[[Ground, Value], Found | None]] = {
    **{p.op: (_backward if p.backwards else _forward)(p.op) for p in PHRASES if p.relation},
    "times_plus": _linear(1),
    "times_minus": _linear(-1),
    "remainder": _remainder,
    "gcd": _gcd,
    "square": _square,
    "quotient": _quotient,
    "sum_with": _with_earlier(lambda x, r: x + r),
    "product_with": _with_earlier(lambda x, r: x * r),
    "difference_to": _with_earlier(lambda x, r: abs(x - r)),
    "nth_weekday": _nth_weekday,
    "add_days": _add_days,
    "days_after": _days_after,
    "days_between": _days_between,
    "day_of_year": _day_of_year,
    "weekday": _weekday,
    "convert": _convert,
    "customer_country": _by_id("customer_country", "shop", "customers", "country"),
    "customer_city": _customer_city,
    "person_country": _person_country,
    "order_date": _by_id("order_date", "shop", "orders", "ordered_on"),
    "sample_element": _by_id("sample_element", "lab", "samples", "element"),
    "sample_date": _by_id("sample_date", "lab", "samples", "taken_on"),
    **{op: _of_name(op, "shop" if op in ("customers_in", "order_kilograms") else "lab") for op in _SUMMARY},
}
