import os
import random
import resource
import threading

import msgspec
import pytest

from tests.store.fakes import entry, job, play, played
from trajgen.errors import DamagedRun, StoreFault
from trajgen.ids import content_digest
from trajgen.store import commits, journal, layout
from trajgen.store.commits import commit, committed, recover
from trajgen.store.journal import Journal
from trajgen.store.layout import RunDir
from trajgen.store.plan import open_plan
from trajgen.store.reader import iter_episodes
from trajgen.store.tally import Tally, tally


@pytest.fixture
def run(tmp_path):
    return RunDir(tmp_path / "fake")


@pytest.fixture
def plan(run):
    return open_plan(run, job(entry(range(64))), allow_mixed=False)  # 32 units of 2


def finish(run, plan):
    recover(run, plan)
    for unit in plan.missing(committed(run)):
        commit(run, unit, play(plan, unit), ())


def digests(run):
    return [content_digest(e) for e in iter_episodes(run)]


def test_a_committed_unit_is_read_back_and_counted(run, plan):
    unit = plan.units[3]
    rows = play(plan, unit)
    record = commit(run, unit, rows, ())
    assert list(iter_episodes(run)) == rows
    assert committed(run) == {unit.id: record}
    assert (record.rows, record.bytes) == (2, run.shard(unit.id).stat().st_size)
    assert record.blake2b == commits.file_digest(run.shard(unit.id))
    assert record.tally == tally(rows, ())


def test_rows_are_stored_in_the_unit_s_order_whatever_order_they_finished_in(run, plan):
    unit = plan.units[0]
    commit(run, unit, play(plan, unit)[::-1], ())
    assert list(iter_episodes(run)) == play(plan, unit)


def test_an_episode_of_another_unit_or_one_twice_is_refused(run, plan):
    with pytest.raises(ValueError, match="is not of it"):
        commit(run, plan.units[0], play(plan, plan.units[1]), ())
    twice = play(plan, plan.units[0])[:1] * 2
    with pytest.raises(ValueError, match="two episodes for seed 0, sample 0, trial 0"):
        commit(run, plan.units[0], twice, ())


def test_the_second_holder_gets_the_first_one_s_record(run, plan):
    unit = plan.units[0]
    first = commit(run, unit, play(plan, unit), ())
    second = commit(run, unit, play(plan, unit, mark="other "), ())
    assert second == first
    assert list(iter_episodes(run)) == play(plan, unit)


def test_holders_at_the_same_time_all_succeed_with_one_record(run, plan):
    unit = plan.units[0]
    records = []
    start = threading.Barrier(6)

    def hold(i):
        start.wait()
        records.append(commit(run, unit, play(plan, unit, mark=f"holder {i} "), ()))

    holders = [threading.Thread(target=hold, args=(i,)) for i in range(6)]
    for holder in holders:
        holder.start()
    for holder in holders:
        holder.join()
    assert len(records) == 6
    assert len(set(map(msgspec.json.encode, records))) == 1
    assert committed(run) == {unit.id: records[0]}
    assert len({e.steps[0].observation.text.split(" seed")[0] for e in iter_episodes(run)}) == 1


def test_a_shard_without_a_record_is_given_the_same_one(run, plan):
    unit = plan.units[0]
    record = commit(run, unit, play(plan, unit), ())
    run.commit(unit.id).unlink()
    assert recover(run, plan).records_written == (unit.id,)
    assert committed(run) == {unit.id: record}
    assert recover(run, plan).records_written == ()


def test_a_record_cut_at_any_byte_is_found_and_mended(run, plan):
    unit = plan.units[0]
    record = commit(run, unit, play(plan, unit), ())
    path = run.commit(unit.id)
    data = path.read_bytes()
    for at in range(0, len(data) - 1, 7):
        path.write_bytes(data[:at])
        with pytest.raises(DamagedRun, match=r"commits/00000\.json.*trajgen resume"):
            committed(run)
        if at % 2:
            assert recover(run, plan).records_written == (unit.id,)
        else:
            assert commit(run, unit, play(plan, unit), ()) == record
        assert path.read_bytes() == data


def test_a_damaged_record_without_a_shard_is_forgotten(run, plan):
    run.commit("00000").write_bytes(b"{")
    recover(run, plan)
    assert committed(run) == {}


def test_a_flipped_bit_of_a_shard_is_found_and_the_shard_is_named(run, plan):
    unit = plan.units[0]
    commit(run, unit, play(plan, unit), ())
    path = run.shard(unit.id)
    data = path.read_bytes()
    rng = random.Random(0)
    for _ in range(50):
        flipped = bytearray(data)
        at = rng.randrange(len(data) * 8)
        flipped[at // 8] ^= 1 << at % 8
        path.write_bytes(flipped)
        with pytest.raises(DamagedRun, match=r"shards/00000\.parquet"):
            list(iter_episodes(run))


def test_a_flipped_bit_of_a_record_is_found(run, plan):
    commit(run, plan.units[0], play(plan, plan.units[0]), ())
    path = run.commit("00000")
    data = path.read_bytes()
    rng = random.Random(0)
    for _ in range(50):
        at = rng.randrange((len(data) - 1) * 8)
        flipped = bytearray(data)
        flipped[at // 8] ^= 1 << at % 8
        path.write_bytes(flipped)
        with pytest.raises(DamagedRun, match=r"commits/00000\.json"):
            list(iter_episodes(run))
    recover(run, plan)
    assert path.read_bytes() == data


def test_a_shard_damaged_before_it_has_a_record_is_named_and_never_recorded(run, plan):
    unit = plan.units[0]
    commit(run, unit, play(plan, unit), ())
    run.commit(unit.id).unlink()
    path = run.shard(unit.id)
    data = path.read_bytes()
    rng = random.Random(1)
    for _ in range(20):
        flipped = bytearray(data)
        at = rng.randrange(len(data) * 8)
        flipped[at // 8] ^= 1 << at % 8
        path.write_bytes(flipped)
        said = complaint(run, plan)
        assert said is None or "00000.parquet" in said
        if said is None:  # harmless: a bit nobody reads
            assert list(iter_episodes(run)) == play(plan, unit)
            run.commit(unit.id).unlink()


def complaint(run, plan):
    try:
        recover(run, plan)
    except DamagedRun as error:
        return str(error)


def test_a_shard_that_holds_other_episodes_than_its_unit_is_named(run, plan):
    commit(run, plan.units[1], play(plan, plan.units[1]), ())
    os.link(run.shard("00001"), run.shard("00000"))
    with pytest.raises(DamagedRun, match=r"00000\.parquet: expected the 2 episodes of unit 00000"):
        recover(run, plan)


def test_a_shard_that_is_gone_or_cut_is_named(run, plan):
    commit(run, plan.units[0], play(plan, plan.units[0]), ())
    path = run.shard("00000")
    os.truncate(path, 100)
    with pytest.raises(DamagedRun, match=r"00000\.parquet: expected \d+ bytes, found 100"):
        recover(run, plan)
    path.unlink()
    with pytest.raises(DamagedRun, match="found no file"):
        recover(run, plan)
    with pytest.raises(DamagedRun, match="missing"):
        list(iter_episodes(run))


def test_recovering_clears_away_what_the_dead_left_and_nothing_of_the_living(run, plan):
    unit, other = plan.units[:2]
    for of in (unit, other):
        with Journal(run, of.id, "dead") as log:
            log.append(play(plan, of)[0])
    commit(run, unit, play(plan, unit), ())
    (run.shards / f"00001.parquet.{'0' * 32}.tmp").write_bytes(b"half")
    (run.shards / "99999.parquet").write_bytes(b"whose?")
    found = recover(run, plan)
    assert found == commits.Recovery((), (unit.id,), 1, ("99999",))
    assert journal.units(run) == {other.id}


def test_a_full_disk_is_a_store_fault_and_costs_nothing_committed(run, plan):
    first, second = plan.units[:2]
    commit(run, first, play(plan, first), ())
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))
        seen = 0
        try:
            commit(run, second, play(plan, second), ())
        except StoreFault:
            seen += 1
        try:
            with Journal(run, second.id, "full") as log:
                for episode in play(plan, second) * 9:
                    log.append(episode)
        except StoreFault:
            seen += 1
        os._exit(seen)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
    assert list(iter_episodes(run)) == play(plan, first)
    assert all(p.suffix == ".parquet" for p in run.shards.iterdir())
    assert list(journal.read(run, second.id).episodes.values()) == play(plan, second)[:1]
    finish(run, plan)
    assert digests(run) == [content_digest(e) for unit in plan.units for e in play(plan, unit)]


def test_a_lone_surrogate_reaches_the_shard_replaced(run, plan):
    unit = plan.units[0]
    rows = [msgspec.structs.replace(e, memory_in="\udc00") for e in play(plan, unit)]
    commit(run, unit, rows, ())
    assert {e.memory_in for e in iter_episodes(run)} == {"\ufffd"}


def test_a_shard_opens_in_plain_pyarrow_and_says_where_it_is_from(run, plan):
    import pyarrow.parquet as pq

    unit = plan.units[0]
    commit(run, unit, play(plan, unit), ())
    table = pq.read_table(run.shard(unit.id))
    assert table.column("outcome").to_pylist()[0] == {"success": True, "return": 1.5, "stop_reason": "terminated"}
    said = msgspec.json.decode(pq.read_metadata(run.shard(unit.id)).metadata[b"trajgen"])
    assert (said["run"], said["unit"], said["schema_version"]) == ("fake", "00000", 1)
    assert layout.names(run.shards) == ["00000.parquet"]


# ---- tallies


def test_a_tally_counts_what_it_says(plan):
    of = plan.entries[0]
    keys = plan.keys(plan.units[0]) + plan.keys(plan.units[1])
    rows = [
        played(of, keys[0]),
        played(of, keys[1], success=None),
        played(of, keys[2], success=False),
        played(of, keys[3], failure=("env", "ValueError", "boom"), n_steps=1),
    ]
    found = tally(rows, ["x", "y"])
    assert found == Tally(
        n_episodes=4,
        n_failed=1,
        n_unneeded=2,
        n_success=1,
        n_unknown=1,
        n_steps=10,
        n_turns=10,
        return_sum=4.5,
        solved_steps=3,
        solved_oracle_steps=2,
        n_feedback={"success": 10},
        failures={"env:ValueError": 1},
        stop_reasons={"failure": 1, "terminated": 3},
    )
    assert found.n_judged == 2
    assert tally(rows[:2], ["x"]) + tally(rows[2:], ["y"]) == found
    assert Tally() + found == found


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_return_that_is_no_finite_number_does_not_spoil_the_record(run, plan, bad):
    unit = plan.units[0]
    rows = play(plan, unit)
    rows[0] = msgspec.structs.replace(rows[0], outcome=msgspec.structs.replace(rows[0].outcome, return_=bad))
    assert commit(run, unit, rows, ()).tally.return_sum == 1.5
    assert committed(run)[unit.id].tally.return_sum == 1.5
