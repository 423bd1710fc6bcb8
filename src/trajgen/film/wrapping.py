"""Text -> lines that fit a width in pixels, and lines -> shares of a page. Pure; knows no font and no picture."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ELLIPSIS = "..."


class Ruler:
    """Measures text in pixels; remembers what it measured, since words repeat from picture to picture."""

    def __init__(self, length: Callable[[str], float]) -> None:
        self._length = length
        self._known: dict[str, float] = {}

    def __call__(self, text: str) -> float:
        """Return the width of a line of text, in pixels."""
        if text not in self._known:
            self._known[text] = self._length(text)
        return self._known[text]


def wrapped(text: str, width: float, most: int, ruler: Callable[[str], float]) -> list[str]:
    """Break text at spaces and newlines, and within words that are too long, into at most `most` lines.

    Args:
        width: In pixels, as `ruler` measures. A line is wider only where one character is.

    Returns: The lines. Where not all of the text fits, the last one ends in an ellipsis.
    """
    lines: list[str] = []
    for line in _broken(text, width, ruler):
        if len(lines) == most:
            return [*lines[:-1], _with_ellipsis(lines[-1], width, ruler)] if lines else []
        lines.append(line)
    return lines


def _broken(text: str, width: float, ruler: Callable[[str], float]) -> Iterator[str]:
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            longer = f"{line} {word}" if line else word
            if ruler(longer) <= width:
                line = longer
                continue
            if line:
                yield line
            *full, line = _chopped(word, width, ruler)
            yield from full
        yield line


def _chopped(word: str, width: float, ruler: Callable[[str], float]) -> Iterator[str]:
    """Yield pieces of a word that fit; each has one character at least."""
    while ruler(word) > width and len(word) > 1:
        n = max(_n_fitting(word, width, ruler), 1)
        yield word[:n]
        word = word[n:]
    yield word


def _n_fitting(text: str, width: float, ruler: Callable[[str], float]) -> int:
    return bisect_right(range(1, len(text) + 1), width, key=lambda n: ruler(text[:n]))


def _with_ellipsis(line: str, width: float, ruler: Callable[[str], float]) -> str:
    room = width - ruler(ELLIPSIS)
    return line[: _n_fitting(line, room, ruler)].rstrip(" .") + ELLIPSIS


def fair_shares(wanted: Sequence[int], free: int) -> list[int]:
    """Share `free` lines out: nobody gets more than wanted, and those who get less get equally many, the first ones
    one more where it does not come out even.
    """
    if sum(wanted) <= free:
        return list(wanted)
    shares = [0] * len(wanted)
    while free > 0:
        hungry = [i for i, share in enumerate(shares) if share < wanted[i]]
        each = max(min(free // len(hungry), *(wanted[i] - shares[i] for i in hungry)), 1)
        for i in hungry[: free // each]:
            shares[i] += each
            free -= each
    return shares
