import pytest

from tests.store.fakes import entry, job, play, played
from trajgen.errors import UnknownName
from trajgen.store import reader
from trajgen.store.commits import commit
from trajgen.store.layout import RunDir
from trajgen.store.plan import add_generation, open_plan
from trajgen.store.reader import failed_ids, find_episode, iter_episodes, open_run, summary

BOOM = ("env", "ValueError", "boom")


@pytest.fixture
def run(tmp_path):
    return RunDir(tmp_path / "fake")


@pytest.fixture
def plan(run):
    """Two units of one entry, one of another; everything of seed 1 fails; nothing of the last unit is committed."""
    made = open_plan(run, job(entry(range(40)), entry(range(2), env_id="Other-v0")), allow_mixed=False)
    for unit in made.units[:2]:
        of = made.entries[0]
        commit(run, unit, [played(of, k, failure=BOOM if k.seed == 1 else None) for k in made.keys(unit)], ())
    return made


def replay(run, plan):
    """Play what failed again; now it works."""
    again = add_generation(run, plan, failed_ids(run))
    for unit in again.units[len(plan.units) :]:
        commit(run, unit, play(again, unit, mark="again "), ())
    return again


def test_a_run_is_found_by_its_path_and_by_its_name_in_runs(run, plan, tmp_path, monkeypatch):
    assert open_run(run.path) == run
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    run.path.rename(tmp_path / "runs" / "fake")
    assert open_run("fake").path.as_posix() == "runs/fake"
    with pytest.raises(UnknownName, match=r"no run 'fakr'; did you mean 'fake'\?"):
        open_run("fakr")


def test_a_folder_that_is_no_run_is_said_to_be_none(tmp_path):
    with pytest.raises(UnknownName, match=r"no run .it has no plan/.*trajgen run"):
        open_run(tmp_path)
    with pytest.raises(UnknownName, match="no run 'elsewhere'; `trajgen run"):
        open_run("elsewhere")


def test_episodes_come_in_the_plan_s_order(run, plan):
    assert [e.task.seed for e in iter_episodes(run)] == [0, 1, 2, 3]


def test_chosen_columns_alone_are_read(run, plan):
    found = list(iter_episodes(run, columns=["outcome"]))
    assert [e.outcome for e in found] == [e.outcome for e in iter_episodes(run)]
    assert all(e.steps == () and e.episode_id for e in found)


def test_without_checksums_a_good_run_reads_the_same(run, plan):
    assert list(iter_episodes(run, verify_checksums=False)) == list(iter_episodes(run))


def test_the_newest_generation_of_an_episode_wins(run, plan):
    old = {e.task.seed: e for e in iter_episodes(run)}
    assert failed_ids(run) == [old[1].episode_id]
    again = add_generation(run, plan, failed_ids(run))
    assert [e.task.seed for e in iter_episodes(run)] == [0, 1, 2, 3]  # planned, not committed
    commit(run, again.units[-1], play(again, again.units[-1], mark="again "), ())
    found = list(iter_episodes(run))
    assert [e.task.seed for e in found] == [0, 2, 3, 1]
    assert len({e.episode_id for e in found}) == 4
    assert found[-1].failure is None
    assert found[-1].steps[0].observation.text.startswith("again ")
    assert failed_ids(run) == []


def test_a_summary_counts_each_episode_once_whatever_was_played_again(run, plan):
    before, other = summary(run)
    assert (before.label, before.planned, before.tally.n_episodes, before.tally.n_failed) == (
        "Fake-v0 x random",
        40,
        4,
        1,
    )
    assert before.tally.failures == {"env:ValueError": 1}
    assert (other.env_id, other.agent, other.split, other.planned, other.tally.n_episodes) == (
        "Other-v0",
        "random",
        "train",
        2,
        0,
    )
    replay(run, plan)
    after = summary(run)[0]
    assert (after.planned, after.tally.n_episodes, after.tally.n_failed, after.tally.n_success) == (40, 4, 0, 4)


def test_a_summary_opens_no_shard_where_nothing_was_played_again(run, plan):
    for shard in run.shards.iterdir():
        shard.unlink()
    assert summary(run)[0].tally.n_episodes == 4


def test_an_episode_is_found_by_prefix_and_by_place(run, plan):
    rows = list(iter_episodes(run))
    for place, row in enumerate(rows):
        assert find_episode(run, row.episode_id) == row
        assert find_episode(run, row.episode_id[:12]) == row
        assert find_episode(run, str(place)) == row
    replay(run, plan)
    for place, row in enumerate(iter_episodes(run)):
        assert find_episode(run, row.episode_id) == row
        assert find_episode(run, str(place)) == row


def test_an_ambiguous_prefix_lists_what_fits(run, plan):
    with pytest.raises(UnknownName, match=r"42 episodes of .* begin with '': .*, \.\.\.; type more"):
        find_episode(run, "")


def test_an_unknown_episode_says_what_is_expected(run, plan):
    with pytest.raises(UnknownName, match=r"no episode 'zz'.*expected a place"):
        find_episode(run, "zz")


def test_an_episode_that_is_not_played_yet_says_what_to_type(run, plan):
    late = plan.keys(plan.units[-1])[0].episode_id
    with pytest.raises(UnknownName, match="planned but not committed yet; `trajgen resume"):
        find_episode(run, late)


def test_a_trial_that_was_not_needed_is_said_to_be_none(tmp_path):
    run = RunDir(tmp_path / "r")
    plan = open_plan(run, job(entry([0], trials=2)), allow_mixed=False)
    first, second = plan.keys(plan.units[0])
    commit(run, plan.units[0], [played(plan.entries[0], first)], [second.episode_id])
    with pytest.raises(UnknownName, match="was not needed"):
        find_episode(run, second.episode_id)
    (row,) = summary(run)
    assert (row.planned, row.tally.n_episodes, row.tally.n_unneeded) == (2, 1, 1)


def test_a_trial_that_is_unneeded_when_played_again_hides_its_old_row(tmp_path):
    run = RunDir(tmp_path / "r")
    plan = open_plan(run, job(entry([0], trials=2)), allow_mixed=False)
    of = plan.entries[0]
    first, second = plan.keys(plan.units[0])
    commit(run, plan.units[0], [played(of, first, failure=BOOM), played(of, second)], [])
    again = add_generation(run, plan, failed_ids(run))
    commit(run, again.units[-1], [played(of, first)], [second.episode_id])
    assert [e.episode_id for e in iter_episodes(run)] == [first.episode_id]
    assert summary(run)[0].tally.n_unneeded == 1


def test_reading_keeps_one_row_group_in_memory(run, plan, monkeypatch):
    from trajgen.store import shards

    read = []
    whole = shards.from_table
    monkeypatch.setattr(shards, "from_table", lambda table: read.append(table.num_rows) or whole(table))
    next(iter(reader.iter_episodes(run)))
    assert read == [2]
