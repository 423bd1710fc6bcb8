"""A task's database is a function of its plan; SQL over it can read and nothing else, within budgets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trajgen.toolenv import Impossible
from trajgen_envs.toolbox import database
from trajgen_envs.toolbox.database import Database, Plan


@pytest.fixture
def db():
    made = Database(Plan("shop", 7))
    yield made
    made.close()


def test_the_same_plan_makes_the_same_rows_and_another_seed_makes_others():
    database.customers.cache_clear()
    first = database.customers(Plan("shop", 7))
    database.customers.cache_clear()
    assert database.customers(Plan("shop", 7)) == first
    assert database.customers(Plan("shop", 8)) != first


def test_sql_sees_exactly_the_rows_of_the_plan(db):
    wanted = database.customers(db.plan)
    found = [db.query(f"SELECT * FROM customers LIMIT 10 OFFSET {k}").rows for k in range(0, len(wanted), 10)]
    assert [row for rows in found for row in rows] == [tuple(map(str, c)) for c in wanted]


@pytest.mark.parametrize("table", ["customers", "orders", "samples"])
@pytest.mark.parametrize("number", [1, 500, 999, 4_321])
def test_a_planted_id_is_there_once(table, number):
    plan = Plan("lab" if table == "samples" else "shop", 3, plant_id=(table, number))
    assert [row[0] for row in database.TABLES[table](plan)].count(number) == 1


def test_twins_share_their_name_and_nothing_that_tells_them_apart():
    for seed in range(50):
        one, two = database.customers(Plan("shop", seed, twins=True))[:2]
        assert one.name == two.name
        assert one.born != two.born
        assert one.country != two.country
        names = [c.name for c in database.customers(Plan("shop", seed, twins=True))[2:]]
        assert one.name not in names
        assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM customers",
        "UPDATE customers SET id = 1",
        "INSERT INTO customers VALUES (1)",
        "DROP TABLE customers",
        "CREATE TABLE x (y)",
        "PRAGMA table_info(customers)",
        "ATTACH ':memory:' AS other",
        "VACUUM",
        "BEGIN",
        "",
        "-- nothing",
        "REINDEX",
        "EXPLAIN SELECT 1",
        "SELECT load_extension('x')",
        "SELECT readfile('/etc/passwd')",
        "SELECT random()",
        "SELECT date('now')",
        "SELECT zeroblob(1000000000)",
        "SELECT printf('%1000000d', 1)",
        "SELECT * FROM sqlite_master, pragma_table_info('customers')",
        "SELECT 1; SELECT 2",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
        "SELECT count(*) FROM customers a, customers b, customers c, customers d, customers e",
        "SELECT \x00",
        "SELECT '\ud800'",
        "SELECT group_concat(a.name || b.name || c.name) FROM customers a, customers b, customers c",
        "SELECT 1" + "0" * 2_000,
    ],
)
def test_what_is_no_cheap_select_is_refused_and_changes_nothing(db, query):
    before = db.query("SELECT count(*), sum(id), max(name) FROM customers")
    with pytest.raises(Impossible, match=r"^query: "):
        db.query(query)
    assert db.query("SELECT count(*), sum(id), max(name) FROM customers") == before


def _rows_or_message(db, query):
    try:
        return len(db.query(query).rows) <= database.MAX_ROWS
    except Impossible as why:
        return str(why).startswith("query: ")


@given(st.text(max_size=60))
def test_any_text_is_rows_or_a_message(query):
    db = Database(Plan("lab", 1))
    try:
        for text in (query, "SELECT " + query, f"SELECT * FROM samples WHERE element = {query}"):
            assert _rows_or_message(db, text)
    finally:
        db.close()


def test_a_wrong_name_names_the_nearest(db):
    with pytest.raises(Impossible, match="did you mean 'customers'"):
        db.query("SELECT * FROM customer")
    with pytest.raises(Impossible, match="did you mean 'country'"):
        db.query("SELECT countri FROM customers")


def test_long_results_are_cut_and_say_so(db):
    found = db.query("SELECT id FROM orders")
    assert len(found.rows) == database.MAX_ROWS
    assert found.more


def test_sums_and_joins_work(db):
    total = sum(o.kilograms for o in database.orders(db.plan))
    query = "SELECT sum(o.kilograms) FROM orders o JOIN customers c ON c.id = o.customer_id"
    assert db.query(query).rows == ((str(total),),)
