"""`compare`: a run and some of its keys -> cells and paired tests. Knows no table, no picture and no terminal."""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from trajgen.compare import keys as dials
from trajgen.compare.cells import Cell, cell
from trajgen.compare.keys import Key, Keys, Varying
from trajgen.compare.pairs import Group, Pair, Played, Twin, adjusted, group, pair
from trajgen.compare.rows import Row, rows
from trajgen.errors import ConfigError
from trajgen.store.plan import read_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from trajgen.store.layout import RunDir

# an episode of another environment, seed or split is another task, so nothing there is a pair
_OTHER_TASKS = (dials.ENV, dials.SPLIT, dials.SEED)

Values = tuple[str, ...]


class Axis(Struct, frozen=True):
    """One key compared by.

    Attributes:
        name: As a person can type it.
        values: Those that committed episodes have, in their natural order.
        is_numeric: All of them are numbers that measure something; a seed does not.
        is_paired: Episodes that differ in it alone may be the same task.
    """

    name: str
    values: tuple[str, ...]
    is_numeric: bool
    is_paired: bool


class Comparison(Struct, frozen=True):
    """A run by some of its keys.

    Attributes:
        run: The run's name.
        axes: One per key, in the order they were asked for.
        cells: Combinations of values that have an episode, in the order of the axes.
        pairs: By axis, then in the order of the values.
    """

    run: str
    axes: tuple[Axis, ...]
    cells: tuple[Cell, ...]
    pairs: tuple[Pair, ...]

    @property
    def n_tests(self) -> int:
        """How many tests `p_holm` accounts for."""
        return sum(pair.p is not None for pair in self.pairs)


class _Grouped(NamedTuple):
    cells: dict[Values, list[Row]]
    groups: dict[Values, Group]


def varying(run: RunDir) -> list[Varying]:
    """Return the keys that a run can be compared by: those with at least two values. Reads no shard."""
    return Keys(read_plan(run).entries).varying()


def compare(
    run: RunDir, by: Sequence[str], *, every_pair: bool = False, advance: Callable[[], None] | None = None
) -> Comparison:
    """Count a run by the values of some keys, and test what differs.

    Args:
        by: Names of keys; see `Keys.find`.
        every_pair: Test all values of a key against each other, not neighbours alone.
        advance: Called after each episode that was read.

    Raises:
        ConfigError: a name is no key of this run, or is there twice.
        DamagedRun: a file of the run was changed; the message names it.
    """
    plan = read_plan(run)
    keys = Keys(plan.entries)
    chosen = [keys.find(name) for name in by]
    for key in chosen:
        if chosen.count(key) > 1:
            raise ConfigError(f"--by: {keys.spelled(key)!r} is there {chosen.count(key)} times; type each key once")
    found = _grouped(keys, chosen, _told(rows(run, plan), advance))
    axes = tuple(_axis(keys, key, {values[i] for values in found.cells}) for i, key in enumerate(chosen))
    order = [values for values in itertools.product(*(axis.values for axis in axes)) if values in found.cells]
    pairs = [
        pair(axis.name, found.groups[a], found.groups[b])
        for place, (axis, key) in enumerate(zip(axes, chosen, strict=True))
        if axis.is_paired
        for a, b in _couples(place, key, order, every=every_pair)
    ]
    cells = tuple(cell(values, found.cells[values]) for values in order)
    return Comparison(run.path.resolve().name, axes, cells, adjusted(pairs))


def _told(of: Iterable[Row], advance: Callable[[], None] | None) -> Iterator[Row]:
    for row in of:
        yield row
        if advance is not None:
            advance()


def _axis(keys: Keys, key: Key, there: set[str]) -> Axis:
    values = tuple(value for value in keys.values(key) if value in there)
    return Axis(
        name=keys.spelled(key),
        values=values,
        is_numeric=key not in (dials.SEED, dials.SAMPLE) and all(map(dials.is_number, values)),
        is_paired=key not in _OTHER_TASKS,
    )


def _grouped(keys: Keys, by: Sequence[Key], of: Iterable[Row]) -> _Grouped:
    cells: dict[Values, list[Row]] = defaultdict(list)
    played: dict[Values, list[Played]] = defaultdict(list)
    rests: dict[Values, int] = {}
    rest_of: dict[int, int] = {}  # what an entry has beside the keys, by its place
    for row in of:
        if row.entry not in rest_of:
            rest_of[row.entry] = rests.setdefault(keys.rest(row.entry, by), len(rests))
        values = tuple(_value(keys, key, row) for key in by)
        sample = 0 if dials.SAMPLE in by else row.sample
        cells[values].append(row)
        played[values].append(Played(Twin(rest_of[row.entry], row.start, row.seed, sample, row.trial), row.success))
    return _Grouped(cells, {values: group(values, of) for values, of in played.items()})


def _value(keys: Keys, key: Key, row: Row) -> str:
    if key == dials.SEED:
        return str(row.seed)
    return str(row.sample) if key == dials.SAMPLE else keys.value(row.entry, key)


def _couples(place: int, key: Key, order: Sequence[Values], *, every: bool) -> Iterator[tuple[Values, Values]]:
    """Yield cells that differ in one key alone: all of them, or those whose values are neighbours."""
    lines: dict[Values, list[Values]] = defaultdict(list)
    for values in order:
        lines[values[:place] + values[place + 1 :]].append(values)
    for line in lines.values():
        for (i, a), (j, b) in itertools.combinations(enumerate(line), 2):
            if every or j == i + 1 or (key == dials.FEEDBACK and _adds_one(a[place], b[place])):
                yield a, b


def _adds_one(a: str, b: str) -> bool:
    """Say whether `b` shows what `a` does and one channel more: neighbours too, though others may stand between."""
    shown_a, shown_b = dials.channels(a), dials.channels(b)
    return shown_a < shown_b and len(shown_b - shown_a) == 1
