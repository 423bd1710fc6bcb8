"""The dials of a run: every key in which entries of a job can differ, its values as text, and their order.

Knows the plan's entries; no row, no count. A value is what a table shows: numbers alike are one text (0 and 0.0), and
what an entry does not say is its environment's default, or "-".
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import msgspec
from msgspec import Struct

from trajgen.compare.defaults import option_defaults
from trajgen.errors import ConfigError, nearest
from trajgen.types import Channel, to_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from trajgen.entries import Entry
    from trajgen.types import Json

Scope = Literal["", "options", "make_options", "budget", "agent"]
ABSENT = "-"
NO_CHANNEL = "none"
_EXACT = 2**53  # whole numbers up to here are whole as floats too


class Key(Struct, frozen=True):
    """One dial.

    Attributes:
        scope: The table of the job it stands in; "" for those of an entry itself, and for `seed` and `sample`.
    """

    scope: Scope
    name: str

    @property
    def qualified(self) -> str:
        """The name that no other dial has."""
        return f"{self.scope}.{self.name}" if self.scope else self.name


AGENT, ENV, SPLIT, FEEDBACK = Key("", "agent"), Key("", "env"), Key("", "split"), Key("", "feedback")
WRAPPERS, TRIALS, SEED, SAMPLE = Key("", "wrappers"), Key("", "trials"), Key("", "seed"), Key("", "sample")
_FIXED = (AGENT, ENV, SPLIT, FEEDBACK, WRAPPERS, TRIALS, SEED, SAMPLE)
_CHANNELS: tuple[str, ...] = get_args(Channel)


class Varying(NamedTuple):
    """A key with at least two values in a run, as it can be typed, and the values in their order."""

    name: str
    values: tuple[str, ...]


class Keys:
    """All dials of a plan's entries, and the value each entry has of them."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self._given = [dict(_settings(entry)) for entry in entries]
        self._named = tuple(dict.fromkeys(itertools.chain.from_iterable(self._given)))  # all but seed and sample
        self._values: dict[tuple[int, Key], str] = {}

    def find(self, name: str) -> Key:
        """Return the key that a person called `name`.

        Raises:
            ConfigError: there is none, or several tables of the job have it; the message names what can be typed.
        """
        fits = [key for key in (*_FIXED, *self._named) if name in (key.qualified, key.name)]
        whole = [key for key in fits if key.qualified == name]
        found = whole or list(dict.fromkeys(fits))
        if len(found) == 1 or whole:
            return found[0]
        if found:
            raise ConfigError(
                f"--by {name}: {' and '.join(k.qualified for k in found)} are both of this name; type one"
            )
        varying = [key.name for key in self.varying()]
        known = dict.fromkeys(
            [*varying, *(spelled for k in (*_FIXED, *self._named) for spelled in (k.name, k.qualified))]
        )
        raise ConfigError(
            f"--by {name}: no key of this run{nearest(name, known) or ';'} what varies in it: "
            f"{', '.join(varying) or 'nothing'}"
        )

    def spelled(self, key: Key) -> str:
        """Return the shortest name that `find` takes for `key`."""
        same = {k for k in (*_FIXED, *self._named) if k.name == key.name}
        return key.name if len(same) == 1 else key.qualified

    def varying(self) -> list[Varying]:
        """Return the keys with at least two values, the entry's own first."""
        found = [Varying(self.spelled(key), self.values(key)) for key in dict.fromkeys((*_FIXED, *self._named))]
        return [key for key in found if len(key.values) > 1]

    def values(self, key: Key) -> tuple[str, ...]:
        """Return the planned values of a key in their order."""
        if key == SEED:
            return in_order(key, (str(seed) for entry in self._entries for seed in entry.seeds))
        if key == SAMPLE:
            return in_order(key, (str(n) for entry in self._entries for n in range(entry.samples)))
        return in_order(key, (self.value(index, key) for index in range(len(self._entries))))

    def value(self, entry: int, key: Key) -> str:
        """Return what an entry says of a key, its environment's default, or "-"; neither seed nor sample."""
        place = (entry, key)
        if place not in self._values:
            said = self._given[entry].get(key)
            self._values[place] = self._default(entry, key) if said is None else said
        return self._values[place]

    def rest(self, entry: int, by: Sequence[Key]) -> tuple[str, ...]:
        """Return the values of all keys but `by`: equal where two entries differ in nothing else.

        Another agent has other keys of its own, so without the agent its keys are left out too.
        """
        return tuple(
            self.value(entry, key)
            for key in self._named
            if key not in by and not (key.scope == "agent" and AGENT in by)
        )

    def _default(self, entry: int, key: Key) -> str:
        if key.scope == "options":
            for default in option_defaults(self._entries[entry].env_id):
                for name, value in _flat(default.name, default.value):
                    if name == key.name:
                        return value
        return ABSENT


def _settings(entry: Entry) -> Iterator[tuple[Key, str]]:
    yield AGENT, entry.agent.name
    yield ENV, entry.env_id
    yield SPLIT, entry.split or ABSENT
    yield FEEDBACK, "+".join(sorted(entry.feedback, key=_CHANNELS.index)) or NO_CHANNEL
    yield WRAPPERS, "+".join(entry.wrappers) or ABSENT
    yield TRIALS, str(entry.trials)
    models = {role: choice.name for role, choice in entry.agent.backends.items()}
    tables: tuple[tuple[Scope, Json], ...] = (
        ("options", entry.options),
        ("make_options", entry.make_options),
        ("budget", msgspec.to_builtins(entry.budget)),
        ("agent", entry.agent.config | models),
    )
    for scope, table in tables:
        for name, value in table.items():
            for path, text in _flat(name, value):
                yield Key(scope, path), text


def _flat(name: str, value: Json) -> Iterator[tuple[str, str]]:
    """Yield a table's leaves by dotted name."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}", inner)
    else:
        yield name, _text(value)


def _text(value: Json) -> str:
    if value is None:
        return ABSENT
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT:
        value = int(value)
    # quoted where it would be taken for something else
    return value if isinstance(value, str) and value not in ("", ABSENT) else to_json(value)


# ------------------------------------------------------------------------------------- order


def in_order(key: Key, values: Iterable[str]) -> tuple[str, ...]:
    """Return distinct values in their natural order: numbers by size, feedback by the number of its channels.

    What is absent comes first, no before yes; all else stays as it comes: a job lists what it means to compare.
    """
    distinct = list(dict.fromkeys(values))
    if key == FEEDBACK:
        return tuple(sorted(distinct, key=_feedback_rank))
    if all(is_number(v) for v in distinct if v != ABSENT):
        return tuple(sorted(distinct, key=lambda v: (v != ABSENT, 0.0 if v == ABSENT else float(v))))
    if all(v in (ABSENT, "false", "true") for v in distinct):
        return tuple(sorted(distinct))  # as it happens, their order too
    return tuple(distinct)


def is_number(value: str) -> bool:
    """Say whether a value stands for a finite number."""
    try:
        return float(value) - float(value) == 0
    except ValueError:
        return False


def channels(value: str) -> frozenset[str]:
    """Return the channels of a value of `feedback`."""
    return frozenset() if value == NO_CHANNEL else frozenset(value.split("+"))


def _feedback_rank(value: str) -> tuple[int, list[int]]:
    found = channels(value)
    return len(found), sorted(map(_CHANNELS.index, found))
