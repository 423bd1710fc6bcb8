import os
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trajgen.errors import StoreFault
from trajgen.store.layout import RunDir
from trajgen.store.slots import ALONE_LIMIT, SlotFile, SuspectRecord, forgive, suspects

A, B, C = ("a" * 32, "b" * 32, "c" * 32)


@pytest.fixture
def run(tmp_path):
    made = RunDir(tmp_path / "fake")
    made.create()
    return made


def crash(run, lease, *inside, alone=False, cause=None):
    """Die, in a process of its own, inside the episodes given."""
    child = os.fork()
    if child == 0:
        slots = SlotFile.create(run, lease, alone=alone, n_slots=len(inside) + 2)
        for i, who in enumerate(inside):
            slots.slot(i).enter(C)
            slots.slot(i).leave()
            slots.slot(i).enter(who)
        slots.slot(len(inside)).enter(C)
        slots.slot(len(inside)).leave()
        if cause:
            slots.blame(0, cause)
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def test_a_killed_worker_leaves_the_episodes_it_was_inside_and_no_other(run):
    crash(run, "l1", A, B)
    assert suspects(run) == {A: SuspectRecord(0, 1, ()), B: SuspectRecord(0, 1, ())}


def test_only_crashes_while_alone_count_towards_the_limit(run):
    crash(run, "l1", A, B)
    for i in range(ALONE_LIMIT):
        crash(run, f"alone{i}", A, alone=True)
    found = suspects(run)
    assert found[A] == SuspectRecord(ALONE_LIMIT, ALONE_LIMIT + 1, ())
    assert found[B].alone_crashes == 0


def test_blame_leaves_one_suspect_and_says_why(run):
    crash(run, "l1", A, B, cause=b"timeout")
    assert suspects(run) == {A: SuspectRecord(0, 1, ("timeout",))}


def test_a_living_lease_accuses_nobody(run):
    slots = SlotFile.create(run, "living", alone=False, n_slots=1)
    slots.slot(0).enter(A)
    assert suspects(run, live={"living"}) == {}
    assert A in suspects(run)
    slots.close_clean()
    assert suspects(run) == {}
    assert list(run.slots.iterdir()) == []


def test_forgiven_episodes_are_no_suspects_and_empty_files_go(run):
    crash(run, "l1", A, B)
    crash(run, "l2", A)
    slots = SlotFile.create(run, "living", alone=False, n_slots=1)
    slots.slot(0).enter(A)
    forgive(run, {A}, live={"living"})
    assert set(suspects(run, live={"living"})) == {B}
    assert {p.name for p in run.slots.iterdir()} == {"l1", "living"}
    assert set(suspects(run)) == {A, B}
    slots.close_clean()


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda b: b"TRJSLOT11" + b))
def test_garbage_is_no_error(tmp_path_factory, data):
    run = RunDir(tmp_path_factory.mktemp("slots"))
    run.create()
    (run.slots / "x").write_bytes(data)
    (run.slots / "folder").mkdir()
    for who in suspects(run):
        assert len(who) == 32
    forgive(run, [])


def test_a_lease_is_used_once(run):
    SlotFile.create(run, "l1", alone=False, n_slots=1)
    with pytest.raises(StoreFault, match="FileExistsError"):
        SlotFile.create(run, "l1", alone=False, n_slots=1)
