"""Exact numbers as text: reading and writing whole numbers, decimals and fractions. Never a float, never `eval`."""

from __future__ import annotations

import re
from fractions import Fraction

MAX_CHARS = 1_300  # below Python's own limit for turning digits into a number
MAX_DECIMALS = 20
_NUMBER = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>[0-9]+)(?:\.(?P<part>[0-9]+))?(?:[eE](?P<exp>[+-]?[0-9]{1,3}))?(?:\s*/\s*(?P<below>[0-9]+))?"
)
_GROUPS = re.compile(r"[+-]?[0-9]{1,3}(?:[, _'\u2009\u202f\u00a0][0-9]{3})+(?:\.[0-9]+)?")
_SPACES = re.compile(r"[, _'\u2009\u202f\u00a0]")


def read_number(text: str) -> Fraction | None:
    """Read `12`, `-3.25`, `1e3`, `22/7`, `1,285,220` or `1 285 220` exactly; None where it is no number."""
    text = text.strip().replace("\u2212", "-")
    if len(text) > MAX_CHARS:
        return None
    if _GROUPS.fullmatch(text):
        text = _SPACES.sub("", text)
    found = _NUMBER.fullmatch(text)
    if found is None or (found["below"] is not None and not int(found["below"])):
        return None
    part = found["part"] or ""
    value = Fraction(int(found["sign"] + found["whole"] + part), 10 ** len(part))
    if found["exp"]:
        value *= Fraction(10) ** int(found["exp"])
    return value / int(found["below"]) if found["below"] else value


def write_number(value: Fraction) -> str:
    """Write a whole number as digits, a decimal of up to 20 places as that, anything else as a fraction `a/b`."""
    if value.denominator == 1:
        return str(value.numerator)
    places = _places(value.denominator)
    if places is None:
        return f"{value.numerator}/{value.denominator}"
    digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"


def _places(denominator: int) -> int | None:
    """Return how many decimals it takes, or None where it never ends or is too long."""
    for places in range(1, MAX_DECIMALS + 1):
        if 10**places % denominator == 0:
            return places
    return None
