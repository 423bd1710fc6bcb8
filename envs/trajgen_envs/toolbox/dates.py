"""Dates of the Gregorian calendar, extended to all years 1 to 9999. Text in and out as YYYY-MM-DD; no clock."""

from __future__ import annotations

import calendar
import datetime as dt
import re

from trajgen.errors import nearest
from trajgen.toolenv import Impossible
from trajgen_envs.toolbox.phrases import WEEKDAYS

_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def read_date(text: str, where: str) -> dt.date:
    """Read YYYY-MM-DD.

    Raises: Impossible: it is not written so, or there is no such day.
    """
    text = text.strip()
    if not _ISO.fullmatch(text):
        raise Impossible(f"{where}: expected a date as YYYY-MM-DD, found {text[:40]!r}")
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise Impossible(f"{where}: there is no day {text}") from None


def days_between(start: str, end: str) -> int:
    """Count the days from `start` to `end`; negative where `end` is earlier."""
    return (read_date(end, "end") - read_date(start, "start")).days


def add_days(date: str, days: int) -> str:
    """Return the day `days` later.

    Raises: Impossible: that is outside the years 1 to 9999.
    """
    try:
        return (read_date(date, "date") + dt.timedelta(days=days)).isoformat()
    except OverflowError:
        raise Impossible("days: the result is outside the years 1 to 9999") from None


def weekday(date: str) -> str:
    """Name the day of the week."""
    return WEEKDAYS[read_date(date, "date").weekday()]


def day_of_year(date: str) -> int:
    """Return 1 for 1 January, 365 or 366 for 31 December."""
    return read_date(date, "date").timetuple().tm_yday


def is_leap_year(year: int) -> bool:
    """Say whether the year has a 29 February."""
    return calendar.isleap(year)


def nth_weekday(year: int, month: int, name: str, n: int) -> str:
    """Return the day that is the `n`th (from 1) such weekday of a month.

    Raises: Impossible: no such weekday is known, or the month has fewer.
    """
    known = {w.casefold(): i for i, w in enumerate(WEEKDAYS)}
    at = known.get(name.strip().casefold())
    if at is None:
        raise Impossible(
            f"weekday: expected one of {', '.join(WEEKDAYS)}, found {name[:40]!r}{nearest(name.casefold(), known)}"
        )
    first = dt.date(year, month, 1).weekday()
    day = 1 + (at - first) % 7 + 7 * (n - 1)
    if day > calendar.monthrange(year, month)[1]:
        raise Impossible(f"n: {year}-{month:02d} has no {n}th {WEEKDAYS[at]}")
    return dt.date(year, month, day).isoformat()
