"""The bookkeeping of leases: every unit ends committed, given up or refused, and only a crash while alone counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from trajgen.dispatch import MAX_LOSSES, MAX_RETURNS, Dispatcher, Lease, LeaseReport, UnitReport
from trajgen.store.plan import Unit
from trajgen.store.slots import ALONE_LIMIT, SuspectRecord
from trajgen.store.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable

DONE = Tally(n_episodes=1)


def units(n: int) -> list[Unit]:
    return [Unit(f"{i:05d}", 0, i % 2, ((i, 0),)) for i in range(n)]


def dispatcher(n: int) -> Dispatcher:
    return Dispatcher(units(n), lambda episode_id: episode_id.removeprefix("e"), lambda unit: [f"e{unit.id}"])


def report(lease: Lease, why: str | None = None, *, refused: bool = False) -> LeaseReport:
    committed = DONE if why is None and lease.alone is None else None
    return LeaseReport(lease.id, tuple(UnitReport(u.id, committed, why, refused) for u in lease.units))


def taken(d: Dispatcher, n: int = 1, *, idle: bool = True) -> Lease:
    lease = d.lease("w", n, idle=idle)
    assert lease is not None
    return lease


def test_every_unit_is_leased_once_and_committed():
    d = dispatcher(5)
    seen: list[str] = []
    while (lease := d.lease("w", 2, idle=False)) is not None:
        seen += [u.id for u in lease.units]
        d.done(report(lease))
    assert sorted(seen) == [u.id for u in units(5)]
    assert d.finished
    assert len(d.committed) == 5


def test_a_lease_holds_units_of_one_entry():
    lease = taken(dispatcher(4), 4)
    assert len({u.entry for u in lease.units}) == 1


def test_a_unit_that_comes_back_is_leased_again_and_given_up_in_the_end_with_its_reason():
    d = dispatcher(1)
    for _ in range(MAX_RETURNS):
        d.done(report(taken(d), why="backend: ConnectionError"))
    assert d.finished
    assert d.given_up == {"00000": "backend: ConnectionError"}


def test_a_users_mistake_stops_everything():
    d = dispatcher(3)
    d.done(report(taken(d), why="options.x: unknown key", refused=True))
    assert d.refused == "options.x: unknown key"
    assert d.lease("w", 1, idle=True) is None
    assert d.finished


def test_a_suspect_is_played_alone_and_its_unit_waits_for_it():
    d = dispatcher(2)
    first = taken(d)
    d.lost([first.id], {"e00000": SuspectRecord(0, 1, ())})
    assert d.waiting_alone
    other = taken(d, idle=False)
    assert [u.id for u in other.units] == ["00001"]
    d.done(report(other))
    assert d.lease("w", 1, idle=False) is None
    alone = taken(d)
    assert alone.alone == "e00000"
    d.done(report(alone))
    again = taken(d)
    assert ([u.id for u in again.units], again.alone, again.condemned) == (["00000"], None, {})


def test_only_crashes_while_alone_condemn():
    d = dispatcher(1)
    d.lost([taken(d).id], {"e00000": SuspectRecord(0, 7, ())})
    for n in range(1, ALONE_LIMIT + 1):
        alone = taken(d)
        assert alone.alone == "e00000"
        d.lost([alone.id], {"e00000": SuspectRecord(n, 7 + n, ("timeout",))})
    last = taken(d)
    assert last.alone is None
    assert last.condemned["e00000"].type == "Hang"
    d.done(report(last))
    assert d.finished


def test_a_suspect_that_played_to_its_end_alone_is_not_suspected_again_for_the_old_crash():
    d = dispatcher(2)
    old = {"e00000": SuspectRecord(0, 1, ())}
    d.lost([taken(d).id], old)
    d.done(report(taken(d)))
    other = taken(d)
    d.lost([other.id], old)
    assert not d.waiting_alone


def test_an_episode_whose_agent_ends_every_worker_is_found_by_playing_one_by_one_and_condemned():
    d = dispatcher(1)
    for _ in range(MAX_LOSSES):
        d.lost([taken(d).id], {})
    for _ in range(ALONE_LIMIT):
        alone = taken(d)
        assert alone.alone == "e00000"
        d.lost([alone.id], {})
    last = taken(d)
    assert last.alone is None
    assert (last.condemned["e00000"].boundary, last.condemned["e00000"].type) == ("agent", "Crash")


def test_a_suspect_whose_provider_failed_stays_a_suspect_and_its_unit_is_leased_once():
    d = dispatcher(1)
    d.lost([taken(d).id], {"e00000": SuspectRecord(0, 1, ())})
    d.done(report(taken(d), why="backend: ConnectionError"))
    again = taken(d)
    assert again.alone == "e00000"
    d.done(report(again))
    assert taken(d).alone is None
    assert d.lease("w", 1, idle=True) is None


def test_suspects_an_earlier_process_left_behind_are_played_alone_first():
    d = dispatcher(2)
    d.begin_with({"e00001": SuspectRecord(1, 1, ())})
    assert taken(d).alone == "e00001"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["done", "return", "lose", "blame"]), max_size=120), st.integers(1, 6))
def test_whatever_happens_it_ends_with_every_unit_accounted_for(events: Iterable[str], n: int):
    d = dispatcher(n)
    crashes: dict[str, SuspectRecord] = {}
    script = iter(events)
    for _ in range(2_000):
        lease = d.lease("w", 2, idle=True)
        if lease is None:
            break
        event = next(script, "done")
        if event == "done":
            d.done(report(lease))
        elif event == "return":
            d.done(report(lease, why="store: OSError"))
        else:
            if event == "blame":
                who = lease.alone or f"e{lease.units[0].id}"
                before = crashes.get(who, SuspectRecord(0, 0, ()))
                crashes[who] = SuspectRecord(before.alone_crashes + bool(lease.alone), before.seen + 1, ())
            d.lost([lease.id], crashes)
    assert d.finished
    assert d.committed.keys() | d.given_up.keys() == {u.id for u in units(n)}
    assert not d.committed.keys() & d.given_up.keys()
