"""The corpus: facts that ship with the package, and a full-text search over their sentences. Knows no task.

Loaded at first use, once a process. The search is SQLite's FTS5 in memory, shared by all threads behind a lock; it is
a pure function of the query, so its answers are cached.
"""

from __future__ import annotations

import functools
import importlib.resources
import re
import sqlite3
import threading
import unicodedata
from typing import NamedTuple

N_RESULTS = 5
MAX_WORDS = 12  # further words of a query are not looked at
_SMALL = (
    "a an and are as at by does do for from has have how in is it its me of on or tell that the to was what when where "
    "which who with"
)
_STOP = frozenset(_SMALL.split())
_WORD = re.compile(r"[^\W_]+")


class Fact(NamedTuple):
    """One fact.

    Attributes:
        qualifier: The country, for a city that shares its name with another; else empty.
        unit: In the plural; empty where there is none.
        row: Its place in the table.
    """

    relation: str
    subject: str
    qualifier: str
    value: str
    unit: str
    sentence: str
    row: int

    def display(self) -> str:
        """Name the subject as the sentence does."""
        return named(self.subject, self.qualifier)


class City(NamedTuple):
    """A city of the corpus. `qualifier` is its country where another city has its name, else empty."""

    name: str
    qualifier: str
    country: str

    def display(self) -> str:
        """Name it so that it is the only one."""
        return named(self.name, self.qualifier)


def named(name: str, qualifier: str) -> str:
    """Write a name with what tells it apart."""
    return f"{name} ({qualifier})" if qualifier else name


@functools.lru_cache(maxsize=16_384)
def words(text: str) -> tuple[str, ...]:
    """Return the words of `text` as the search sees them: without case, accents and punctuation."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return tuple(_WORD.findall(plain.casefold()))


def is_telling(text: str) -> bool:
    """Say whether a search looks for `text`: the symbols As, At and In read like small words, and it does not."""
    return not _STOP.issuperset(words(text))


@functools.cache
def facts() -> tuple[Fact, ...]:
    """Return all facts, in the order of the file."""
    table = importlib.resources.files(__package__).joinpath("data/facts.tsv").read_text(encoding="utf-8")
    rows = (line.split("\t") for line in table.splitlines()[1:])
    return tuple(
        Fact(relation, subject, qualifier, value, unit, sentence, row)
        for row, (relation, subject, qualifier, value, unit, sentence) in enumerate(rows)
    )


@functools.cache
def about(relation: str) -> dict[str, Fact]:
    """Return the facts of one kind by the subject's display name."""
    return {f.display(): f for f in facts() if f.relation == relation}


@functools.cache
def with_value(relation: str) -> dict[str, Fact]:
    """Return the facts of one kind by value, where no two subjects share it."""
    found: dict[str, list[Fact]] = {}
    for f in about(relation).values():
        found.setdefault(f.value, []).append(f)
    return {value: same[0] for value, same in found.items() if len(same) == 1}


@functools.cache
def cities() -> tuple[City, ...]:
    """Return every city with a known country; those that share a name have a qualifier."""
    plain = about("country")
    twins = [f for f in about("population").values() if f.qualifier]
    return tuple(City(f.subject, "", f.value) for f in plain.values()) + tuple(
        City(f.subject, f.qualifier, f.qualifier) for f in twins
    )


@functools.cache
def plain_cities() -> tuple[City, ...]:
    """Return the cities whose name is theirs alone."""
    return tuple(c for c in cities() if not c.qualifier)


@functools.cache
def twin_cities() -> tuple[City, ...]:
    """Return the cities that share their name with another."""
    return tuple(c for c in cities() if c.qualifier)


@functools.cache
def _by_country() -> dict[str, tuple[City, ...]]:
    found: dict[str, list[City]] = {}
    for city in plain_cities():
        found.setdefault(city.country, []).append(city)
    return {country: tuple(those) for country, those in found.items()}


def cities_in(country: str) -> tuple[City, ...]:
    """Return the cities of a country whose name is theirs alone."""
    return _by_country().get(country, ())


@functools.cache
def symbols() -> tuple[str, ...]:
    """Return the chemical symbols that a search can look for."""
    return tuple(s for s in with_value("symbol") if is_telling(s))


@functools.cache
def country_codes() -> tuple[int, ...]:
    """Return the ISO 3166 numeric codes that are written as plain numbers."""
    return tuple(int(code) for code in with_value("numeric") if not code.startswith("0"))


@functools.cache
def countries() -> tuple[str, ...]:
    """Return the countries, in the order of the file."""
    return tuple(about("numeric"))


@functools.cache
def elements() -> tuple[str, ...]:
    """Return the elements by atomic number."""
    return tuple(about("atomic_number"))


# ------------------------------------------------------------------------------------- the search

_lock = threading.Lock()
_SELECT = f"SELECT sentence FROM corpus WHERE corpus MATCH ? ORDER BY rank, rowid LIMIT {N_RESULTS}"  # noqa: S608 - a number


@functools.cache
def _index() -> sqlite3.Connection:
    index = sqlite3.connect(":memory:", check_same_thread=False)  # every use is behind the lock
    index.execute("CREATE VIRTUAL TABLE corpus USING fts5(sentence, tokenize='unicode61 remove_diacritics 2')")
    index.executemany("INSERT INTO corpus(rowid, sentence) VALUES (?, ?)", ((f.row, f.sentence) for f in facts()))
    index.execute("INSERT INTO corpus(corpus) VALUES ('optimize')")
    index.commit()
    return index


def search(query: str) -> tuple[str, ...]:
    """Return up to five sentences: those that hold every word of `query`, else those that hold any; best first.

    Ranked by BM25, ties by their order in the corpus. Small words ("the", "of", "what") are not looked for. Any text
    is a query; one without words finds nothing.
    """
    found = words(query)
    telling = tuple(w for w in found if w not in _STOP) or found
    return _search(telling[:MAX_WORDS])


@functools.lru_cache(maxsize=4_096)
def _search(wanted: tuple[str, ...]) -> tuple[str, ...]:
    if not wanted:
        return ()
    quoted = [f'"{w}"' for w in wanted]  # a word holds letters and digits only, so quoting is enough
    with _lock:
        found = _index().execute(_SELECT, (" ".join(quoted),)).fetchall()
        if not found:
            found = _index().execute(_SELECT, (" OR ".join(quoted),)).fetchall()
    return tuple(sentence for (sentence,) in found)
