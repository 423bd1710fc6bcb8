"""Which tool call answers one part of a question, once its input is known. Holds no fact and no value.

The oracle and the planner share it: it is knowledge of the tools, not of the task.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from trajgen.types import ToolCall
from trajgen_envs.toolbox.phrases import BY_OP, MONTHS, ORDINALS, RELATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_CALCULATE = {
    "times_plus": "{x} * {a} + {b}",
    "times_minus": "{x} * {a} - {b}",
    "remainder": "{x} % {a}",
    "gcd": "gcd({x}, {a})",
    "square": "({x})^2",
    "quotient": "{x} / {a}",
    "sum_with": "{x} + {r}",
    "product_with": "{x} * {r}",
    "difference_to": "abs({x} - {r})",
}
_SQL = {
    "customer_country": "SELECT country FROM customers WHERE id = {x}",
    "customer_city": "SELECT city, country FROM customers WHERE id = {x}",
    "order_date": "SELECT ordered_on FROM orders WHERE id = {x}",
    "person_country": "SELECT country FROM customers WHERE name = {q}",
    "person_born": "SELECT country FROM customers WHERE name = {q} AND born = {b}",
    "customers_in": "SELECT count(*) FROM customers WHERE country = {q}",
    "order_kilograms": "SELECT sum(o.kilograms) FROM orders o JOIN customers c ON c.id = o.customer_id WHERE c.country = {q}",
    "sample_element": "SELECT element FROM samples WHERE id = {x}",
    "sample_date": "SELECT taken_on FROM samples WHERE id = {x}",
    "samples_of": "SELECT count(*) FROM samples WHERE element = {q}",
    "sample_grams": "SELECT sum(grams) FROM samples WHERE element = {q}",
    "latest_sample": "SELECT max(taken_on) FROM samples WHERE element = {q}",
}
_DATES: dict[str, Callable[[str, Mapping[str, str]], ToolCall]] = {
    "nth_weekday": lambda x, p: ToolCall(
        "nth_weekday",
        {"year": int(x), "month": MONTHS.index(p["m"]) + 1, "weekday": p["w"], "n": ORDINALS.index(p["n"]) + 1},
    ),
    "add_days": lambda x, p: ToolCall("add_days", {"date": p["d"], "days": int(x)}),
    "days_after": lambda x, p: ToolCall("add_days", {"date": x, "days": int(p["a"])}),
    "days_between": lambda x, p: ToolCall("days_between", {"start": p["d"], "end": x}),
    "day_of_year": lambda x, _: ToolCall("day_of_year", {"date": x}),
    "weekday": lambda x, _: ToolCall("weekday", {"date": x}),
}
_PERSON = re.compile(r"(?P<name>.+?)(?: \(born in (?P<born>\d{4})\))?")


def query(op: str, x: str) -> str:
    """Return what to search for."""
    return f"{RELATIONS[BY_OP[op].relation or ''].keywords} {x}"


def is_sql(op: str) -> bool:
    """Say whether the database answers it."""
    return op in _SQL


def is_calculation(op: str) -> bool:
    """Say whether the calculator answers it."""
    return op in _CALCULATE


def move(op: str, x: str, params: Mapping[str, str], *, unit: str | None = None, ref: str | None = None) -> ToolCall:
    """Return the call that answers one part.

    Args:
        x: Its input as text: a name as the question or a tool wrote it, a number, a date.
        unit: Of `x`, where it is an amount.
        ref: The value of the earlier part that it names too.

    Raises: ValueError: `x` is no number where one is needed.
    """
    if BY_OP[op].relation is not None:
        return ToolCall("search", {"query": query(op, x)})
    if op in _CALCULATE:
        # a fraction or a negative number is put in parentheses: it may stand on either side of an operator
        given = {"x": _safe(x), "r": _safe(ref or "0")} | dict(params)
        return ToolCall("calculate", {"expression": _CALCULATE[op].format(**given)})
    if op in _DATES:
        return _DATES[op](x, params)
    if op == "convert":
        return ToolCall("convert", {"value": x, "from_unit": unit or "", "to_unit": params["u"]})
    if op == "person_country":
        return ToolCall("sql", {"query": _person(x)})
    return ToolCall("sql", {"query": _SQL[op].format(x=x, q=_quoted(x))})


def _safe(number: str) -> str:
    return number if number.isdigit() else f"({number})"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _person(x: str) -> str:
    found = _PERSON.fullmatch(x)
    name, born = (x, None) if found is None else (found["name"], found["born"])
    return _SQL["person_born" if born else "person_country"].format(q=_quoted(name), b=born)
