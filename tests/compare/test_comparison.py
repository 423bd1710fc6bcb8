"""Grouping a run by its keys, and which of its episodes are paired with which."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compare.synthetic import ablation, make_run
from trajgen.compare.cells import cell
from trajgen.compare.comparison import compare, varying
from trajgen.compare.pairs import Played, Twin, adjusted, group, pair
from trajgen.compare.rows import Row
from trajgen.compare.stats import mcnemar
from trajgen.errors import ConfigError
from trajgen.store.plan import add_generation, read_plan

JOB = {"env": "Fake-v0", "agent": "random", "seeds": "0:10"}
CRASH = ("env", "RuntimeError", "it broke")


def alike(entry, key):
    return {"success": key.seed % 2 == 0, "n_steps": 1 + key.seed}


@pytest.fixture(scope="module")
def ablated(tmp_path_factory):
    return compare(ablation(tmp_path_factory.mktemp("ablation") / "run"), ["feedback", "disturbance"])


# ------------------------------------------------------------------------------------- cells


def test_cells_stand_in_the_natural_order_of_their_keys(ablated):
    feedback, disturbance = (axis.values for axis in ablated.axes)
    assert feedback == ("none", "object", "success+object", "object+scene")
    assert disturbance == ("0", "0.5")
    assert [c.values for c in ablated.cells] == [(f, d) for f in feedback for d in disturbance]
    assert [c.success for c in ablated.cells] == [0.3, 0.1, 0.5, 0.3, 0.6, 0.4, 0.9, 0.7]


def test_only_measured_numbers_are_numeric(ablated, tmp_path):
    assert [axis.is_numeric for axis in ablated.axes] == [False, True]
    (axis,) = compare(make_run(tmp_path / "run", JOB, alike), ["seed"]).axes
    assert not axis.is_numeric


def test_a_cell_counts_what_it_says(tmp_path):
    def outcome(_, key):
        if key.seed == 0:
            return {"success": None, "failure": CRASH, "n_steps": 50}
        return {"success": None if key.seed == 1 else key.seed > 6, "n_steps": key.seed}

    (found,) = compare(make_run(tmp_path / "run", JOB, outcome), ["env"]).cells
    assert (found.n, found.failed, found.judged, found.successes) == (9, 1, 8, 3)
    assert found.success == 3 / 8
    assert (found.mean_steps, found.median_steps, found.mean_return) == (5.0, 8.0, 2.5)
    assert found.feedback_lines == 50 + 45  # one shown line a step; the hidden ones are not counted


def test_a_cell_without_a_judged_episode_has_no_rate(tmp_path):
    (found,) = compare(make_run(tmp_path / "run", JOB, lambda e, k: {"success": None}), ["env"]).cells
    assert (found.n, found.judged, found.success, found.success_95, found.median_steps) == (10, 0, None, None, None)


ROWS = st.lists(
    st.builds(
        Row,
        entry=st.integers(0, 2),
        seed=st.integers(0, 3),
        sample=st.just(0),
        trial=st.just(0),
        failed=st.booleans(),
        success=st.none() | st.booleans(),
        n_steps=st.integers(0, 5),
        return_=st.floats(),
        n_lines=st.integers(0, 3),
    ).map(lambda row: row._replace(success=None) if row.failed else row)
)


@given(ROWS)
def test_counts_are_conserved_however_rows_are_grouped(rows):
    whole = cell((), rows)
    parts = [cell((str(e),), [row for row in rows if row.entry == e]) for e in range(3)]
    for name in ("n", "failed", "judged", "successes", "feedback_lines"):
        assert sum(getattr(part, name) for part in parts) == getattr(whole, name)
    assert whole.n + whole.failed == len(rows)
    assert whole.mean_return is None or math.isfinite(whole.mean_return)


def test_every_episode_is_in_one_cell_whatever_is_asked_for(tmp_path):
    run = make_run(tmp_path / "run", JOB | {"samples": 2, "feedback": [[], ["object"]]}, alike)
    for by in (["feedback"], ["seed"], ["sample", "feedback"], ["agent"]):
        assert sum(c.n for c in compare(run, by).cells) == 40


def test_an_episode_played_again_counts_once(tmp_path):
    run = make_run(tmp_path / "run", JOB, lambda e, k: {"failure": CRASH} if k.seed < 3 else {"success": False})
    plan = read_plan(run)
    failed = [key.episode_id for unit in plan.units for key in plan.keys(unit) if key.seed < 3]
    add_generation(run, plan, failed)
    make_again = read_plan(run)
    from store.fakes import played
    from trajgen.store.commits import commit

    for unit in make_again.units:
        if unit.generation:
            keys = make_again.keys(unit)
            commit(run, unit, [played(make_again.entries[0], key, success=True) for key in keys], [])
    (found,) = compare(run, ["env"]).cells
    assert (found.n, found.failed, found.successes) == (10, 0, 3)


def test_a_run_with_nothing_committed_has_no_cell(tmp_path):
    found = compare(make_run(tmp_path / "run", JOB, alike, n_units=0), ["agent"])
    assert (found.cells, found.pairs) == ((), ())


def test_a_key_asked_for_twice_is_refused(tmp_path):
    run = make_run(tmp_path / "run", JOB, alike)
    with pytest.raises(ConfigError, match="'max_steps' is there 2 times"):
        compare(run, ["max_steps", "budget.max_steps"])


def test_the_keys_of_a_run_are_told_without_its_shards(tmp_path):
    run = make_run(tmp_path / "run", JOB, alike, n_units=0)
    assert [key.name for key in varying(run)] == ["seed"]


# ------------------------------------------------------------------------------------- pairs


def test_neighbours_are_paired_and_so_is_what_one_channel_more_brings(ablated):
    calm = [(p.a[0], p.b[0]) for p in ablated.pairs if p.key == "feedback" and p.a[1] == "0"]
    assert calm == [
        ("none", "object"),
        ("object", "success+object"),
        ("object", "object+scene"),
        ("success+object", "object+scene"),
    ]
    assert [(p.a, p.b) for p in ablated.pairs if p.key == "disturbance"] == [
        ((f, "0"), (f, "0.5")) for f in ablated.axes[0].values
    ]


def test_a_pair_is_told_in_full(ablated):
    found = next(p for p in ablated.pairs if p.key == "disturbance" and p.a[0] == "none")
    assert (found.n, found.both, found.only_a, found.only_b, found.neither) == (40, 4, 8, 0, 28)
    assert (found.unpaired_a, found.unpaired_b) == (0, 0)
    assert found.p == mcnemar(8, 0) == 2 / 2**8
    assert found.difference == pytest.approx(-0.2)
    assert found.difference_95.low < -0.2 < found.difference_95.high < 0
    assert found.kept == pytest.approx(1 / 3)
    assert ablated.n_tests == len(ablated.pairs) == 12
    assert found.p <= found.p_holm <= 12 * found.p


def test_all_pairs_are_all_that_differ_in_one_key(tmp_path):
    found = compare(ablation(tmp_path / "run", 10), ["feedback", "disturbance"], every_pair=True)
    assert Counter(p.key for p in found.pairs) == {"feedback": 12, "disturbance": 4}


def test_other_environments_splits_and_seeds_are_other_tasks_and_not_paired(tmp_path):
    job = {**JOB, "env": ["Fake-v0", "Other-v0"], "split": ["train", "test"]}
    found = compare(make_run(tmp_path / "run", job, alike), ["env", "split", "seed"])
    assert len(found.cells) == 40
    assert found.pairs == ()
    assert not any(axis.is_paired for axis in found.axes)


def test_episodes_are_paired_only_where_all_other_keys_are_alike(tmp_path):
    job = JOB | {
        "entry": [
            {"options": {"noise": 0, "objects": 3}},
            {"options": {"noise": 1, "objects": 3}},
            {"options": {"noise": 1, "objects": 5}},
        ]
    }
    run = make_run(tmp_path / "run", job, alike)
    (found,) = compare(run, ["noise"]).pairs
    assert (found.n, found.unpaired_a, found.unpaired_b) == (10, 0, 10)


def test_samples_and_trials_are_paired_with_their_like(tmp_path):
    job = JOB | {"feedback": [[], ["object"]], "samples": 2, "trials": 2, "agent": "random"}
    run = make_run(tmp_path / "run", job, lambda e, k: {"success": (k.sample, k.trial) == (1, 0)})
    (found,) = compare(run, ["feedback"]).pairs
    assert (found.n, found.both, found.only_a, found.only_b) == (40, 10, 0, 0)
    (across,) = compare(run, ["sample"]).pairs
    assert (across.n, across.both, across.only_b) == (40, 0, 20)


def test_failed_and_missing_episodes_are_unpaired_and_counted(tmp_path):
    job = JOB | {"entry": [{"feedback": []}, {"feedback": ["object"], "seeds": "2:12"}]}
    run = make_run(
        tmp_path / "run", job, lambda e, k: {"failure": CRASH} if k.seed == 5 and e.feedback else alike(e, k)
    )
    (found,) = compare(run, ["feedback"]).pairs
    assert (found.n, found.unpaired_a, found.unpaired_b) == (7, 3, 3)


def test_a_task_that_one_side_played_in_two_ways_has_no_partner(tmp_path):
    job = JOB | {"agent": ["random", {"name": "llm", "backend": "s"}, {"name": "llm", "backend": "t"}]}
    job["backend"] = {name: {"kind": "scripted", "replies": [f"{name}()"]} for name in "st"}
    run = make_run(tmp_path / "run", job, alike)
    (found,) = compare(run, ["agent"]).pairs
    assert (found.n, found.p, found.p_holm, found.kept) == (0, None, None, None)
    assert (found.unpaired_a, found.unpaired_b) == (10, 20)
    told_apart = compare(run, ["agent", "agent.backend"], every_pair=True)
    assert [(p.key, p.n) for p in told_apart.pairs] == [("backend", 10)]


TWINS = st.lists(st.tuples(st.integers(0, 9), st.none() | st.booleans()))


@given(TWINS, TWINS)
def test_pairs_count_every_task_once_and_turn_round_with_a_and_b(a, b):
    first, second = (
        group([name], [Played(Twin(0, b"", seed, 0, 0), won) for seed, won in side])
        for name, side in (("a", a), ("b", b))
    )
    found, turned = pair("key", first, second), pair("key", second, first)
    assert found.n == found.both + found.only_a + found.only_b + found.neither
    assert found.n + found.unpaired_a == len(a)
    assert found.n + found.unpaired_b == len(b)
    assert (found.p, found.n, found.both) == (turned.p, turned.n, turned.both)
    assert (found.only_a, found.unpaired_a) == (turned.only_b, turned.unpaired_b)


def test_a_pair_without_a_common_task_is_no_test():
    empty = pair("key", group(["a"], []), group(["b"], []))
    real = pair(
        "key", *(group([v], [Played(Twin(0, b"", s, 0, 0), v == "b") for s in range(5)]) for v in "ab")
    )  # fmt: skip
    nothing, tested = adjusted([empty, real])
    assert (nothing.p, nothing.p_holm) == (None, None)
    assert tested.p_holm == tested.p == 2 / 2**5
    assert tested.kept is None  # of no success none can be kept


def test_episodes_of_one_seed_that_began_differently_are_no_pair():
    a = group(["3"], [Played(Twin(0, b"three objects", seed, 0, 0), success=True) for seed in range(5)])
    b = group(["8"], [Played(Twin(0, b"eight objects", seed, 0, 0), success=True) for seed in range(5)])
    found = pair("objects", a, b)
    assert (found.n, found.unpaired_a, found.unpaired_b, found.p) == (0, 5, 5, None)
