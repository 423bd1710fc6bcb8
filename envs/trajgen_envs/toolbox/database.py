"""The database of one task: two small tables made from a seed, and read-only SQL over them with budgets.

`Plan` is the whole content: rows are a pure function of it, so a database is never stored or copied. Knows no question.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
import sqlite3
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from msgspec import Struct

from trajgen.errors import nearest
from trajgen.toolenv import Impossible
from trajgen_envs.toolbox import facts

if TYPE_CHECKING:
    from collections.abc import Callable

Theme = Literal["shop", "lab"]
Cell = int | str
MAX_QUERY_CHARS = 1_000
MAX_VM_STEPS = 200_000  # of SQLite's virtual machine; about 5 ms
MAX_ROWS = 20
MAX_RESULT_CHARS = 1_500
_TICK = 1_000

_FIRST = (
    "Ana Boris Chen Divya Emil Fatima George Hana Ivan Julia Kofi Lena Marco Nadia Omar Petra Quentin Rosa Samir Tara Ugo "
    "Vera Wei Ximena Yusuf Zoe"
)
_LAST = (
    "Adler Bauer Costa Dahl Evans Fischer Garcia Haddad Ito Jensen Kaya Lopez Moreau Novak Okoye Petrov Quist Rossi Silva "
    "Tanaka Ueda Varga Weber Xu Yilmaz Ziegler"
)
FIRST_NAMES, LAST_NAMES = tuple(_FIRST.split()), tuple(_LAST.split())
PRODUCTS = (
    "barley",
    "coffee",
    "copper wire",
    "glass",
    "lentils",
    "olive oil",
    "paper",
    "rice",
    "salt",
    "timber",
    "tea",
    "wool",
)

SCHEMAS: dict[Theme, dict[str, str]] = {
    "shop": {
        "customers": "id INTEGER, name TEXT, born INTEGER, city TEXT, country TEXT",
        "orders": "id INTEGER, customer_id INTEGER, product TEXT, kilograms INTEGER, ordered_on TEXT",
    },
    "lab": {
        "stations": "id INTEGER, city TEXT, country TEXT",
        "samples": "id INTEGER, station_id INTEGER, element TEXT, grams INTEGER, taken_on TEXT",
    },
}


class Plan(Struct, frozen=True):
    """What makes a database.

    Attributes:
        seed: Of the rows.
        plant_id: (table, id): the first row of the table gets this id.
        plant_name: A country that gets customers, or an element that gets samples.
        plant_city: Index of the first customer's city among the corpus's cities that share their name.
        twins: The second customer gets the first one's name.
    """

    theme: Theme
    seed: int
    plant_id: tuple[str, int] | None = None
    plant_name: str | None = None
    plant_city: int | None = None
    twins: bool = False


class Customer(NamedTuple):
    """A row of `customers`. `city` is as in the corpus, without what tells it apart."""

    id: int
    name: str
    born: int
    city: str
    country: str


class Order(NamedTuple):
    """A row of `orders`; `ordered_on` is YYYY-MM-DD."""

    id: int
    customer_id: int
    product: str
    kilograms: int
    ordered_on: str


class Station(NamedTuple):
    """A row of `stations`."""

    id: int
    city: str
    country: str


class Sample(NamedTuple):
    """A row of `samples`; `taken_on` is YYYY-MM-DD."""

    id: int
    station_id: int
    element: str
    grams: int
    taken_on: str


_FIRST_DAY = dt.date(1990, 1, 1).toordinal()
_DAYS = 12_000
_IDS = 999
_N_CUSTOMERS, _N_ORDERS, _N_STATIONS, _N_SAMPLES = 30, 60, 20, 60
_STATION_0 = 101
_PLANTED = 3  # the row where a planted country or element begins


def schema_text(theme: Theme) -> str:
    """Say which tables and columns there are."""
    return "; ".join(
        f"{table}({', '.join(c.split()[0] for c in columns.split(', '))})" for table, columns in SCHEMAS[theme].items()
    )


def _rng(plan: Plan, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([plan.seed, stream]))


@functools.lru_cache(maxsize=64)
def customers(plan: Plan) -> tuple[Customer, ...]:
    """Make the table `customers`: all names differ, unless the plan wants twins."""
    rng, n = _rng(plan, 1), _N_CUSTOMERS
    names = rng.permutation(len(FIRST_NAMES) * len(LAST_NAMES))[:n].tolist()
    ids = _ids(rng, n, plan, "customers")
    born = rng.integers(1940, 2005, n).tolist()
    cities = facts.plain_cities()
    places = [cities[i] for i in rng.integers(len(cities), size=n).tolist()]
    if plan.plant_name is not None:
        local = facts.cities_in(plan.plant_name)
        for k in range(1 + plan.seed % 4):
            places[_PLANTED + k] = local[k % len(local)]
    if plan.plant_city is not None:
        places[0] = facts.twin_cities()[plan.plant_city]
    m = len(LAST_NAMES)
    made = [
        Customer(ids[i], f"{FIRST_NAMES[j // m]} {LAST_NAMES[j % m]}", born[i], place.name, place.country)
        for i, (j, place) in enumerate(zip(names, places, strict=True))
    ]
    if plan.twins:
        made[1] = _twin(made)
    return tuple(made)


def _twin(made: list[Customer]) -> Customer:
    """Give the second customer the first one's name, another year of birth and another country."""
    one, two = made[0], made[1]
    other = next(c for c in made[2:] if c.country != one.country)
    return Customer(two.id, one.name, one.born - 1 if two.born == one.born else two.born, other.city, other.country)


@functools.lru_cache(maxsize=64)
def orders(plan: Plan) -> tuple[Order, ...]:
    """Make the table `orders`; the first is of a customer in a planted country."""
    rng, m = _rng(plan, 2), _N_ORDERS
    buyers = [c.id for c in customers(plan)]
    ids = _ids(rng, m, plan, "orders")
    at = rng.integers(len(buyers), size=m).tolist()
    at[0] = _PLANTED
    products, kilograms, days = (
        rng.integers(low, high, m).tolist() for low, high in ((0, len(PRODUCTS)), (5, 400), (0, _DAYS))
    )
    return tuple(Order(ids[i], buyers[at[i]], PRODUCTS[products[i]], kilograms[i], _days()[days[i]]) for i in range(m))


@functools.lru_cache(maxsize=64)
def stations(plan: Plan) -> tuple[Station, ...]:
    """Make the table `stations`."""
    cities = facts.plain_cities()
    places = [cities[i] for i in _rng(plan, 3).integers(len(cities), size=_N_STATIONS).tolist()]
    return tuple(Station(_STATION_0 + i, p.name, p.country) for i, p in enumerate(places))


@functools.lru_cache(maxsize=64)
def samples(plan: Plan) -> tuple[Sample, ...]:
    """Make the table `samples`; two to four of them are of a planted element."""
    rng, m = _rng(plan, 4), _N_SAMPLES
    ids = _ids(rng, m, plan, "samples")
    names = facts.elements()
    kinds = [names[i] for i in rng.integers(len(names), size=m).tolist()]
    if plan.plant_name is not None:
        kinds[_PLANTED : _PLANTED + 2 + plan.seed % 3] = [plan.plant_name] * (2 + plan.seed % 3)
    at, grams, days = (rng.integers(low, high, m).tolist() for low, high in ((0, _N_STATIONS), (2, 900), (0, _DAYS)))
    return tuple(Sample(ids[i], _STATION_0 + at[i], kinds[i], grams[i], _days()[days[i]]) for i in range(m))


TABLES: dict[str, Callable[[Plan], tuple[tuple[Cell, ...], ...]]] = {
    "customers": customers,
    "orders": orders,
    "stations": stations,
    "samples": samples,
}


def _ids(rng: np.random.Generator, n: int, plan: Plan, table: str) -> list[int]:
    """Draw different ids; a planted one goes to the first row."""
    ids: list[int] = (rng.permutation(_IDS)[:n] + 1).tolist()
    if plan.plant_id is not None and plan.plant_id[0] == table and plan.plant_id[1] != ids[0]:
        if plan.plant_id[1] in ids:
            ids[ids.index(plan.plant_id[1])] = ids[0]
        ids[0] = plan.plant_id[1]
    return ids


@functools.cache
def _days() -> tuple[str, ...]:
    return tuple(dt.date.fromordinal(_FIRST_DAY + n).isoformat() for n in range(_DAYS))


# ------------------------------------------------------------------------------------- SQL

_FUNCTIONS = (
    "abs avg coalesce count group_concat ifnull instr length like lower ltrim max min nullif round rtrim substr "
    "substring sum total trim typeof upper"
)
_SAFE = frozenset(_FUNCTIONS.split())
_ALLOWED = frozenset((sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ))
_READS = re.compile(r"\s*(?:SELECT|WITH|VALUES)\b", re.IGNORECASE)
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 20_000,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 4 * MAX_QUERY_CHARS,
    sqlite3.SQLITE_LIMIT_COLUMN: 40,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 50,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 8,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 100,
}


class Rows(NamedTuple):
    """What a query gave. `more`: it had more rows than are shown."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    more: bool


class Database:
    """SQL over one plan's rows. Belongs to the thread that made it; a query can change nothing."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._tables = tuple(SCHEMAS[plan.theme])
        self._ticks = 0
        self._denied: str | None = None
        self._db = sqlite3.connect(":memory:", isolation_level=None)
        self._fill(plan)
        for limit, value in _LIMITS.items():
            self._db.setlimit(limit, value)
        self._db.set_progress_handler(self._tick, _TICK)
        self._db.set_authorizer(self._authorize)

    def _fill(self, plan: Plan) -> None:
        for table, columns in SCHEMAS[plan.theme].items():
            self._db.execute(f"CREATE TABLE {table} ({columns})")
            marks = ", ".join("?" * (columns.count(",") + 1))
            self._db.executemany(f"INSERT INTO {table} VALUES ({marks})", TABLES[table](plan))  # noqa: S608 - own names

    def close(self) -> None:
        """Free it; it is not used again."""
        self._db.close()

    def _tick(self) -> int:
        self._ticks += _TICK
        return int(self._ticks > MAX_VM_STEPS)

    def _authorize(self, action: int, one: str | None, two: str | None, base: str | None, via: str | None) -> int:
        if action in _ALLOWED or (action == sqlite3.SQLITE_FUNCTION and (two or "").lower() in _SAFE):
            return sqlite3.SQLITE_OK
        self._denied = f"the function {two}" if action == sqlite3.SQLITE_FUNCTION else None
        return sqlite3.SQLITE_DENY

    def query(self, sql: str) -> Rows:
        """Run one SELECT.

        Raises: Impossible: it is not one SELECT, names what is not there, or is over a budget.
        """
        if len(sql) > MAX_QUERY_CHARS:
            raise Impossible(f"query: expected at most {MAX_QUERY_CHARS} characters, found {len(sql)}")
        if not sql.isprintable() and not _plain(sql):
            raise Impossible("query: it holds a character that is no text")
        if not _READS.match(sql):  # EXPLAIN is harmless, but tells a different story in every version of SQLite
            raise Impossible("query: expected one SELECT; the database is read-only")
        self._ticks, self._denied = 0, None
        try:
            cursor = self._db.execute(sql)
            found = cursor.fetchmany(MAX_ROWS + 1)
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise Impossible(self._explained(str(error))) from None
        rows = tuple(tuple(_shown(cell) for cell in row) for row in found[:MAX_ROWS])
        return Rows(tuple(str(d[0]) for d in cursor.description), rows, len(found) > MAX_ROWS)

    def _explained(self, said: str) -> str:
        if said == "interrupted":
            return f"query: it took more than {MAX_VM_STEPS} steps of the database; ask for less"
        if said in ("not authorized", "authorization denied") or said.startswith("not authorized"):
            if self._denied is not None:
                return f"query: {self._denied} is not allowed; allowed are {', '.join(sorted(_SAFE))}"
            return "query: expected one SELECT; the database is read-only"
        if said.startswith("no such table: "):
            name = said.removeprefix("no such table: ")
            return f"query: no table {name!r}{nearest(name, self._tables) or '; the tables are ' + ', '.join(self._tables)}"
        if said.startswith("no such column: "):
            name = said.removeprefix("no such column: ")
            columns = [c.split()[0] for t in SCHEMAS[self.plan.theme].values() for c in t.split(", ")]
            return f"query: no column {name!r}{nearest(name, columns) or '; the columns are ' + ', '.join(columns)}"
        return f"query: {said[:200]}"


def _plain(sql: str) -> bool:
    """Say whether SQLite can take the text: no lone surrogate, no NUL."""
    return "\x00" not in sql and not any("\ud800" <= c <= "\udfff" for c in sql)


def _shown(cell: object) -> str:
    if cell is None:
        return "NULL"
    if isinstance(cell, bytes):
        return cell.hex()
    return str(cell)
