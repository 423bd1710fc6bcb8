"""How large a job may be, and which values may stand in one. Knows nothing of what the keys mean.

A plan is stored as JSON and its seeds as 64-bit integers, so what neither can hold is refused here, by its path,
before anything is counted out in memory.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from trajgen.errors import ConfigError
from trajgen.strict import join, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_EPISODES = 10_000_000
"""Of one entry; its seeds alone cannot be more either."""
MAX_REPEATS = 1_000_000
"""Samples, or trials, of one task."""
MAX_SECONDS = 10_000_000
"""Of one timeout: four months."""
MAX_WORKERS = 65_536
_MAX_INT = 2**63 - 1
_MAX_DEPTH = 64
_MAX_DIGITS = len(str(_MAX_INT))


def check_plain(data: Any, where: str, depth: int = 0) -> None:  # untyped by nature
    """Refuse what a plan cannot store, anywhere inside `data`.

    Raises:
        ConfigError: NaN or an infinity, an integer of more than 64 bits, text that is no Unicode, a date, tables inside
            tables more than 64 deep; the message starts with the path.
    """
    if depth > _MAX_DEPTH:
        raise ConfigError(f"{where}: expected at most {_MAX_DEPTH} tables and lists inside each other, found more")
    if isinstance(data, dict):
        for key, value in data.items():
            _check_text(key, where)
            check_plain(value, join(where, key), depth + 1)
    elif isinstance(data, list | tuple):
        for index, value in enumerate(data):
            check_plain(value, f"{where}[{index}]", depth + 1)
    elif isinstance(data, str):
        _check_text(data, where)
    else:
        _check_number(data, where)


def _check_text(text: Any, where: str) -> None:
    if not isinstance(text, str):
        raise ConfigError(f"{where}: expected text as a key, found {shown(text)}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{where}: expected text in Unicode, found {shown(text)}") from None


def _check_number(value: Any, where: str) -> None:
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ConfigError(f"{where}: expected a finite number, found {value}")
    elif isinstance(value, int):
        if not -_MAX_INT <= value <= _MAX_INT:
            raise ConfigError(
                f"{where}: expected a whole number within 64 bits, found one of {value.bit_length()} bits"
            )
    else:
        raise ConfigError(f"{where}: expected a value that JSON has, found {shown(value)}")


def read_seeds(given: str | list[int], where: str) -> tuple[int, ...]:
    """Read `"FIRST:PAST_LAST"` or a list; doubles count once.

    Raises:
        ConfigError: neither, no seed at all, one below 0, or more than `MAX_EPISODES`.
    """
    seeds: Sequence[int] = given if isinstance(given, list) else _range(given, where)
    if len(seeds) > MAX_EPISODES:
        raise ConfigError(f"{where}: expected at most {MAX_EPISODES:,} seeds, found {len(seeds):,} in {shown(given)}")
    found = tuple(seeds if isinstance(seeds, range) else dict.fromkeys(seeds))
    if not found or min(found) < 0:
        raise ConfigError(f"{where}: expected at least one seed, none below 0, found {shown(given)}")
    return found


def _range(text: str, where: str) -> range:
    start, colon, stop = text.partition(":")
    if not colon or not start.isdecimal() or not stop.isdecimal():
        raise ConfigError(f'{where}: expected "FIRST:PAST_LAST", e.g. "0:100", or a list, found {shown(text)}')
    # digits first: Python refuses to read thousands of them, and `len` a range beyond 64 bits
    if max(len(start), len(stop)) > _MAX_DIGITS or max(int(start), int(stop)) > _MAX_INT:
        raise ConfigError(f"{where}: expected seeds up to 2**63 - 1, found {shown(text)}")
    return range(int(start), int(stop))


def check_size(n_seeds: int, samples: int, trials: int, where: str) -> None:
    """Refuse an entry of more than `MAX_EPISODES` episodes."""
    n = n_seeds * samples * trials
    if n > MAX_EPISODES:
        raise ConfigError(
            f"{where}: expected at most {MAX_EPISODES:,} episodes, found {n:,} "
            f"({n_seeds:,} seeds x {samples:,} samples x {trials:,} trials)"
        )
