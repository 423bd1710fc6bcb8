"""The tools: what an agent may call, and what a call returns. Knows no question; the database is handed in.

Everything here is a pure function of the call and the database, so a call can be made again and tells the same.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from trajgen.spaces import tool
from trajgen.toolenv import Impossible
from trajgen_envs.toolbox import calculator, database, dates, extras, facts, units
from trajgen_envs.toolbox.exact import read_number, write_number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trajgen.types import Json, Tool, ToolCall
    from trajgen_envs.toolbox.database import Database, Rows

Family = Literal["search", "calculator", "dates", "units", "sql"]
FAMILIES: tuple[Family, ...] = get_args(Family)

_DATE = {"type": "string", "maxLength": 40, "description": "YYYY-MM-DD"}
_YEAR = {"type": "integer", "minimum": 1, "maximum": 9_999}
_WORDS = {"type": "string", "maxLength": 300}
_UNIT = {"type": "string", "maxLength": 60, "description": "a unit's name or symbol, such as miles or kg"}
_MAX_DAYS = 4_000_000

ANSWER = tool(
    "answer",
    "Give the final answer. This ends the episode, right or wrong.",
    value={"type": "string", "maxLength": 400},
)
TOOLS: dict[Family, tuple[Tool, ...]] = {
    "search": (
        tool(
            "search",
            "Search a corpus of facts about countries, cities and elements; returns up to 5 sentences.",
            query=_WORDS,
        ),
    ),
    "calculator": (
        tool(
            "calculate",
            "Work out an expression exactly: + - * / % ^, parentheses, gcd lcm abs min max round floor ceil.",
            expression={"type": "string", "maxLength": calculator.MAX_CHARS},
        ),
    ),
    "dates": (
        tool("days_between", "Count the days from one date to another.", start=_DATE, end=_DATE),
        tool(
            "add_days",
            "Return the date that many days later; earlier where negative.",
            date=_DATE,
            days={"type": "integer", "minimum": -_MAX_DAYS, "maximum": _MAX_DAYS},
        ),
        tool("weekday", "Name the day of the week of a date.", date=_DATE),
        tool("day_of_year", "Count the day within its year, 1 to 366.", date=_DATE),
        tool(
            "nth_weekday",
            "Return the date of, for example, the third Friday of a month.",
            year=_YEAR,
            month={"type": "integer", "minimum": 1, "maximum": 12},
            weekday={"type": "string", "maxLength": 20},
            n={"type": "integer", "minimum": 1, "maximum": 5},
        ),
        tool("leap_year", "Say whether a year has a 29 February.", year=_YEAR),
    ),
    "units": (
        tool(
            "convert",
            "Convert a value between units, exactly.",
            value={"type": ["string", "number"], "maxLength": 100, "description": "a number, decimal or fraction"},
            from_unit=_UNIT,
            to_unit=_UNIT,
        ),
    ),
    "sql": (
        tool("list_tables", "List the tables and columns of the database."),
        tool(
            "sql",
            f"Run one read-only SELECT on the SQLite database; returns up to {database.MAX_ROWS} rows.",
            query={"type": "string", "maxLength": database.MAX_QUERY_CHARS},
        ),
    ),
}
ALL_TOOLS: tuple[Tool, ...] = (*(t for family in FAMILIES for t in TOOLS[family]), ANSWER)


class Result(NamedTuple):
    """What a call returned: the text for the agent, and the single values it showed."""

    text: str
    found: tuple[str, ...]


def run(call: ToolCall, db: Callable[[], Database]) -> Result:
    """Execute any tool but `answer`; its arguments fit the schema.

    Args:
        db: Opens the task's database; called only where it is needed.

    Raises: Impossible: the call cannot be done; says why.
    """
    name = call.tool or ""
    if name in extras.BY_NAME:
        return _plain(_sendable(extras.BY_NAME[name].run(call.arguments)))
    if name == "sql":
        return _sql(db().query(str(call.arguments["query"])))
    if name == "list_tables":
        return _plain(database.schema_text(db().plan.theme))
    return _RUN[name](call.arguments)


def _plain(text: str) -> Result:
    return Result(text, (text,))


def _sendable(text: str) -> str:
    """Replace what no encoding can carry (a lone surrogate an agent sent)."""
    return text.encode("utf-8", "replace").decode()


def _search(a: Mapping[str, Json]) -> Result:
    found = facts.search(str(a["query"]))
    if not found:
        return Result("Nothing was found.", ())
    return Result("\n".join(f"{k}. {sentence}" for k, sentence in enumerate(found, 1)), found)


def _convert(a: Mapping[str, Json]) -> Result:
    given = a["value"]
    value = read_number(given) if isinstance(given, str) else read_number(str(given))
    if value is None:
        raise Impossible(f"value: expected a number such as 12, 2.5 or 3/4, found {str(given)[:40]!r}")
    result, unit = units.convert(value, str(a["from_unit"]), str(a["to_unit"]))
    written = write_number(result)
    about = f" (about {float(result):.6g})" if "/" in written and abs(result) < Fraction(10) ** 300 else ""
    return Result(f"{written} {unit.name}{about}", (written,))


def _sql(rows: Rows) -> Result:
    lines = [" | ".join(rows.columns), *(" | ".join(row) for row in rows.rows)]
    if not rows.rows:
        lines.append("(no rows)")
    text = "\n".join(lines)
    if len(text) > database.MAX_RESULT_CHARS:
        raise Impossible(f"query: the result is longer than {database.MAX_RESULT_CHARS} characters; ask for less")
    if rows.more:
        text += f"\n(more rows than {database.MAX_ROWS}; the rest is not shown)"
    few = rows.rows[:_FEW]
    return Result(text, tuple(cell for row in few for cell in row))


_FEW = 5  # what a longer table holds has not been singled out
_RUN: dict[str, Callable[[Mapping[str, Json]], Result]] = {
    "search": _search,
    "calculate": lambda a: _plain(write_number(calculator.calculate(str(a["expression"])))),
    "days_between": lambda a: _plain(str(dates.days_between(str(a["start"]), str(a["end"])))),
    "add_days": lambda a: _plain(dates.add_days(str(a["date"]), int(a["days"]))),
    "weekday": lambda a: _plain(dates.weekday(str(a["date"]))),
    "day_of_year": lambda a: _plain(str(dates.day_of_year(str(a["date"])))),
    "nth_weekday": lambda a: _plain(dates.nth_weekday(int(a["year"]), int(a["month"]), str(a["weekday"]), int(a["n"]))),
    "leap_year": lambda a: _plain(
        f"{int(a['year'])} is {'' if dates.is_leap_year(int(a['year'])) else 'not '}a leap year"
    ),
    "convert": _convert,
}
