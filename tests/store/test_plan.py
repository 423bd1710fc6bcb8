import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.store.fakes import entry, job
from trajgen.entries import BackendChoice
from trajgen.errors import ConfigError, DamagedRun, RunConflict, UnknownName
from trajgen.ids import digest, episode_id, task_id
from trajgen.store import plan as plans
from trajgen.store.commits import Recovery, committed, recover
from trajgen.store.layout import RunDir
from trajgen.store.plan import Plan, add_generation, cut, ids_of, open_plan, read_plan


@pytest.fixture
def run(tmp_path):
    return RunDir(tmp_path / "fake")


entries = st.builds(
    lambda n, samples, trials, env: entry(range(n), samples=samples, trials=trials, env_id=f"E{env}-v0"),
    st.integers(1, 300) | st.integers(1, 5),
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(0, 99),
)
jobs = st.lists(entries, min_size=1, max_size=4, unique_by=lambda e: e.id).map(lambda es: job(*es))


def whole(of):
    return Plan(of, of.entries, cut(of))


@settings(deadline=None, max_examples=25)
@given(jobs)
def test_units_hold_every_episode_once_in_order_and_never_cross_an_entry(drawn):
    plan = whole(drawn)
    keys = [key.episode_id for unit in plan.units for key in plan.keys(unit)]
    expected = [
        episode_id(e.key, task_id(e.env_id, e.wrappers, e.make_options, e.options, e.split, seed), sample, trial)
        for e in drawn.entries
        for seed, sample in e.items()
        for trial in range(e.trials)
    ]
    assert keys == expected
    assert len(set(keys)) == len(keys) == plan.n_episodes()
    assert [unit.id for unit in plan.units] == [f"{i:05d}" for i in range(len(plan.units))]


@settings(deadline=None, max_examples=40)
@given(jobs)
def test_a_unit_holds_a_thirty_second_of_the_job_but_one_to_64_episodes(drawn):
    plan = whole(drawn)
    size = min(max(-(-plan.n_episodes() // 32), 1), 64)
    for unit in plan.units:
        trials = plan.entries[unit.entry].trials
        assert unit.n_episodes(trials) <= max(size, trials)


def test_an_id_of_a_unit_says_seed_sample_and_trial(run):
    one = entry([7], samples=2, trials=2)
    plan = whole(job(one))
    found = [(k.seed, k.sample, k.trial) for unit in plan.units for k in ids_of(unit, one)]
    assert found == [(7, 0, 0), (7, 0, 1), (7, 1, 0), (7, 1, 1)]


def test_a_new_run_is_read_back_as_it_was_planned(run):
    made = open_plan(run, job(), allow_mixed=False)
    assert made == whole(job())
    assert read_plan(run) == made
    assert open_plan(run, job(), allow_mixed=False) == made
    assert [p.name for p in run.plan.iterdir()] == ["00000.json"]


@settings(deadline=None, max_examples=25)
@given(jobs, st.integers(0, 200), st.integers(0, 2), st.data())
def test_a_grown_job_keeps_its_units_and_appends_the_new_episodes_only(tmp_path_factory, drawn, more, samples, data):
    run = RunDir(tmp_path_factory.mktemp("grow") / "r")
    old = open_plan(run, drawn, allow_mixed=False)
    grown = [
        msgspec.structs.replace(e, seeds=tuple(range(len(e.seeds) + more)), samples=e.samples + samples)
        for e in drawn.entries
    ]
    order = data.draw(st.permutations([*grown, entry(range(3), env_id="New-v0")]))
    new = open_plan(run, job(*order), allow_mixed=False)
    assert new.units[: len(old.units)] == old.units
    keys = [key.episode_id for unit in new.units for key in new.keys(unit)]
    asked = [k.episode_id for unit in cut(job(*order)) for k in ids_of(unit, order[unit.entry])]
    assert len(keys) == len(set(keys)) == new.n_episodes()
    assert set(keys) == set(asked)
    assert read_plan(run) == new


def test_how_a_job_runs_may_change_and_the_newest_way_is_kept(run):
    open_plan(run, job(entry(resources={"GPU": 1.0})), allow_mixed=False)
    other = job(entry(resources={"GPU": 0.5}), workers=2)
    assert open_plan(run, other, allow_mixed=False).units == cut(other)
    assert read_plan(run).job == other
    assert read_plan(run).entries[0].resources == {"GPU": 0.5}


def test_one_content_in_two_entries_is_planned_once_per_seed(run):
    two = job(entry(range(4), resources={"a": 1.0}), entry(range(10, 12), resources={"b": 1.0}))
    open_plan(run, two, allow_mixed=False)
    grown = job(entry(range(4)), entry(range(10, 15)))
    plan = open_plan(run, grown, allow_mixed=False)
    assert plan.n_episodes() == 9
    assert len(plan.entries) == 2


@pytest.mark.parametrize(
    ("now", "line"),
    [
        (job(entry(max_steps=40)), "entry[0].budget.max_steps: 30 -> 40"),
        (job(entry(env_id="Other-v0")), "entry[0].env_id: 'Fake-v0' -> 'Other-v0'"),
        (job(entry(range(2))), "entry[0].seeds: 4 seeds in 0..3 -> 2 seeds in 0..1"),
        (job(entry(trials=2)), "entry[0].trials: 1 -> 2"),
        (job(msgspec.structs.replace(entry(), key="k", id="i")), "entry[0].agent: the texts"),
        (job(entry(), name="other"), None),
    ],
)
def test_a_job_of_other_content_is_refused_with_what_differs(run, now, line):
    before = open_plan(run, job(), allow_mixed=False)
    if line is None:
        open_plan(run, now, allow_mixed=False)
        return
    with pytest.raises(RunConflict) as error:
        open_plan(run, now, allow_mixed=False)
    assert line in str(error.value)
    assert "--set out=" in str(error.value)
    assert read_plan(run) == before


def test_an_entry_that_is_gone_is_named(run):
    open_plan(run, job(entry(), entry(env_id="Gone-v0")), allow_mixed=False)
    with pytest.raises(RunConflict, match=r"entry\[1\]: Gone-v0 x random -> nothing"):
        open_plan(run, job(), allow_mixed=False)


def test_where_a_model_is_served_is_no_difference_but_what_it_is_is_one():
    from trajgen.store.differences import differences

    def served(model, url):
        backend = BackendChoice("small", "no-such-plug-in", {"model": model, "base_url": url})
        of = entry()
        agent = msgspec.structs.replace(of.agent, backends={"backend": backend})
        return msgspec.structs.replace(of, agent=agent, id=digest("set", model), key=digest("entry", model))

    found = differences([served("a", "http://x")], [served("b", "http://x")])
    assert found == ["entry[0].agent.backends.backend.model: 'a' -> 'b'"]


def test_another_version_is_refused_unless_mixing_is_allowed(run, monkeypatch):
    before = open_plan(run, job(), allow_mixed=False)
    monkeypatch.setattr(plans, "engine_version", lambda: "99.0")
    with pytest.raises(RunConflict, match=r"made by trajgen .* this is 99\.0.*--allow-mixed"):
        open_plan(run, job(), allow_mixed=False)
    assert open_plan(run, job(), allow_mixed=True) == before
    assert read_plan(run) == before


def test_a_seed_that_parquet_cannot_hold_is_refused_by_its_path(run):
    with pytest.raises(ConfigError, match=r"entry\[0\]\.seeds: expected seeds up to 2\*\*63 - 1"):
        open_plan(run, job(entry([2**63])), allow_mixed=False)


@pytest.mark.parametrize(
    ("before", "now", "line"),
    [
        (1, 1.0, "entry[0].options.x: 1 -> 1.0"),
        (True, 1, "entry[0].options.x: True -> 1"),
        (0.0, -0.0, "entry[0].options.x: 0.0 -> -0.0"),
        ([1], [1.0], "entry[0].options.x: [1] -> [1.0]"),
        ("a" * 99 + "b", "a" * 99 + "c", "aab'... -> ..."),
    ],
)
def test_values_that_python_calls_equal_or_that_differ_late_are_told_apart(before, now, line):
    from trajgen.store.differences import differences

    def with_x(x):
        return msgspec.structs.replace(entry(), options={"x": x}, id=digest("set", x))

    assert digest(before) != digest(now)
    (found,) = differences([with_x(before)], [with_x(now)])
    assert line in found
    assert differences([with_x(before)], [with_x(before)]) == []


def test_what_file_systems_and_editors_leave_in_a_run_is_ignored(run):
    before = open_plan(run, job(), allow_mixed=False)
    for folder in (run.plan, run.commits):
        for name in (".nfs0001", ".DS_Store", "00000.json~"):
            (folder / name).write_bytes(b"no document")
    (run.journal / "00000.lease").mkdir()
    assert open_plan(run, job(), allow_mixed=False) == before
    assert recover(run, before) == Recovery((), (), 0, ())
    assert committed(run) == {}


def test_a_place_where_no_folder_can_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="out: cannot make a run in"):
        open_plan(RunDir(tmp_path / "file" / "run"), job(), allow_mixed=False)


def test_a_folder_without_a_plan_is_no_run(run):
    with pytest.raises(UnknownName, match="no plan"):
        read_plan(run)


# ---- generations


def test_failed_episodes_are_planned_again_with_all_trials_of_their_items(run):
    plan = open_plan(run, job(entry(range(40), trials=2), entry(range(2), env_id="Other-v0")), allow_mixed=False)
    failed = [plan.keys(plan.units[0])[1], plan.keys(plan.units[-1])[-1]]
    again = add_generation(run, plan, [key.episode_id for key in failed])
    new = again.units[len(plan.units) :]
    assert [(u.generation, u.entry, u.items) for u in new] == [(1, 0, ((0, 0),)), (1, 1, ((1, 0),))]
    assert read_plan(run) == again
    assert again.n_episodes() == plan.n_episodes()
    third = add_generation(run, again, [failed[0].episode_id])
    assert third.units[-1].generation == 2
    assert third.units[-1].items == ((0, 0),)


def test_only_committed_units_supersede(run):
    plan = open_plan(run, job(entry(range(3))), allow_mixed=False)
    first = plan.units[0]
    again = add_generation(run, plan, [plan.keys(first)[0].episode_id])
    old = {unit.id for unit in plan.units}
    assert again.superseded(old) == {}
    assert again.superseded({*old, again.units[-1].id}) == {first.id: frozenset({(0, 0)})}
    assert again.missing(old) == [again.units[-1]]


def test_an_unknown_episode_cannot_be_played_again(run):
    plan = open_plan(run, job(), allow_mixed=False)
    with pytest.raises(UnknownName, match="no episode 'ffff' in the plan"):
        add_generation(run, plan, ["ffff"])


def test_no_failed_episode_adds_nothing(run):
    plan = open_plan(run, job(), allow_mixed=False)
    assert add_generation(run, plan, []) == plan
    assert len(list(run.plan.iterdir())) == 1


# ---- damage


def test_every_changed_byte_of_a_plan_is_found_and_the_file_is_named(run):
    open_plan(run, job(entry(range(2))), allow_mixed=False)
    path = run.plan_file(0)
    whole_file = path.read_bytes()
    for at in range(len(whole_file) - 1):  # the last byte is the newline
        flipped = bytearray(whole_file)
        flipped[at] ^= 1 << at % 8
        path.write_bytes(flipped)
        with pytest.raises(DamagedRun, match=r"plan/00000\.json"):
            read_plan(run)


def test_a_plan_file_that_is_missing_is_named(run):
    open_plan(run, job(), allow_mixed=False)
    open_plan(run, job(entry(range(9))), allow_mixed=False)
    run.plan_file(0).unlink()
    with pytest.raises(DamagedRun, match=r"00000\.json: missing"):
        read_plan(run)
