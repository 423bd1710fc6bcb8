"""Distractors: tools that work, and that no question needs. Pure functions of their arguments."""

from __future__ import annotations

import base64
import codecs
import math
from typing import TYPE_CHECKING, NamedTuple

from trajgen.spaces import tool
from trajgen.toolenv import Impossible

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trajgen.types import Json, Tool

MAX_TEXT = 200
_TEXT = {"type": "string", "maxLength": MAX_TEXT}
_SMALL = {"type": "integer", "minimum": 1, "maximum": 3_999}
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_CODES = ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.."
_MORSE = _CODES.split()
_ROMAN = (
    (1000, "M"),
    (900, "CM"),
    (500, "D"),
    (400, "CD"),
    (100, "C"),
    (90, "XC"),
    (50, "L"),
    (40, "XL"),
    (10, "X"),
    (9, "IX"),
    (5, "V"),
    (4, "IV"),
    (1, "I"),
)


class Extra(NamedTuple):
    """A tool and what it does; `run` takes valid arguments and returns text."""

    tool: Tool
    run: Callable[[Mapping[str, Json]], str]


def roman(number: int) -> str:
    """Write 1 to 3999 in Roman numerals."""
    out = []
    for value, sign in _ROMAN:
        count, number = divmod(number, value)
        out.append(sign * count)
    return "".join(out)


def _morse(text: str) -> str:
    signs = [_MORSE[_LETTERS.index(c)] for c in text.lower() if c in _LETTERS]
    if not signs:
        raise Impossible("text: expected letters from a to z")
    return " ".join(signs)


def _prime(number: int) -> str:
    is_prime = number > 1 and all(number % d for d in range(2, math.isqrt(number) + 1))
    return f"{number} is {'' if is_prime else 'not '}prime"


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "replace")).decode()


EXTRAS: tuple[Extra, ...] = (
    Extra(tool("reverse_text", "Write a text backwards.", text=_TEXT), lambda a: str(a["text"])[::-1]),
    Extra(tool("roman_numeral", "Write a number in Roman numerals.", number=_SMALL), lambda a: roman(int(a["number"]))),
    Extra(tool("morse_code", "Write a text in Morse code.", text=_TEXT), lambda a: _morse(str(a["text"]))),
    Extra(tool("word_count", "Count the words of a text.", text=_TEXT), lambda a: str(len(str(a["text"]).split()))),
    Extra(tool("is_prime", "Say whether a number is prime.", number=_SMALL), lambda a: _prime(int(a["number"]))),
    Extra(tool("upper_case", "Write a text in capitals.", text=_TEXT), lambda a: str(a["text"]).upper()),
    Extra(tool("base64_encode", "Encode a text in Base64.", text=_TEXT), lambda a: _encoded(str(a["text"]))),
    Extra(
        tool("rot13", "Shift each letter by thirteen.", text=_TEXT), lambda a: codecs.encode(str(a["text"]), "rot13")
    ),
    Extra(tool("binary", "Write a number in binary digits.", number=_SMALL), lambda a: f"{int(a['number']):b}"),
    Extra(
        tool("sort_words", "Sort the words of a text.", text=_TEXT), lambda a: " ".join(sorted(str(a["text"]).split()))
    ),
    Extra(
        tool("count_vowels", "Count the vowels of a text.", text=_TEXT),
        lambda a: str(sum(c in "aeiou" for c in str(a["text"]).lower())),
    ),
    Extra(
        tool("initials", "Take the first letter of each word.", text=_TEXT),
        lambda a: "".join(w[0] for w in str(a["text"]).split()),
    ),
)
BY_NAME: dict[str, Extra] = {extra.tool.name: extra for extra in EXTRAS}
