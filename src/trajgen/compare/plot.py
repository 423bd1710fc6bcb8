"""A comparison -> one PNG: success with its 95 % interval, the first key along x, a colour for each value of the others.

The only module that knows matplotlib, the extra `plot`; it draws on a canvas of its own, so that no display, no window
and no setting of pyplot has a part in it.
"""

from __future__ import annotations

import importlib.util
import itertools
import warnings
from typing import TYPE_CHECKING, NamedTuple

from trajgen.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from trajgen.compare.cells import Cell
    from trajgen.compare.comparison import Axis, Comparison

_DPI = 100
_WIDTH_IN, _HEIGHT_IN = 10.0, 6.0
# M. Okabe and K. Ito, Color Universal Design, 2008: told apart by the colour-blind; black last, yellow left out on white
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_DASHES = ("-", "--", ":")
_LINE_CHARS = 18  # of a label, before it is broken
_UPRIGHT_CHARS = 40  # of a label that stands upright, where they would not fit beside each other
_LEGEND_CHARS = 60
_LEGEND_WIDTH_CHARS = 120
_CHAR_PX = 7.2  # of matplotlib's own font at 10 points, on average; a line of it takes twice as much
_FONT_PT, _SMALLEST_PT = 10.0, 6.0
_PLOT_PX = 930  # what the axes have of the width
_FEW_SERIES = 3  # whose counts are told one by one
_SPREAD = 0.5  # of the distance of two values, over which the points of one value lie side by side
_MARGIN = 0.6  # of that distance, left and right of all points
_MIN_GAP = 0.04  # of the whole range, below which numbers stand evenly, not to scale


class _Place(NamedTuple):
    """Where the values of the x axis stand, and how far the nearest two are apart."""

    xs: tuple[float, ...]
    gap: float
    to_scale: bool


class _Ticks(NamedTuple):
    """What stands under the x axis.

    Attributes:
        every: Only every so many-th label is written.
        extra_in: Inches that upright labels need below.
    """

    labels: tuple[str, ...]
    is_upright: bool
    size_pt: float
    every: int
    extra_in: float


def check(path: Path) -> None:
    """Refuse a file that cannot be drawn, before anything was read.

    Raises:
        ConfigError: the name is not of a PNG file, or its folder does not exist.
        MissingExtra: matplotlib is not installed.
    """
    if path.suffix.lower() != ".png":
        raise ConfigError(f"--plot {path}: expected the name of a PNG file, like {path.stem or 'plot'}.png")
    if path.is_dir() or not path.parent.is_dir():
        found = "a folder" if path.is_dir() else f"no folder {path.parent}"
        raise ConfigError(f"--plot {path}: expected a file in a folder that is there, found {found}")
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtra(
            "--plot needs the package 'matplotlib', which is not installed; type: pip install 'trajgen[plot]'"
        )


def draw(found: Comparison, path: Path) -> None:
    """Write the picture: 1000 pixels wide; higher where labels need the room.

    Raises:
        ConfigError: nothing can be drawn, since no episode's success is known; or the file cannot be written.
        MissingExtra: matplotlib is not installed.
    """
    check(path)
    if not any(cell.judged for cell in found.cells):
        raise ConfigError(f"--plot {path}: nothing to draw, since of no episode it is known whether it succeeded")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # a letter without a shape is drawn as a box
        try:
            # a figure without pyplot has its own Agg canvas for PNG; "Software" would say matplotlib's version
            _figure(found).savefig(path, format="png", dpi=_DPI, metadata={"Software": None})
        except OSError as error:
            raise ConfigError(f"--plot {path}: cannot be written: {error.strerror or error}") from error


def _figure(found: Comparison) -> Figure:
    from matplotlib.figure import Figure

    first, *others = found.axes
    place, series = _place(first), list(_series(found))
    ticks = _ticks(found, place)
    columns = max(1, min(len(series), _LEGEND_WIDTH_CHARS // (8 + max(len(label) for label, _ in series))))
    height_in = _HEIGHT_IN + ticks.extra_in + 0.22 * (-(-len(series) // columns) - 1)
    figure = Figure(figsize=(_WIDTH_IN, height_in), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    for number, (label, cells) in enumerate(series):
        _points(axes, first, place, cells, number=number, n_series=len(series), label=label)
    _frame(axes, found, place, ticks)
    if others:
        title = ", ".join(_plain(axis.name) for axis in others)
        figure.legend(title=title, loc="outside lower center", ncols=columns, frameon=False)
    return figure


def _series(found: Comparison) -> Iterator[tuple[str, list[Cell]]]:
    """Yield the cells of each combination of the other keys' values, with its label; none where there is no cell."""
    for values in itertools.product(*(axis.values for axis in found.axes[1:])):
        cells = [cell for cell in found.cells if cell.values[1:] == values and cell.judged]
        if cells:
            yield _broken(", ".join(values), _LEGEND_CHARS), cells


# ------------------------------------------------------------------------------------- where things stand


def _place(axis: Axis) -> _Place:
    evenly = _Place(tuple(map(float, range(len(axis.values)))), 1.0, to_scale=False)
    if not axis.is_numeric or len(axis.values) == 1:
        return evenly
    xs = tuple(map(float, axis.values))
    gap = min(b - a for a, b in itertools.pairwise(xs))
    # numbers too close to each other could not be read
    return _Place(xs, gap, to_scale=True) if gap >= _MIN_GAP * (xs[-1] - xs[0]) else evenly


def _points(
    axes: Axes, axis: Axis, place: _Place, cells: Sequence[Cell], *, number: int, n_series: int, label: str
) -> None:
    shift = place.gap * _SPREAD * ((number + 0.5) / n_series - 0.5)
    xs = [place.xs[axis.values.index(cell.values[0])] + shift for cell in cells]
    ys = [cell.success or 0.0 for cell in cells]
    ends = [cell.success_95 or (0.0, 1.0) for cell in cells]
    # rounding may put an end a hair inside of its point
    below = [max(0.0, y - low) for y, (low, _) in zip(ys, ends, strict=True)]
    above = [max(0.0, high - y) for y, (_, high) in zip(ys, ends, strict=True)]
    axes.errorbar(
        xs,
        ys,
        yerr=(below, above),
        color=_COLOURS[number % len(_COLOURS)],
        marker=_MARKERS[(number + number // len(_COLOURS)) % len(_MARKERS)],
        markersize=7,
        linestyle=_DASHES[number // len(_COLOURS) % len(_DASHES)] if axis.is_numeric else "none",
        linewidth=1.2,
        elinewidth=1.8,
        capsize=4,
        label=label,
    )


def _frame(axes: Axes, found: Comparison, place: _Place, ticks: _Ticks) -> None:
    first = found.axes[0]
    axes.set_ylim(-0.02, 1.02)  # so that points at 0 and 1 are whole
    axes.set_yticks([i / 10 for i in range(0, 11, 2)])
    axes.set_yticks([i / 10 for i in range(11)], minor=True)
    axes.grid(visible=True, axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_xlim(place.xs[0] - _MARGIN * place.gap, place.xs[-1] + _MARGIN * place.gap)
    axes.set_xticks(
        place.xs[:: ticks.every],
        ticks.labels[:: ticks.every],
        rotation=90 if ticks.is_upright else 0,
        fontsize=ticks.size_pt,
    )
    note = " (not to scale)" if first.is_numeric and not place.to_scale else ""
    axes.set_xlabel(_plain(first.name) + note)
    axes.set_ylabel("success, with 95 % intervals (Wilson)")
    *most, last = [_plain(axis.name) for axis in found.axes]
    names = f"{', '.join(most)} and {last}" if most else last
    axes.set_title(_broken(f"{found.run}: success by {names}", 80))


# ------------------------------------------------------------------------------------- text


def _ticks(found: Comparison, place: _Place) -> _Ticks:
    """Write a value and its number of episodes under each place: side by side where they fit, else upright."""
    values = found.axes[0].values
    labels = tuple(f"{_broken(value, _LINE_CHARS)}\nn = {_counts(found, value)}" for value in values)
    room_px = _PLOT_PX * place.gap / (place.xs[-1] - place.xs[0] + 2 * _MARGIN * place.gap)
    if max(len(line) for label in labels for line in label.splitlines()) * _CHAR_PX < room_px:
        return _Ticks(labels, is_upright=False, size_pt=_FONT_PT, every=1, extra_in=0.0)
    labels = tuple(f"{_broken(value, _UPRIGHT_CHARS)}  (n = {_counts(found, value)})" for value in values)
    n_lines = max(label.count("\n") + 1 for label in labels)
    size_pt = max(_SMALLEST_PT, min(_FONT_PT, _FONT_PT * room_px / (2 * _CHAR_PX * n_lines)))
    every = max(1, round(2 * _CHAR_PX * n_lines * size_pt / _FONT_PT / room_px))  # the rest could not be read
    longest = max(len(line) for label in labels for line in label.splitlines())
    extra_in = longest * _CHAR_PX * size_pt / _FONT_PT / _DPI
    return _Ticks(labels, is_upright=True, size_pt=size_pt, every=every, extra_in=extra_in)


def _counts(found: Comparison, value: str) -> str:
    """Return how many episodes each point of one x value stands for: one number where all are alike."""
    counts = [cell.judged for cell in found.cells if cell.values[0] == value and cell.judged]
    if len(set(counts)) <= 1:
        return f"{counts[0]:,}" if counts else "0"
    if len(counts) > _FEW_SERIES:
        return f"{min(counts):,} to {max(counts):,}"
    return ", ".join(f"{n:,}" for n in counts)


def _broken(text: str, limit: int) -> str:
    """Break a text into lines, behind a plus, a comma or the like where it can be; nothing of it is lost."""
    lines = [""]
    for part in _parts(_inert(text), limit):
        if lines[-1] and len(lines[-1]) + len(part.rstrip()) > limit:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.strip().replace("$", r"\$") for line in lines)


def _parts(text: str, limit: int) -> Iterator[str]:
    start = 0
    for end, char in enumerate(text, 1):
        if char in "+,_/ -" or end - start >= limit:
            yield text[start:end]
            start = end
    yield text[start:]


def _plain(text: str) -> str:
    """Return `text` with nothing that matplotlib reads as mathematics, and no control character."""
    return _inert(text).replace("$", r"\$")


def _inert(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
