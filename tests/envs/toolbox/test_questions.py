"""Questions read back from their words, their answers are what the tools return, and no call can be saved."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trajgen.toolenv import Impossible
from trajgen.types import ToolCall
from trajgen_envs.toolbox import facts, folding, moves, phrases, tools
from trajgen_envs.toolbox.answers import is_right
from trajgen_envs.toolbox.database import Database
from trajgen_envs.toolbox.exact import read_number
from trajgen_envs.toolbox.graph import FIND, Value
from trajgen_envs.toolbox.phrases import BY_OP
from trajgen_envs.toolbox.tasks import ToolboxOptions, compose


def _tasks(n, **options):
    return [compose(np.random.default_rng(seed), ToolboxOptions(**options)) for seed in range(n)]


TASKS = st.builds(
    lambda seed, depth, ambiguous: compose(
        np.random.default_rng(seed), ToolboxOptions(depth=depth, ambiguous=ambiguous)
    ),
    st.integers(0, 2**32 - 1),
    st.integers(1, 8),
    st.booleans(),
)


@given(TASKS)
def test_a_goal_reads_back_as_its_parts(task):
    question = phrases.read_goal(task.goal)
    assert question is not None
    read = [(p.op, p.x, {k: v for k, v in p.params.items() if v is not None}, p.ref) for p in question.parts]
    assert read == [(n.op, n.literal, n.params, n.ref) for n in task.nodes]


@given(st.text(max_size=200))
def test_any_text_reads_as_a_question_or_as_none(text):
    for goal in (text, f"Question: What is {text}?", f"Step 1: find {text}."):
        phrases.read_goal(goal)


def test_every_operation_has_a_way_to_find_it_a_call_and_a_family():
    assert set(FIND) == set(BY_OP)
    for op in BY_OP:
        assert folding.family(op) in tools.FAMILIES


def test_every_operation_is_asked_for_sooner_or_later():
    options = [{"depth": d, "ambiguous": a} for d in (1, 4, 8) for a in (False, True)]
    asked = {n.op for o in options for task in _tasks(200, **o) for n in task.nodes}
    assert asked == set(BY_OP)


@given(TASKS)
def test_the_tools_return_the_value_that_was_worked_out_without_them(task):
    database = Database(task.plan)
    for node in task.nodes:
        result = tools.run(node.call, lambda: database)
        assert node.proof in result.found
    database.close()


@given(TASKS)
def test_each_part_needs_the_one_before(task):
    assert [n.literal is None for n in task.nodes] == [False] + [True] * (len(task.nodes) - 1)
    for before, node in itertools.pairwise(task.nodes):
        name = before.value.text.partition(" (")[0]
        assert any(name.replace("'", "''") in str(v) or name == str(v) for v in node.call.arguments.values())


@given(TASKS)
def test_the_answer_is_not_in_the_question(task):
    literals = [text for n in task.nodes for text in (n.literal or "", *n.params.values())]
    assert not any(is_right(text, task.answer()) for text in literals)


# ------------------------------------------------------------------------------------- no call can be saved


def _searches(task, k, known):
    """Everything a player who knows `known` might search for, up to two words and each kind of fact."""
    words = sorted({w for text in known for w in facts.words(text)})
    kinds = [r.keywords for r in phrases.RELATIONS.values()]
    yield from words
    yield from (f"{a} {b}" for a, b in itertools.combinations(words, 2))
    yield from (f"{kind} {w}" for kind in kinds for w in words)
    yield from known
    yield task.goal


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_no_search_with_what_is_known_before_a_call_returns_what_needs_it(depth):
    for task in _tasks(25, depth=depth):
        for k, node in enumerate(task.nodes):
            if k == 0 or BY_OP[node.op].relation is None:
                continue
            literals = [text for n in task.nodes for text in (n.literal or "", *n.params.values())]
            known = [text for text in (*literals, *(n.value.text for n in task.nodes[: k - 1])) if text]
            for query in _searches(task, k, known):
                assert node.proof not in facts.search(query), (task.goal, query)


def _date_calls(tool, days, numbers):
    if tool == "days_between":
        yield from (ToolCall(tool, {"start": a, "end": b}) for a, b in itertools.permutations(days, 2))
    elif tool == "add_days":
        shifts = itertools.product(days, numbers, (1, -1))
        yield from (ToolCall(tool, {"date": d, "days": s * n}) for d, n, s in shifts)
    else:
        yield from (ToolCall(tool, {"date": d}) for d in days)


def _single_calls(task, k, known):
    """Every call that `known` and the constants of the question allow, of the tool that gives part k."""
    numbers = [t for t in known if read_number(t) is not None]
    days = [t for t in known if len(t) == 10 and t[4] == "-"]
    tool = task.nodes[k].call.tool
    if tool in ("days_between", "add_days", "weekday", "day_of_year"):
        yield from _date_calls(tool, days, [int(n) for n in numbers if n.isdigit() and len(n) < 7])
    elif tool == "calculate":
        yield from (
            ToolCall(tool, {"expression": f"{a} {s} {b}"})
            for a, b in itertools.product(numbers, numbers)
            for s in "+-*/%"
        )
        for a, b, c in itertools.permutations(numbers, 3):
            yield from (ToolCall(tool, {"expression": f"{a} {s} {b} {t} {c}"}) for s in "+-*/" for t in "+-*/")
    elif tool == "convert":
        names = [w for n in task.nodes for w in (n.params.get("u"), BY_OP[n.op].unit, n.value.unit) if w]
        names += [n.literal.partition(" ")[2] for n in task.nodes if n.op == "convert" and n.literal]
        for value, (a, b) in itertools.product(numbers, itertools.permutations(dict.fromkeys(names), 2)):
            yield ToolCall(tool, {"value": value, "from_unit": a, "to_unit": b})
    elif tool == "sql":
        for text in known:
            if text.isdigit() or BY_OP[task.nodes[k].op].takes[0] != "number":
                yield moves.move(task.nodes[k].op, text, {})


@pytest.mark.parametrize("depth", [2, 3])
def test_no_single_call_without_the_part_before_returns_the_part_after(depth):
    tried = 0
    for task in _tasks(120, depth=depth):
        database = Database(task.plan)
        for k, node in enumerate(task.nodes):
            number = node.value.number()
            if k == 0 or (node.value.kind != "date" and number < 1_000):
                continue  # a small number can come out by accident
            literals = [text for n in task.nodes for text in (n.literal or "", *n.params.values()) if text]
            literals += [text.partition(" ")[0] for text in literals]
            known = list(dict.fromkeys([*literals, *(n.value.text for n in task.nodes[: k - 1])]))
            for call in _single_calls(task, k, known):
                tried += 1
                try:
                    found = tools.run(call, lambda: database).found  # noqa: B023 - called at once
                except Impossible:
                    continue
                assert node.proof not in found, (task.goal, call)
        database.close()
    assert tried > 200


@given(TASKS)
def test_the_database_is_asked_once_and_arithmetic_never_runs_long(task):
    ops = [n.op for n in task.nodes]
    assert sum(moves.is_sql(op) for op in ops) <= 1
    chain = folding.Chain()
    for k, op in enumerate(ops):
        assert chain.allows(op, goes_on=k + 1 < len(ops))
        chain = chain.then(op)
        assert len(chain.run) <= 2


# ------------------------------------------------------------------------------------- ambiguity


def test_every_ambiguous_question_holds_a_name_that_alone_is_not_enough():
    for task in _tasks(100, depth=2, ambiguous=True):
        first = task.nodes[0]
        if first.op == "person_country":
            assert "(born in" in first.literal
        elif first.op == "customer_city":
            assert "(" in first.value.text
        else:
            bare = first.literal.partition(" (")[0]
            assert len([c for c in facts.twin_cities() if facts.words(c.name) == facts.words(bare)]) > 1


# ------------------------------------------------------------------------------------- answers


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("1285220", Value("number", "1285220")),
        (" 1,285,220. ", Value("number", "1285220")),
        ("1 285 220", Value("number", "1285220")),
        ("1285220.0", Value("number", "1285220")),
        ("1/2", Value("number", "0.5")),
        ("0.5", Value("number", "0.5")),
        ("2/4", Value("number", "0.5")),
        ("22/7", Value("number", "22/7")),
        ("12 km", Value("quantity", "12", "kilometres")),
        ("12 kilometres", Value("quantity", "12", "kilometres")),
        ("1,200 Square Metres", Value("quantity", "1200", "square metres")),
        ("Bogota", Value("city", "Bogot\u00e1")),
        ('"the  democratic republic of the CONGO"', Value("country", "Democratic Republic of the Congo")),
        ("Valencia", Value("city", "Valencia (Spain)")),
        ("Valencia, Spain", Value("city", "Valencia (Spain)")),
        ("2020-03-05", Value("date", "2020-03-05")),
        ("5 March 2020", Value("date", "2020-03-05")),
        ("March 5, 2020", Value("date", "2020-03-05")),
        (".pe", Value("text", ".pe")),
    ],
)
def test_other_forms_of_the_right_answer_are_right(given, expected):
    assert is_right(given, expected)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", Value("text", "Friday")),
        ("", Value("number", "0")),
        ("0.33", Value("number", "1/3")),
        ("12 miles", Value("quantity", "12", "kilometres")),
        ("12 furlongs", Value("quantity", "12", "kilometres")),
        ("12 km", Value("number", "12")),
        ("Valencia (Venezuela)", Value("city", "Valencia (Spain)")),
        ("Congo", Value("country", "Democratic Republic of the Congo")),
        ("2020-05-03", Value("date", "2020-03-05")),
        ("31 February 2020", Value("date", "2020-03-05")),
        ("1/0", Value("number", "1")),
    ],
)
def test_another_value_is_wrong(given, expected):
    assert not is_right(given, expected)


@settings(max_examples=300)
@given(st.text(max_size=50), st.sampled_from(["number", "quantity", "date", "text"]))
def test_any_text_can_be_judged(given, kind):
    value = {"number": "7", "quantity": "7", "date": "2000-01-01", "text": "Friday"}[kind]
    is_right(given, Value(kind, value, "days" if kind == "quantity" else None))


@given(TASKS)
def test_the_exact_answer_is_right(task):
    assert is_right(task.answer().text, task.answer())
    if (
        task.answer().kind == "number"
        and task.answer().whole() is not None
        and math.log10(task.answer().whole() + 1) < 15
    ):
        assert is_right(f"{task.answer().whole():,}", task.answer())
