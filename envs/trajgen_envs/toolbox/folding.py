"""Which operation may follow which, so that no call of a question can be saved. See README, "Why no call can be saved".

Look-ups (a search, a row of the database, the calendar's nth weekday) cannot be seen through: what they return has to
be asked for. The rest is arithmetic in disguise, and two pieces of arithmetic in a row might be done in one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from trajgen_envs.toolbox import moves
from trajgen_envs.toolbox.phrases import BY_OP

if TYPE_CHECKING:
    from trajgen_envs.toolbox.tools import Family

_DATE_OPS = frozenset(("nth_weekday", "add_days", "days_after", "days_between", "day_of_year", "weekday"))
_SHAPES: dict[str, str] = {
    "convert": "convert",
    "add_days": "shift",
    "days_after": "shift",
    "days_between": "span",
    "day_of_year": "span",
    "weekday": "weekday",
}
_PAIRS = frozenset(  # in which neither tool can do the other's half
    (
        ("convert", "calculate"),
        ("calculate", "shift"),
        ("span", "calculate"),
        ("span", "convert"),
        ("shift", "span"),
        ("shift", "weekday"),
    )
)
_ENDS = frozenset((("calculate", "shift"), ("span", "convert")))  # after which nothing can follow


def family(op: str) -> Family:
    """Return the family of tools that answers an operation."""
    if BY_OP[op].relation is not None:
        return "search"
    if moves.is_calculation(op):
        return "calculator"
    if op in _DATE_OPS:
        return "dates"
    return "units" if op == "convert" else "sql"


def _shape(op: str) -> str | None:
    return "calculate" if moves.is_calculation(op) else _SHAPES.get(op)


class Chain(NamedTuple):
    """What the operations so far allow to follow.

    Attributes:
        last: The last two operations.
        run: Shapes of the arithmetic since the last look-up.
        database: The database has been asked; a second query could be part of the first.
        summed: The run began with a number out of the database, and SQL calculates too.
    """

    last: tuple[str, ...] = ()
    run: tuple[str, ...] = ()
    database: bool = False
    summed: bool = False

    def allows(self, op: str, *, goes_on: bool) -> bool:
        """Say whether every call stays needed when `op` follows; with `goes_on`, whether more can follow it too."""
        if goes_on and (BY_OP[op].gives == "text" or op == "quotient"):
            return False
        if moves.is_sql(op):
            return not self.database and not any(moves.is_calculation(o) for o in self.last[-1:])
        shape = _shape(op)
        return shape is None or self._allows_shape(shape, goes_on=goes_on)

    def _allows_shape(self, shape: str, *, goes_on: bool) -> bool:
        if shape == "calculate" and self.summed:
            return False
        if shape == "weekday" and "nth_weekday" in self.last:
            return False  # the question names the weekday
        if not self.run:
            return True
        pair = (self.run[-1], shape)
        return len(self.run) == 1 and pair in _PAIRS and not (goes_on and pair in _ENDS)

    def then(self, op: str) -> Chain:
        """Return the chain with `op` at its end."""
        last, shape, sql = (*self.last, op)[-2:], _shape(op), moves.is_sql(op)
        if shape is not None:
            return Chain(last, (*self.run, shape), self.database, self.summed)
        return Chain(last, (), self.database or sql, sql and BY_OP[op].gives in ("number", "quantity"))
