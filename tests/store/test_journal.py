import os
import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.store.fakes import job, play
from tests.store.strategies import episodes, same
from trajgen.errors import StoreFault
from trajgen.store import journal
from trajgen.store.journal import Journal
from trajgen.store.layout import RunDir
from trajgen.store.plan import Plan, cut


@pytest.fixture
def run(tmp_path):
    made = RunDir(tmp_path / "fake")
    made.create()
    return made


@pytest.fixture(scope="module")
def rows():
    one = job()
    plan = Plan(one, one.entries, cut(one))
    return [episode for unit in plan.units for episode in play(plan, unit, n_steps=1)]


def write(run, rows, lease="a", unneeded=()):
    with Journal(run, "00000", lease) as log:
        for episode in rows:
            assert log.append(episode) == 0
        for episode_id in unneeded:
            log.append_unneeded(episode_id)
    return run.journal_file("00000", lease)


def test_what_was_appended_is_read(run, rows):
    write(run, rows[:2], unneeded=["f" * 32])
    found = journal.read(run, "00000")
    assert found.episodes == {e.episode_id: e for e in rows[:2]}
    assert found.unneeded == {"f" * 32}
    assert journal.units(run) == {"00000"}


@settings(deadline=None, max_examples=30)
@given(st.lists(episodes(), max_size=3, unique_by=lambda e: e.episode_id))
def test_any_episode_comes_back_to_the_bit(tmp_path_factory, drawn):
    run = RunDir(tmp_path_factory.mktemp("journal"))
    run.create()
    write(run, drawn)
    assert same(list(journal.read(run, "00000").episodes.values()), drawn)


def test_a_journal_cut_at_any_byte_gives_the_whole_frames_before_it(run, rows):
    path = write(run, rows[:2], unneeded=["f" * 32])
    data = path.read_bytes()
    first = len(journal._frame(b"E" + msgspec.msgpack.encode(rows[0])))
    second = first + len(journal._frame(b"E" + msgspec.msgpack.encode(rows[1])))
    for at in range(len(data) + 1):
        path.write_bytes(data[:at])
        found = journal.read(run, "00000")
        assert len(found.episodes) == (at >= first) + (at >= second)
        assert len(found.unneeded) == (at == len(data))


def test_a_flipped_bit_costs_its_frame_and_those_behind_it_and_invents_nothing(run, rows):
    path = write(run, rows)
    data = path.read_bytes()
    rng = random.Random(0)
    for _ in range(50):
        at = rng.randrange(len(data) * 8)
        flipped = bytearray(data)
        flipped[at // 8] ^= 1 << at % 8
        path.write_bytes(flipped)
        found = list(journal.read(run, "00000").episodes.values())
        assert found == rows[: len(found)]
        assert len(found) < len(rows)


@given(st.binary(max_size=200))
def test_garbage_is_no_error(tmp_path_factory, data):
    run = RunDir(tmp_path_factory.mktemp("garbage"))
    run.create()
    run.journal_file("00000", "a").write_bytes(data)
    assert journal.read(run, "00000").episodes == {}


def test_a_whole_frame_that_is_no_episode_is_skipped(run, rows):
    path = write(run, rows[:1])
    alien = journal._frame(b"E" + msgspec.msgpack.encode({"from": "another version"})) + journal._frame(b"?")
    path.write_bytes(alien + path.read_bytes())
    assert list(journal.read(run, "00000").episodes.values()) == rows[:1]


def test_the_first_of_an_id_wins_in_the_order_of_leases(run, rows):
    later = msgspec.structs.replace(rows[0], created_at="later")
    write(run, [later, rows[1]], lease="b")
    write(run, [rows[0]], lease="a", unneeded=[rows[1].episode_id])
    found = journal.read(run, "00000")
    assert found.episodes == {e.episode_id: e for e in rows[:2]}
    assert found.unneeded == frozenset()  # somebody played it after all


def test_a_lease_is_used_once(run, rows):
    write(run, rows[:1])
    with pytest.raises(StoreFault, match="FileExistsError"), Journal(run, "00000", "a"):
        pass


def test_a_lease_cannot_leave_its_folder(run):
    with pytest.raises(ValueError, match="lease: expected"):
        Journal(run, "00000", "../x")


def test_discarding_removes_the_unit_s_journals_and_no_other_s(run, rows):
    write(run, rows[:1])
    write(run, rows[:1], lease="b")
    with Journal(run, "000001", "a"):
        pass
    assert journal.discard(run, "00000") == 2
    assert journal.units(run) == {"000001"}


def test_a_lone_surrogate_is_replaced_and_counted(run, rows):
    with Journal(run, "00000", "a") as log:
        assert log.append(msgspec.structs.replace(rows[0], memory_in="\ud800\udc00")) == 2
    (found,) = journal.read(run, "00000").episodes.values()
    assert found.memory_in == "\ufffd\ufffd"


def test_a_write_that_fails_half_way_leaves_no_torn_frame_for_the_next_to_hide_behind(run, rows, monkeypatch):
    with Journal(run, "00000", "a") as log:
        log.append(rows[0])
        with monkeypatch.context() as patch:
            true_write = os.write
            patch.setattr(journal.os, "write", lambda handle, data: true_write(handle, data[: len(data) // 2]))
            with pytest.raises(StoreFault, match="DiskFull"):
                log.append(rows[1])
        log.append(rows[2])
    assert list(journal.read(run, "00000").episodes.values()) == [rows[0], rows[2]]
