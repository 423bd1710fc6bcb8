"""How a question is worded, and how its words are read back. Knows no fact, no answer and no environment.

A question is a chain of parts. Each part is a noun phrase with one hole for what the part before it found:
"the population of {x}". Nested, the hole holds the phrase of the part before; in steps, it holds "that city". The
sentences of the corpus are worded here too, so that a reader of search results needs nothing else.
"""

from __future__ import annotations

import functools
import re
from typing import Literal, NamedTuple

from msgspec import Struct

Kind = Literal["country", "city", "element", "number", "quantity", "date", "text"]

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
ORDINALS = ("first", "second", "third", "fourth")

# ------------------------------------------------------------------------------------- the corpus's sentences


class Relation(Struct, frozen=True):
    """One kind of fact.

    Attributes:
        sentence: With `{s}` for the subject and `{v}` for the value.
        keywords: What to search for beside the subject, or beside the value.
    """

    sentence: str
    keywords: str


RELATIONS: dict[str, Relation] = {
    "capital": Relation("The capital of {s} is {v}.", "capital"),
    "currency": Relation("The currency of {s} is called {v}.", "currency called"),
    "currency_code": Relation("The ISO 4217 currency code of {s} is {v}.", "ISO 4217 currency code"),
    "numeric": Relation("The ISO 3166 numeric code of {s} is {v}.", "ISO 3166 numeric code"),
    "alpha3": Relation("The ISO 3166 three-letter code of {s} is {v}.", "ISO 3166 three-letter code"),
    "calling": Relation("The telephone calling code of {s} is {v}.", "telephone calling code"),
    "domain": Relation("The internet country domain of {s} is {v}.", "internet country domain"),
    "continent": Relation("The continent of {s} is {v}.", "continent"),
    "area": Relation("The area of {s} is {v} square kilometres (GeoNames).", "area square kilometres"),
    "population": Relation("The population of {s} is {v} (GeoNames).", "population"),
    "country": Relation("The country of the city {s} is {v}.", "country city"),
    "time_zone": Relation("The time zone of {s} is {v}.", "time zone"),
    "atomic_number": Relation("The atomic number of {s} is {v}.", "atomic number"),
    "symbol": Relation("The chemical symbol of {s} is {v}.", "chemical symbol"),
    "group": Relation("The periodic table group of {s} is {v}.", "periodic table group"),
    "period": Relation("The periodic table period of {s} is {v}.", "periodic table period"),
    "block": Relation("The periodic table block of {s} is {v}.", "periodic table block"),
    "weight": Relation("The atomic weight of {s}, rounded to two decimals, is {v}.", "atomic weight"),
    "discovered": Relation("The discovery year of {s} is {v}.", "discovery year"),
}


@functools.cache
def _sentence_pattern(relation: str) -> re.Pattern[str]:
    before, between, after = re.split(r"\{[sv]\}", RELATIONS[relation].sentence)
    return re.compile(f"{re.escape(before)}(?P<s>.+){re.escape(between)}(?P<v>.+?){re.escape(after)}")


def read_sentence(relation: str, sentence: str) -> tuple[str, str] | None:
    """Return (subject, value) where `sentence` states a fact of this kind."""
    found = _sentence_pattern(relation).fullmatch(sentence)
    return None if found is None else (found["s"], found["v"])


# ------------------------------------------------------------------------------------- the parts of a question


class Phrase(Struct, frozen=True):
    """How one operation is said.

    Attributes:
        op: Name of the operation.
        takes: Kinds that may stand in the hole.
        gives: Kind of what it finds.
        texts: Ways to say it; each begins unlike any other phrase, so that nesting can be read back.
        unit: Unit of what it finds, in the plural, where it is always the same.
        relation: For look-ups in the corpus: the kind of fact.
        backwards: The look-up goes from the fact's value to its subject.
    """

    op: str
    takes: tuple[str, ...]
    gives: Kind
    texts: tuple[str, ...]
    unit: str | None = None
    relation: str | None = None
    backwards: bool = False


def _lookup(op: str, takes: str, gives: Kind, *texts: str, relation: str = "", unit: str | None = None) -> Phrase:
    return Phrase(op, (takes,), gives, texts, unit, relation or op)


_NUMERIC = ("number", "quantity")

PHRASES: tuple[Phrase, ...] = (
    _lookup("capital", "country", "city", "the capital of {x}", "the capital city of {x}"),
    _lookup("currency", "country", "text", "the name of the currency of {x}"),
    _lookup("currency_code", "country", "text", "the ISO 4217 code of the currency of {x}"),
    _lookup("numeric", "country", "number", "the ISO 3166 numeric code of {x}"),
    _lookup("alpha3", "country", "text", "the three-letter ISO 3166 code of {x}"),
    _lookup("calling", "country", "number", "the telephone calling code of {x}", "the calling code for phones in {x}"),
    _lookup("domain", "country", "text", "the internet domain of {x}"),
    _lookup("area", "country", "quantity", "the area in square kilometres of {x}", unit="square kilometres"),
    _lookup("inhabitants", "country", "number", "the number of inhabitants of {x}", relation="population"),
    _lookup("population", "city", "number", "the population of {x}", "the population figure of {x}"),
    _lookup("country", "city", "country", "the country in which {x} lies", "the country to which {x} belongs"),
    _lookup("time_zone", "city", "text", "the time zone of {x}"),
    _lookup("atomic_number", "element", "number", "the atomic number of {x}"),
    _lookup("symbol", "element", "text", "the chemical symbol of {x}"),
    _lookup("group", "element", "number", "the periodic table group of {x}"),
    _lookup("period", "element", "number", "the periodic table period of {x}"),
    _lookup("weight", "element", "number", "the atomic weight (to two decimals) of {x}"),
    _lookup("discovered", "element", "number", "the discovery year of {x}", "the year in which people discovered {x}"),
    Phrase(
        "by_numeric",
        ("number",),
        "country",
        ("the country whose ISO 3166 numeric code is {x}", "the country that has the ISO 3166 numeric code {x}"),
        relation="numeric",
        backwards=True,
    ),
    Phrase(
        "by_atomic_number",
        ("number",),
        "element",
        ("the element whose atomic number is {x}", "the chemical element that has the atomic number {x}"),
        relation="atomic_number",
        backwards=True,
    ),
    Phrase(
        "by_symbol",
        ("symbol",),
        "element",
        ("the element whose chemical symbol is {x}",),
        relation="symbol",
        backwards=True,
    ),
    Phrase("times_plus", _NUMERIC, "number", ("the result of multiplying {x} by {a} and then adding {b}",)),
    Phrase("times_minus", _NUMERIC, "number", ("the result of taking {x} times {a} and then subtracting {b}",)),
    Phrase("remainder", ("number",), "number", ("the remainder of {x} when divided by {a}",)),
    Phrase("gcd", ("number",), "number", ("the greatest common divisor of {x} and the number {a}",)),
    Phrase("square", ("number",), "number", ("the square of {x}",)),
    Phrase("quotient", _NUMERIC, "number", ("the exact quotient of {x} and the number {a}",)),
    Phrase("sum_with", _NUMERIC, "number", ("the sum of {x} and {r}",)),
    Phrase("product_with", _NUMERIC, "number", ("the product of {x} and {r}",)),
    Phrase("difference_to", _NUMERIC, "number", ("the absolute difference of {x} and {r}",)),
    Phrase("nth_weekday", ("number",), "date", ("the date of the {n} {w} of {m} in the year {x}",)),
    Phrase("add_days", ("number",), "date", ("the day that comes {x} days after {d}",)),
    Phrase("days_after", ("date",), "date", ("the day that follows {x} by exactly {a} days",)),
    Phrase("days_between", ("date",), "quantity", ("the number of days from {d} to {x}",), unit="days"),
    Phrase("day_of_year", ("date",), "number", ("the day of the year (1 to 366) of {x}",)),
    Phrase("weekday", ("date",), "text", ("the weekday of {x}", "the weekday that falls on {x}")),
    Phrase("convert", ("quantity",), "quantity", ("the value in {u} of {x}", "the measure in {u} of {x}")),
    Phrase(
        "customer_country", ("number",), "country", ("the country the database gives for the customer whose id is {x}",)
    ),
    Phrase("customer_city", ("number",), "city", ("the city the database gives for the customer whose id is {x}",)),
    Phrase("person_country", ("person",), "country", ("the country the database gives for the customer named {x}",)),
    Phrase("order_date", ("number",), "date", ("the date the database gives for the order whose id is {x}",)),
    Phrase("customers_in", ("country",), "number", ("the number of customers the database lists in {x}",)),
    Phrase(
        "order_kilograms",
        ("country",),
        "quantity",
        ("the total kilograms the database lists for orders by customers in {x}",),
        unit="kilograms",
    ),
    Phrase(
        "sample_element", ("number",), "element", ("the element the database gives for the sample whose id is {x}",)
    ),
    Phrase("sample_date", ("number",), "date", ("the date the database gives for the sample whose id is {x}",)),
    Phrase("samples_of", ("element",), "number", ("the number of samples the database lists for {x}",)),
    Phrase(
        "sample_grams",
        ("element",),
        "quantity",
        ("the total grams the database lists for samples of {x}",),
        unit="grams",
    ),
    Phrase("latest_sample", ("element",), "date", ("the latest date the database gives for a sample of {x}",)),
)
BY_OP: dict[str, Phrase] = {phrase.op: phrase for phrase in PHRASES}

PRONOUNS: dict[Kind, str] = {
    "country": "that country",
    "city": "that city",
    "element": "that element",
    "number": "that number",
    "quantity": "that amount",
    "date": "that date",
    "text": "that text",
}
_PRONOUN = re.compile("|".join(PRONOUNS.values()))
_HOLES = {
    "x": "(?P<x>.+)",
    "a": r"(?P<a>\d+)",
    "b": r"(?P<b>\d+)",
    "d": r"(?P<d>\d{4}-\d{2}-\d{2})",
    "n": f"(?P<n>{'|'.join(ORDINALS)})",
    "w": f"(?P<w>{'|'.join(WEEKDAYS)})",
    "m": f"(?P<m>{'|'.join(MONTHS)})",
    "u": r"(?P<u>[a-z]+(?: (?!of )[a-z]+)?)",
    "r": r"the result of step (?P<r>\d)",
}


@functools.cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Longest opening words first, so that "the country of the customer ..." is never read as a shorter phrase."""
    found = []
    for phrase in PHRASES:
        for text in phrase.texts:
            pieces = re.split(r"\{(\w)\}", text)
            source = "".join(_HOLES[p] if i % 2 else re.escape(p) for i, p in enumerate(pieces))
            found.append((len(pieces[0]), phrase.op, re.compile(source)))
    found.sort(key=lambda f: -f[0])
    return tuple((op, pattern) for _, op, pattern in found)


class Part(Struct, frozen=True):
    """One part of a question as its words tell it.

    Attributes:
        x: What stands in the hole, where it is written out; None where the part before gives it.
        params: The other holes, by letter; all text.
        ref: Index of an earlier part whose result is used too.
        title: The part in words, for plans and progress.
    """

    op: str
    x: str | None
    params: dict[str, str]
    ref: int | None
    title: str


class Question(NamedTuple):
    """What a goal asks: its parts in the order of execution."""

    parts: tuple[Part, ...]


def split_phrase(text: str) -> tuple[str, dict[str, str]] | None:
    """Return the operation that `text` says and its holes, or None where it is no phrase."""
    for op, pattern in _patterns():
        found = pattern.fullmatch(text)
        if found is not None:
            return op, found.groupdict()
    return None


def nests_well(op: str, variant: int) -> bool:
    """Say whether a long phrase can stand in the hole: the hole ends the phrase."""
    texts = BY_OP[op].texts
    return texts[variant % len(texts)].endswith("{x}")


def fill(op: str, variant: int, x: str, params: dict[str, str], ref: int | None = None) -> str:
    """Say one part. `variant` picks a way to say it; `ref` is the index of the earlier part it names."""
    texts = BY_OP[op].texts
    words = params if ref is None else params | {"r": f"the result of step {ref + 1}"}
    return texts[variant % len(texts)].format(x=x, **words)


# ------------------------------------------------------------------------------------- the whole goal

_NESTED = re.compile(r"^Question: What is (?P<x>.+)\?$", re.MULTILINE)
_STEP = re.compile(r"^Step (?P<k>\d): find (?P<x>.+)\.$", re.MULTILINE)


def nested_goal(phrase: str) -> str:
    """Ask in one sentence."""
    return f"Question: What is {phrase}?"


def stepwise_goal(phrases: list[str]) -> str:
    """Ask in numbered steps."""
    steps = "\n".join(f"Step {k}: find {phrase}." for k, phrase in enumerate(phrases, 1))
    return f"Work this out in steps.\n{steps}\nThe question is the result of step {len(phrases)}."


def read_goal(goal: str) -> Question | None:
    """Read a goal's parts back from its words; None where it is not worded as here."""
    steps = [found["x"] for found in _STEP.finditer(goal)]
    if steps:
        read = [_read_step(text) for text in steps]
        parts = [part for part in read if part is not None]
        return Question(tuple(parts)) if len(parts) == len(read) else None
    asked = _NESTED.search(goal)
    return None if asked is None else _read_nested(asked["x"])


def _read_step(text: str) -> Part | None:
    split = split_phrase(text)
    if split is None:
        return None
    op, holes = split
    x = holes.pop("x")
    ref = holes.pop("r", None)
    literal = None if _PRONOUN.fullmatch(x) else x
    return Part(op, literal, holes, None if ref is None else int(ref) - 1, text)


def _read_nested(text: str) -> Question | None:
    layers: list[tuple[str, dict[str, str]]] = []
    inner: str | None = text
    while inner is not None and (split := split_phrase(inner)) is not None:
        layers.append(split)
        inner = split[1].pop("x")
    if not layers:
        return None
    parts: list[Part] = []
    for op, holes in reversed(layers):
        x = inner if not parts else None
        said = x if x is not None else PRONOUNS[BY_OP[parts[-1].op].gives]
        parts.append(Part(op, x, holes, None, fill(op, 0, said, holes)))
    return Question(tuple(parts))
