"""An exact calculator: text in, a fraction out, by recursive descent. Bounded in length, depth and size; never `eval`.

sum     = product (("+" | "-") product)*
product = signed (("*" | "/" | "%") signed)*
signed  = ("+" | "-") signed | power
power   = atom (("^" | "**") signed)?              binds tighter than a sign: -2^2 is -4
atom    = number | name "(" sum ("," sum)* ")" | "(" sum ")"
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import TYPE_CHECKING

from trajgen.errors import nearest
from trajgen.toolenv import Impossible
from trajgen_envs.toolbox.exact import MAX_DECIMALS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_CHARS = 400
MAX_DEPTH = 40
MAX_BITS = 4_000
_TOKEN = re.compile(r"\s*(?:(?P<number>[0-9]+(?:\.[0-9]+)?)|(?P<name>[A-Za-z]+)|(?P<sign>\*\*|[-+*/%^(),]))")
_SAME = str.maketrans({"\u00d7": "*", "\u00b7": "*", "\u00f7": "/", "\u2212": "-"})


def calculate(expression: str) -> Fraction:
    """Work out an expression exactly.

    Raises: Impossible: it is no expression, divides by zero, or is longer or larger than the bounds; says where.
    """
    if len(expression) > MAX_CHARS:
        raise Impossible(f"expression: expected at most {MAX_CHARS} characters, found {len(expression)}")
    reader = _Reader(_tokens(expression.translate(_SAME)))
    value = reader.sum(0)
    if reader.peek() is not None:
        raise Impossible(f"expression: expected an operator or the end, found {reader.peek()!r}; write 2*3, not 2 3")
    return value


def _tokens(text: str) -> list[str]:
    tokens = []
    at = 0
    text = text.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise Impossible(
                f"expression: expected a number, a function or one of + - * / % ^ ( ), found {text[at:].strip()[:1]!r}"
            )
        tokens.append(found[found.lastgroup or 0])
        at = found.end()
    return tokens


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise Impossible(f"expression: a result is larger than {MAX_BITS} bits")
    return value


class _Reader:
    """Reads tokens from left to right."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self._tokens = tokens
        self._at = 0

    def peek(self) -> str | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _take(self) -> str:
        token = self.peek()
        if token is None:
            raise Impossible("expression: it ends where a number was expected")
        self._at += 1
        return token

    def _expect(self, sign: str) -> None:
        found = self.peek()
        if found != sign:
            raise Impossible(
                f"expression: expected {sign!r}, found {found!r}" if found else f"expression: {sign!r} is missing"
            )
        self._at += 1

    def sum(self, depth: int) -> Fraction:
        if depth > MAX_DEPTH:
            raise Impossible(f"expression: nested deeper than {MAX_DEPTH}")
        value = self._product(depth)
        while (sign := self.peek()) in ("+", "-"):
            self._at += 1
            other = self._product(depth)
            value = _bounded(value + other if sign == "+" else value - other)
        return value

    def _product(self, depth: int) -> Fraction:
        value = self._signed(depth)
        while (sign := self.peek()) in ("*", "/", "%"):
            self._at += 1
            value = _bounded(_multiplied(value, sign or "", self._signed(depth)))
        return value

    def _signed(self, depth: int) -> Fraction:
        negative = False
        while (sign := self.peek()) in ("+", "-"):
            self._at += 1
            negative ^= sign == "-"
        value = self._power(depth)
        return -value if negative else value

    def _power(self, depth: int) -> Fraction:
        base = self._atom(depth)
        if self.peek() not in ("^", "**"):
            return base
        self._at += 1
        if depth >= MAX_DEPTH:
            raise Impossible(f"expression: nested deeper than {MAX_DEPTH}")
        return _raised(base, self._signed(depth + 1))

    def _atom(self, depth: int) -> Fraction:
        token = self._take()
        if token[0].isdigit():
            return _bounded(Fraction(token))
        if token[0].isalpha():
            return self._function(token, depth)
        if token != "(":  # noqa: S105 - a token of the grammar
            raise Impossible(f"expression: expected a number, found {token!r}")
        value = self.sum(depth + 1)
        self._expect(")")
        return value

    def _function(self, name: str, depth: int) -> Fraction:
        known = FUNCTIONS.get(name.lower())
        if known is None:
            raise Impossible(
                f"expression: no function {name!r}{nearest(name.lower(), FUNCTIONS) or '; known: ' + ', '.join(FUNCTIONS)}"
            )
        self._expect("(")
        values = [self.sum(depth + 1)]
        while self.peek() == ",":
            self._at += 1
            values.append(self.sum(depth + 1))
        self._expect(")")
        low, high, function = known
        if not low <= len(values) <= high:
            wanted = str(low) if low == high else f"{low} to {high}"
            raise Impossible(f"expression: {name} takes {wanted} arguments, found {len(values)}")
        return _bounded(function(values))


def _multiplied(value: Fraction, sign: str, other: Fraction) -> Fraction:
    if sign == "*":
        return value * other
    if not other:
        raise Impossible("expression: division by zero")
    return value / other if sign == "/" else value % other


def _raised(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1:
        raise Impossible("expression: expected a whole exponent")
    if not base and exponent < 0:
        raise Impossible("expression: division by zero")
    bits = max(abs(base.numerator).bit_length(), base.denominator.bit_length())
    if bits > 1 and abs(exponent) * (bits - 1) > MAX_BITS:  # the result has at least that many bits
        raise Impossible(f"expression: a result is larger than {MAX_BITS} bits")
    if abs(exponent) > MAX_BITS:  # of 0, 1 or -1
        exponent = Fraction(exponent % 2)
    return _bounded(base ** int(exponent))


def _whole(values: Sequence[Fraction], name: str) -> list[int]:
    if any(v.denominator != 1 for v in values):
        raise Impossible(f"expression: {name} takes whole numbers")
    return [int(v) for v in values]


def _round(values: Sequence[Fraction]) -> Fraction:
    """To the nearest, halves away from zero."""
    places = _whole(values[1:], "round's second argument")[0] if len(values) > 1 else 0
    if not 0 <= places <= MAX_DECIMALS:
        raise Impossible(f"expression: round takes 0 to {MAX_DECIMALS} places, found {places}")
    scaled = abs(values[0]) * 10**places
    rounded = Fraction(math.floor(scaled + Fraction(1, 2)), 10**places)
    return -rounded if values[0] < 0 else rounded


_MANY = 20
FUNCTIONS: dict[str, tuple[int, int, Callable[[list[Fraction]], Fraction]]] = {
    "gcd": (1, _MANY, lambda v: Fraction(math.gcd(*_whole(v, "gcd")))),
    "lcm": (1, _MANY, lambda v: Fraction(math.lcm(*_whole(v, "lcm")))),
    "abs": (1, 1, lambda v: abs(v[0])),
    "min": (1, _MANY, min),
    "max": (1, _MANY, max),
    "round": (1, 2, _round),
    "floor": (1, 1, lambda v: Fraction(math.floor(v[0]))),
    "ceil": (1, 1, lambda v: Fraction(math.ceil(v[0]))),
}
