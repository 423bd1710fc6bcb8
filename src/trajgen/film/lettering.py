"""Text -> pixels: one font, what it lacks, and how wide a line is. Knows no layout.

The font is the one that Pillow carries unless another is given, so that the same text gives the same pixels on every
machine. It has little more than ASCII; what it lacks is written plainly where that says the same.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from PIL import ImageFont

from trajgen.errors import ConfigError
from trajgen.film.wrapping import Ruler

if TYPE_CHECKING:
    from pathlib import Path

    from PIL import ImageDraw

    Colour = tuple[int, int, int]

_SPACE = 0.28  # of the font's height; hinting at small sizes leaves words that run into each other
# what the font lacks and no decomposition of Unicode's gives
_INSTEAD = str.maketrans(
    {
        "\N{EN DASH}": "-",
        "\N{EM DASH}": "-",
        "\N{MINUS SIGN}": "-",
        "\N{HYPHEN}": "-",
        "\N{NON-BREAKING HYPHEN}": "-",
        "\N{RIGHTWARDS ARROW}": "->",
        "\N{LEFTWARDS ARROW}": "<-",
        "\N{GREATER-THAN OR EQUAL TO}": ">=",
        "\N{LESS-THAN OR EQUAL TO}": "<=",
        "\N{ALMOST EQUAL TO}": "~",
        "\N{BULLET}": "*",
        "\N{MULTIPLICATION SIGN}": "x",
        "\N{LATIN SMALL LETTER SHARP S}": "ss",
    }
)


class Lettering:
    """Draws lines of text in one size.

    Args:
        size_px: Height of the font.
        file: A TrueType or OpenType file; None takes the font that Pillow carries.

    Attributes:
        lacked: Characters that were asked for and stand as empty boxes.

    Raises:
        ConfigError: the file is no font.
    """

    def __init__(self, size_px: int, file: Path | None = None) -> None:
        self._font = _font(size_px, file)
        self._missing = bytes(self._font.getmask("\uffff"))  # no character at all, which no font has
        self._space = max(self._font.getlength(" "), _SPACE * size_px)
        self._word = Ruler(self._font.getlength)
        self._known: dict[str, str] = {}
        self.lacked: set[str] = set()

    def width(self, line: str) -> float:
        """Return how wide a line is, in pixels."""
        words = line.split(" ")
        return sum(map(self._word, words)) + self._space * (len(words) - 1)

    def draw(
        self, draw: ImageDraw.ImageDraw, where: tuple[float, float], line: str, colour: Colour, *, to_left: bool = False
    ) -> None:
        """Draw a line; `where` is its upper left corner, or its upper right one with `to_left`."""
        x, y = where
        x -= self.width(line) if to_left else 0.0
        for word in line.split(" "):
            draw.text((round(x), y), word, colour, self._font)
            x += self._word(word) + self._space

    def drawable(self, text: str) -> str:
        """Put plain characters where the font lacks one and they say the same, or nearly; the others become boxes."""
        if text.isascii():
            return text
        return "".join(map(self._glyphs, unicodedata.normalize("NFC", text)))  # letters and their accents in one

    def _glyphs(self, char: str) -> str:
        if char not in self._known:
            self._known[char] = self._found(char)
        return self._known[char]

    def _found(self, char: str) -> str:
        if char.isspace() or self._has(char):
            return char
        parts = unicodedata.normalize("NFKD", char.translate(_INSTEAD))
        plain = "".join(part for part in parts if not unicodedata.combining(part))
        if plain and plain.isprintable() and all(map(self._has, plain)):
            return plain
        self.lacked.add(char)
        return char

    def _has(self, char: str) -> bool:
        return char.isascii() or bytes(self._font.getmask(char)) != self._missing


def _font(size_px: int, file: Path | None) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    if file is None:
        return ImageFont.load_default(size_px)
    try:
        # the basic engine is in every Pillow; the other one is not, and places glyphs elsewhere
        return ImageFont.truetype(str(file), size_px, layout_engine=ImageFont.Layout.BASIC)
    except OSError as error:
        raise ConfigError(f"--font {file}: expected a TrueType or OpenType font: {error}") from None
