"""When two answers are the same: case, accents, spaces, thousands separators, forms of a number, and a unit do not matter.

Values stay exact: `0.5`, `1/2` and `2/4` are one number, `0.33` is not a third. Dates are read as YYYY-MM-DD or as
"14 March 2020" and "March 14, 2020".
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING

from trajgen_envs.toolbox import facts
from trajgen_envs.toolbox.exact import read_number
from trajgen_envs.toolbox.phrases import MONTHS
from trajgen_envs.toolbox.units import unit_named

if TYPE_CHECKING:
    from fractions import Fraction

    from trajgen_envs.toolbox.graph import Value

_AMOUNT = re.compile(
    r"(?P<number>[-+\u2212]?[0-9][0-9.,/ '_\u2009\u202f\u00a0]*(?:[eE][-+]?[0-9]+)?)\s*(?P<unit>[^0-9]\S*(?: \S+){0,2})?"
)
_DAY_FIRST = re.compile(rf"(?P<d>[0-9]{{1,2}}) (?P<m>{'|'.join(MONTHS)}),? (?P<y>[0-9]{{4}})", re.IGNORECASE)
_MONTH_FIRST = re.compile(rf"(?P<m>{'|'.join(MONTHS)}) (?P<d>[0-9]{{1,2}}),? (?P<y>[0-9]{{4}})", re.IGNORECASE)


def is_right(given: str, expected: Value) -> bool:
    """Say whether `given` states the expected value."""
    given = given.strip().removesuffix(".").strip().strip("\"'`").strip()
    if expected.kind in ("number", "quantity"):
        return _amount(given, expected.unit) == expected.number()
    if expected.kind == "date":
        return _date(given) == expected.text
    return _name(given) in (_name(expected.text), _name(expected.text.partition(" (")[0]))


def _amount(given: str, unit: str | None) -> Fraction | None:
    plain = read_number(given)
    if plain is not None:
        return plain
    found = _AMOUNT.fullmatch(given)
    if found is None or found["unit"] is None or unit is None:
        return None
    stated = unit_named(found["unit"])
    return read_number(found["number"]) if stated is not None and stated.name == unit else None


def _date(given: str) -> str | None:
    found = _DAY_FIRST.fullmatch(given) or _MONTH_FIRST.fullmatch(given)
    try:
        if found is None:
            return dt.date.fromisoformat(given).isoformat()
        month = [m.casefold() for m in MONTHS].index(found["m"].casefold()) + 1
        return dt.date(int(found["y"]), month, int(found["d"])).isoformat()
    except ValueError:
        return None


def _name(text: str) -> tuple[str, ...]:
    found = facts.words(text)
    return found[1:] if found[:1] == ("the",) else found
