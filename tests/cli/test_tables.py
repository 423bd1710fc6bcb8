"""The arithmetic and the layout behind tables and live views."""

from __future__ import annotations

import pytest
from rich.console import Console

from trajgen import config
from trajgen.cli import table
from trajgen.cli.labels import Label, labels
from trajgen.cli.live import Pace, bars, clock, duration, line, total_line
from trajgen.driver import Snapshot
from trajgen.store.reader import EntrySummary
from trajgen.store.tally import Tally

# ------------------------------------------------------------------------------------- names


def entries(*tables):
    return config.parse({"entry": list(tables), "seeds": "0:2"}).entries


def test_one_entry_is_named_by_environment_and_agent_alone():
    assert labels(entries({"env": "CartPole-v1", "agent": "random"})) == [Label("CartPole-v1", "random")]


def test_entries_alike_are_told_apart_by_what_differs():
    toolbox = {"env": "trajgen/Toolbox-v0", "agent": "oracle"}
    found = labels(
        entries(
            {**toolbox, "options": {"depth": 1, "distractors": 2}},
            {**toolbox, "options": {"depth": 2, "distractors": 2}},
            {**toolbox, "options": {"depth": 2, "distractors": 2}, "budget": {"max_steps": 9}},
        )
    )
    assert [str(label) for label in found] == [
        "trajgen/Toolbox-v0 depth=1 x oracle",
        "trajgen/Toolbox-v0 depth=2 x oracle",
        "trajgen/Toolbox-v0 depth=2 x oracle max_steps=9",
    ]


def test_the_same_content_with_other_seeds_is_told_apart_by_them():
    same = {"env": "CartPole-v1", "agent": "random"}
    found = labels(entries({**same, "seeds": "0:2"}, {**same, "seeds": "2:4"}))
    assert [label.agent for label in found] == ["random seeds=0..1", "random seeds=2..3"]


# ------------------------------------------------------------------------------------- the table


def row(label: Label, planned: int, **counts) -> table.Row:
    return table.Row(label, EntrySummary(0, str(label), label.task, label.agent, None, planned, Tally(**counts)))


ROWS = [
    row(Label("ns/World-v0", "planner"), 1_500, n_episodes=1_500, n_success=1_200, n_steps=9_000, return_sum=1_200.0,
        solved_steps=6_000, solved_oracle_steps=4_000, n_feedback={"scene": 12_000}),
    row(Label("ns/World-v0", "random"), 1_500, n_episodes=700, n_failed=2, n_steps=100, failures={"env:Crash": 2}),
    row(Label("Other-v0", "random"), 10, n_episodes=10, n_unknown=10, n_steps=50, return_sum=-5.0),
]  # fmt: skip


def test_a_row_says_all_counts_and_leaves_out_what_cannot_be_told():
    text = [str(t) for t in table.lines(ROWS, None)]
    assert text[2].split() == ["planner", "1,500", "80", "%", "(78-82)", "6.0", "x1.50", "0.8", "12,000", "-"]
    assert text[3].split()[1] == "700/1,500"
    assert text[5].split() == ["random", "10", "-", "5.0", "-", "-0.5", "0", "-"]
    assert "failed: 2 of ns/World-v0 x random: env:Crash" in text


def test_a_narrow_terminal_loses_columns_and_not_their_alignment():
    wide, narrow = list(table.lines(ROWS, None)), list(table.lines(ROWS, 60))
    assert max(len(str(t)) for t in narrow if "oracle:" not in str(t)) <= 60
    assert "feedback" in str(wide[0])
    assert "feedback" not in str(narrow[0])
    assert "success" in str(narrow[0])


@pytest.mark.parametrize(
    ("share", "said"), [(0, "0"), (1, "100"), (0.5, "50"), (0.005, "0.5"), (0.997, "99.7"), (0.0004, "0.0")]
)
def test_shares_have_a_decimal_where_it_tells_something(share, said):
    assert table.percent(share) == said


# ------------------------------------------------------------------------------------- the live view


def snapshot(elapsed_s: float, *n_done: int, planned: int = 100, **more) -> Snapshot:
    names = ({"env": "CartPole-v1", "agent": "random"}, {"env": "FrozenLake-v1", "agent": "random"})
    tallies = tuple(Tally(n_episodes=n, n_steps=10 * n, n_success=n // 2) for n in n_done)
    kept = {"n_before": 0, "n_returned": 0, "n_lost": 0, "in_flight": 4, **more}
    return Snapshot(
        entries=entries(*names)[: len(n_done)], planned=(planned,) * len(n_done), tallies=tallies, elapsed_s=elapsed_s,
        **kept,
    )  # fmt: skip


def test_rates_are_those_of_the_last_seconds_and_the_rest_is_judged_by_all_of_them():
    pace = Pace()
    for second in range(31):
        pace.add(snapshot(float(second), 3 * second if second <= 20 else 60))  # it stalls after 20 s
    assert pace.entry(0).steps_per_s == 0
    assert pace.entry(0).left_s is None
    assert pace.whole().left_s == pytest.approx(40 * 30 / 60)


def test_a_plain_line_says_everything():
    pace = Pace()
    pace.add(snapshot(0.0, 0))
    now = snapshot(4.0, 40, n_returned=2, n_lost=1)
    pace.add(now)
    assert line(now, pace) == (
        "[4 s] 40 of 100 done, 0 failed, 2 units retried, 1 workers lost, success 50 %, 100 steps/s, 6 s left"
    )


@pytest.mark.parametrize("width", [60, 80, 120])
def test_bars_fit_the_terminal(width):
    pace = Pace()
    now = snapshot(1.0, 40, 100)
    pace.add(now)
    console = Console(width=width, height=20, markup=False)
    with console.capture() as printed:
        console.print(bars(now, pace, labels(now.entries), width, 20))
        console.print(total_line(now, pace))
    text = printed.get().splitlines()
    assert max(map(len, text)) <= width
    assert "40/100" in text[1]
    assert "100/100" in text[2]


def test_where_not_all_entries_fit_those_under_way_are_shown():
    pace = Pace()
    now = snapshot(1.0, 100, 40)
    pace.add(now)
    console = Console(width=80, markup=False)
    with console.capture() as printed:
        console.print(bars(now, pace, labels(now.entries), 80, 4))
    assert "FrozenLake" in printed.get()
    assert "CartPole" not in printed.get()


@pytest.mark.parametrize(
    ("seconds", "long", "short"),
    [(None, "-", "-"), (8.2, "8 s", "0:08"), (185, "3 min 05 s", "3:05"), (7_800, "2 h 10 min", "2:10:00")],
)
def test_times_are_said_as_people_say_them(seconds, long, short):
    assert (duration(seconds), clock(seconds)) == (long, short)
