"""The table says what was measured, and goals are judged in the direction they are written."""

import json

import pytest

from benchmarks.common import Figure, Goal, interleaved, spent, table, to_json


@pytest.mark.parametrize(
    ("goal", "value", "floor", "met"),
    [
        (Goal("ratio", "<=", 1.5), 150.0, 100.0, True),
        (Goal("ratio", "<=", 1.5), 151.0, 100.0, False),
        (Goal("ratio", ">=", 0.95), 95.0, 100.0, True),
        (Goal("difference", "<=", 100), 260.0, 150.0, False),
        (Goal("figure", "<=", 25), 20.0, None, True),
        (Goal("figure", "<=", 25), 26.0, 100.0, False),
    ],
)
def test_a_goal_is_met_or_missed(goal, value, floor, met):
    assert Figure("x", value, "us", floor, "bare", goal).met is met


def test_the_table_has_a_line_a_figure_with_its_floor_ratio_and_goal():
    figure = Figure("turn", 150.0, "us", 100.0, "bare", Goal("ratio", "<=", 1.2))
    heading, line = table([figure]).splitlines()
    assert heading.split() == ["name", "figure", "floor", "ratio", "goal"]
    assert line.split() == ["turn", "150", "us", "100", "bare", "1.50", "ratio", "<=", "1.2", "MISSED"]


def test_json_carries_the_same_figures():
    (row,) = json.loads(to_json([Figure("turn", 150.0, "us", 100.0, "bare", Goal("ratio", "<=", 1.2))]))
    assert (row["value"], row["floor"], row["ratio"], row["met"]) == (150.0, 100.0, 1.5, False)


def test_kinds_are_measured_in_turn_and_give_medians():
    order = []
    kinds = {name: lambda name=name: spent(lambda: order.append(name)) for name in ("a", "b")}
    medians = interleaved(kinds, 3)
    assert order == ["a", "b"] * 3
    assert set(medians) == {"a", "b"}
