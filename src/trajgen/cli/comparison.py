"""What `show --by` prints: the grid, the cells, the paired tests, or JSON. Knows no run and no shard, only their counts."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import msgspec
from rich.cells import cell_len
from rich.text import Text

from trajgen.cli.output import one_line
from trajgen.cli.table import columns, line, percent, share_cell, used
from trajgen.words import inert

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trajgen.compare.cells import Cell
    from trajgen.compare.comparison import Axis, Comparison
    from trajgen.compare.keys import Varying
    from trajgen.compare.pairs import Pair
    from trajgen.types import Json

_CELL_HEADS = ("n", "success (95 %)", "steps", "median", "return", "feedback", "failed")
_CELL_CAN_GO = ("feedback", "return", "median", "steps")  # in this order, where the terminal is too narrow
_PAIR_HEADS = (
    "A -> B",
    "pairs",
    "both",
    "only A",
    "only B",
    "neither",
    "unpaired",
    "B - A (95 %)",
    "p",
    "Holm p",
    "kept",
)
_PAIR_CAN_GO = ("neither", "both", "unpaired", "only A", "only B", "pairs", "kept", "p")
_CELL_NOTES = {
    "steps": "steps: mean",
    "median": "median: steps of the successful",
    "feedback": "feedback: lines shown",
    "failed": "failed: episodes in no other column",
}
_PAIR_NOTE = (
    "A and B: the same seed, first observation and other keys. B - A: points of success, Newcombe's paired interval (1998, method "
    "10). p: McNemar's exact test, two-sided; Holm p: adjusted for {tests}. kept: success of B / success of A."
)
_UNPAIRED_NOTE = (
    " unpaired: episodes of A + of B without a partner: failed, missing, played more than once, or told another start."
)
_INDENT = "  "
_GAP = "  "
_ANY_WIDTH = 10_000
_MIN_LABEL = 8
_NOTE_WIDTH = 110  # where nobody looks at a terminal
_COUNTS_WIDTH = 36  # what n, success and failed take beside the keys
_SMALLEST_PLAIN_P = 1e-4
_TWO_KEYS = 2


def lines(found: Comparison, width: int | None) -> Iterator[Text]:
    """Yield the whole comparison as lines of inert text.

    Args:
        width: Columns of the terminal; None where there is none, so that no column has to go.
    """
    if len(found.axes) == _TWO_KEYS:
        yield from _grid(found, width)
        yield Text("")
    yield from _cells(found, width)
    yield from _pairs(found, width)


def _label(value: str, limit: int | None) -> str:
    return one_line(value, _ANY_WIDTH if limit is None else max(limit, _MIN_LABEL))


# ------------------------------------------------------------------------------------- two keys at a glance


def _grid(found: Comparison, width: int | None) -> Iterator[Text]:
    """Yield success with its interval, first key down, second key across; in blocks where not all columns fit."""
    down, across = found.axes
    limit = None if width is None else width // 3
    by_values = {cell.values: cell for cell in found.cells}
    rows = [
        [_label(value, limit), *(_grid_cell(by_values.get((value, other))) for other in across.values)]
        for value in down.values
    ]
    table = [[_label(down.name, limit), *(_label(value, limit) for value in across.values)], *rows]
    yield Text(f"success (95 %), {inert(down.name)} down, {inert(across.name)} across", "cyan")
    for block in _blocks(table, width):
        sizes = [max(cell_len(row[i]) for row in table) for i in block]
        for number, row in enumerate(table):
            yield line([row[i] for i in block], sizes, "" if number else "bold")


def _blocks(table: Sequence[Sequence[str]], width: int | None) -> Iterator[list[int]]:
    block = [0]
    for place in range(1, len(table[0])):
        if width is not None and len(block) > 1 and used(table, [*block, place]) > width:
            yield block
            block = [0]
        block.append(place)
    yield block


def _grid_cell(cell: Cell | None) -> str:
    return "" if cell is None else _success(cell)


def _success(cell: Cell) -> str:
    if cell.success is None or cell.success_95 is None:
        return "-"
    return share_cell(cell.success, cell.success_95)


# ------------------------------------------------------------------------------------- cells


def _cells(found: Comparison, width: int | None) -> Iterator[Text]:
    n_keys = len(found.axes)
    has_failed = any(cell.failed for cell in found.cells)
    limit = None if width is None else (width - (_COUNTS_WIDTH if has_failed else _COUNTS_WIDTH - 8)) // n_keys
    names = [_label(axis.name, limit) for axis in found.axes]
    table = [(*names, *_CELL_HEADS), *(_cell(cell, limit) for cell in found.cells)]
    # a key may be called as a column is, and must stay
    heads = [*("",) * n_keys, *_CELL_HEADS]
    kept = columns([heads, *table], _CELL_CAN_GO if has_failed else (*_CELL_CAN_GO, "failed"), width)
    sizes = [max(cell_len(row[i]) for row in table) for i in kept]
    yield line([table[0][i] for i in kept], sizes, "bold", n_keys)
    for cell, row in zip(found.cells, table[1:], strict=True):
        yield line([row[i] for i in kept], sizes, "red" if cell.failed else "", n_keys)
    yield from _note("; ".join(_CELL_NOTES[head] for i in kept if (head := heads[i]) in _CELL_NOTES), width)


def _cell(cell: Cell, limit: int | None) -> tuple[str, ...]:
    return (
        *(_label(value, limit) for value in cell.values),
        f"{cell.n:,}",
        _success(cell),
        "-" if cell.mean_steps is None else f"{cell.mean_steps:.1f}",
        "-" if cell.median_steps is None else f"{cell.median_steps:g}",
        "-" if cell.mean_return is None else f"{cell.mean_return:.4g}",
        f"{cell.feedback_lines:,}",
        f"{cell.failed:,}" if cell.failed else "-",
    )


# ------------------------------------------------------------------------------------- pairs


def _pairs(found: Comparison, width: int | None) -> Iterator[Text]:
    for axis in found.axes:
        if not axis.is_paired and len(axis.values) > 1:
            yield from _note(f"{inert(axis.name)}: no paired tests, since another value of it is another task", width)
    if not found.pairs:
        return
    labels = [_pair_label(found.axes, pair) for pair in found.pairs]
    has_unpaired = any(pair.unpaired_a or pair.unpaired_b for pair in found.pairs)
    table = [_PAIR_HEADS, *((label, *_pair(pair)) for label, pair in zip(labels, found.pairs, strict=True))]
    kept = columns(table, _PAIR_CAN_GO, width)
    # what is compared must be told apart: where it leaves no room for the figures, they get a line of their own
    is_stacked = width is not None and used(table, kept) > width
    if is_stacked:
        table = [(_INDENT, *row[1:]) for row in table]
        table[0] = _PAIR_HEADS
        kept = columns(table, _PAIR_CAN_GO, width)
    if not has_unpaired and _PAIR_HEADS.index("unpaired") in kept:
        kept.remove(_PAIR_HEADS.index("unpaired"))
    sizes = [max(cell_len(row[i]) for row in table) for i in kept]
    yield Text("")
    yield line([_PAIR_HEADS[i] for i in kept], sizes, "bold")
    heading = ""
    for label, pair, row in zip(labels, found.pairs, table[1:], strict=True):
        if heading != (heading := _heading(found.axes, pair)):
            yield Text(_label(heading, width), "cyan")
        if is_stacked:
            yield Text(_INDENT + _label(label, None if width is None else width - len(_INDENT)))
        yield line([row[i] for i in kept], sizes, "")
    tests = "the one test made here" if found.n_tests == 1 else f"all {found.n_tests:,} tests made here"
    yield from _note(_PAIR_NOTE.format(tests=tests) + (_UNPAIRED_NOTE if has_unpaired else ""), width)
    if gone := [head for i, head in enumerate(_PAIR_HEADS) if i not in kept and (head != "unpaired" or has_unpaired)]:
        yield from _note(f"left out for want of room, and in --json: {', '.join(gone)}", width)


def _heading(axes: Sequence[Axis], pair: Pair) -> str:
    """Say which key differs, and the value of all others."""
    at = [f"{axis.name}={value}" for axis, value in zip(axes, pair.a, strict=True) if axis.name != pair.key]
    return inert(f"{pair.key}, at {', '.join(at)}" if at else pair.key)


def _pair_label(axes: Sequence[Axis], pair: Pair) -> str:
    place = [axis.name for axis in axes].index(pair.key)
    return f"{_INDENT}{inert(pair.a[place])} -> {inert(pair.b[place])}"


def _pair(pair: Pair) -> tuple[str, ...]:
    counts = (pair.n, pair.both, pair.only_a, pair.only_b, pair.neither)
    return (
        *(f"{n:,}" for n in counts),
        f"{pair.unpaired_a:,}+{pair.unpaired_b:,}" if pair.unpaired_a or pair.unpaired_b else "-",
        _difference(pair),
        _p(pair.p),
        _p(pair.p_holm),
        "-" if pair.kept is None else f"{percent(pair.kept)} %",
    )


def _difference(pair: Pair) -> str:
    if pair.difference is None or pair.difference_95 is None:
        return "-"
    low, high = pair.difference_95
    return f"{_points(pair.difference)} ({_points(low)} to {_points(high)})"


def _points(share: float) -> str:
    text = f"{100 * share:+.1f}"
    return "0.0" if text in ("-0.0", "+0.0") else text


def _p(p: float | None) -> str:
    if p is None:
        return "-"
    return f"{p:.4f}" if p >= _SMALLEST_PLAIN_P else f"{p:.0e}"


def _note(text: str, width: int | None) -> Iterator[Text]:
    for part in textwrap.wrap(text, _NOTE_WIDTH if width is None else width, break_on_hyphens=False):
        yield Text(part, "dim")


# ------------------------------------------------------------------------------------- for a program, and the keys


def document(found: Comparison) -> Json:
    """Return the comparison as JSON data; what cannot be told is null."""
    names = [axis.name for axis in found.axes]
    return {
        "keys": [{"key": axis.name, "values": list(axis.values), "paired": axis.is_paired} for axis in found.axes],
        "cells": [msgspec.to_builtins(cell) | {"values": _named(names, cell.values)} for cell in found.cells],
        "tests": found.n_tests,
        "pairs": [
            msgspec.to_builtins(pair) | {"a": _named(names, pair.a), "b": _named(names, pair.b)} for pair in found.pairs
        ],
    }


def _named(names: Sequence[str], values: Sequence[str]) -> Json:
    return dict(zip(names, values, strict=True))


def key_lines(found: Sequence[Varying], width: int | None) -> Iterator[Text]:
    """Yield the keys that vary, a line each: the name, how many values, the first of them."""
    table = [("key", "values", ""), *((inert(k.name), f"{len(k.values):,}", ", ".join(k.values[:20])) for k in found)]
    sizes = [max(cell_len(row[i]) for row in table) for i in range(2)]
    left = 120 if width is None else max(10, width - sum(sizes) - 2 * len(_GAP))
    for number, row in enumerate(table):
        start = line([row[0], row[1]], sizes, "" if number else "bold")
        yield Text(f"{start}{_GAP}{one_line(row[2], left)}".rstrip(), "" if number else "bold")
