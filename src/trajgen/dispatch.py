"""Who plays what next: pure bookkeeping of units, leases and suspects. Knows neither Ray nor files nor time.

Both drivers, the one in this process and the one on Ray, ask it for leases and tell it what became of them. The rules:

- a unit that comes back unfinished (its model or its disk failed) is leased again, `MAX_RETURNS` times at most;
- when a worker dies, what it held goes back to the queue. Episodes that were inside an environment then are
  *suspects*: each is played again alone, and only a crash while alone counts. `ALONE_LIMIT` such crashes condemn it:
  it becomes a failed row. So a crash never fails the healthy episodes beside it;
- where nobody was inside an environment, an agent may have ended the worker: after `MAX_LOSSES` such losses every
  episode of the unit is a suspect.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from msgspec import Struct, field

from trajgen.store.plan import Unit
from trajgen.store.slots import ALONE_LIMIT
from trajgen.store.tally import Tally
from trajgen.types import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from trajgen.store.slots import SuspectRecord

MAX_RETURNS = 3
MAX_LOSSES = 2  # a unit whose workers die this often without a suspect has its episodes played one by one


class Lease(Struct, frozen=True):
    """What one worker is asked to play.

    Attributes:
        alone: Only this episode is played, and nothing beside it in the same process.
        condemned: episode id -> failure to record instead of playing it.
    """

    id: str
    units: tuple[Unit, ...]
    alone: str | None = None
    condemned: dict[str, Failure] = field(default_factory=dict)


class UnitReport(Struct, frozen=True):
    """What became of one leased unit.

    Attributes:
        tally: Of the committed unit; None where it was not committed.
        why: Why it was not: what the provider, the disk or the engine said.
        refused: The reason is the user's to mend, so no unit of the job would do better.
    """

    unit_id: str
    tally: Tally | None = None
    why: str | None = None
    refused: bool = False


class LeaseReport(Struct, frozen=True):
    """What became of one lease; `cpu_s` is the worker process's CPU time so far."""

    lease_id: str
    units: tuple[UnitReport, ...]
    cpu_s: float = 0.0


class _State(Struct):
    unit: Unit
    returns: int = 0
    losses: int = 0
    condemned: dict[str, Failure] = field(default_factory=dict)
    suspects: set[str] = field(default_factory=set)  # to be played alone before the unit is leased again
    known: dict[str, tuple[int, int]] = field(default_factory=dict)  # crashes already acted upon
    lost_alone: dict[str, int] = field(default_factory=dict)  # ends of a worker while alone, outside its environment


class Dispatcher:
    """Leases the units that are not committed yet.

    Args:
        units: In the plan's order.
        unit_of: episode id -> unit id, asked only about suspects; None for an id of no pending unit.
        ids_in: A unit's episode ids, asked only where a unit keeps losing its workers.
    """

    def __init__(
        self,
        units: Iterable[Unit],
        unit_of: Callable[[str], str | None],
        ids_in: Callable[[Unit], Iterable[str]],
    ) -> None:
        self._ids_in = ids_in
        self._states = {u.id: _State(u) for u in units}
        self._pending = deque(self._states)
        self._alone: deque[tuple[str, str]] = deque()  # (episode id, unit id)
        self._leases: dict[str, Lease] = {}
        self.unit_of = unit_of
        self._n_leases = 0
        self.committed: dict[str, Tally] = {}
        self.given_up: dict[str, str] = {}
        self.n_returned = 0
        self.n_lost = 0
        self.refused: str | None = None

    @property
    def finished(self) -> bool:
        """Whether nothing is left to lease or to wait for."""
        return not (self._leases or (not self.refused and (self._pending or self._alone)))

    @property
    def waiting_alone(self) -> bool:
        """Whether a suspect waits for a worker that plays nothing else."""
        return bool(self._alone)

    @property
    def n_pending(self) -> int:
        """How many units nobody holds."""
        return len(self._pending)

    @property
    def unit_size(self) -> int:
        """How many episodes the unit that is leased next holds, trials not counted; 1 where none is pending."""
        return len(self._states[self._pending[0]].unit.items) if self._pending else 1

    def lease(self, worker: str, n_units: int, *, idle: bool) -> Lease | None:
        """Return what a worker is to play next; None where there is nothing for it now.

        Args:
            n_units: How many units to take at most; all of one entry, so that like is played with like.
            idle: The worker plays nothing at present, so it may take a suspect.
        """
        if self.refused:
            return None
        if self._alone and idle:
            episode_id, unit_id = self._alone.popleft()
            return self._hand_out(worker, [unit_id], alone=episode_id)
        taken: list[str] = []
        while self._pending and len(taken) < n_units:
            unit = self._states[self._pending[0]].unit
            if taken and unit.entry != self._states[taken[0]].unit.entry:
                break
            taken.append(self._pending.popleft())
        return self._hand_out(worker, taken) if taken else None

    def _hand_out(self, worker: str, unit_ids: list[str], alone: str | None = None) -> Lease:
        self._n_leases += 1
        states = [self._states[u] for u in unit_ids]
        condemned = {e: f for s in states for e, f in s.condemned.items()}
        lease = Lease(f"{worker}-{self._n_leases}", tuple(s.unit for s in states), alone, condemned)
        self._leases[lease.id] = lease
        return lease

    def done(self, report: LeaseReport) -> None:
        """Take in what became of a lease."""
        lease = self._leases.pop(report.lease_id)
        for unit in report.units:
            state = self._states[unit.unit_id]
            if unit.refused:
                self.refused = unit.why
            elif unit.tally is not None:
                self.committed[unit.unit_id] = unit.tally
            elif lease.alone is not None and unit.why is None:
                state.suspects.discard(lease.alone)
                self._requeue(state)
            else:
                self._returned(state, unit.why or "no reason was given", lease.alone)

    def _returned(self, state: _State, why: str, alone: str | None) -> None:
        state.returns += 1
        self.n_returned += 1
        if state.returns >= MAX_RETURNS:
            self.given_up[state.unit.id] = why
            self._alone = deque(item for item in self._alone if item[1] != state.unit.id)
        elif alone is not None:
            self._alone.append((alone, state.unit.id))
        else:
            self._requeue(state)

    def _requeue(self, state: _State) -> None:
        if not state.suspects and state.unit.id not in self.given_up:
            self._pending.append(state.unit.id)

    def stopped(self, lease_id: str) -> None:
        """Forget a lease that was asked to stop; its units stay unfinished."""
        self._leases.pop(lease_id, None)

    def lost(self, lease_ids: Iterable[str], suspects: Mapping[str, SuspectRecord]) -> None:
        """Take in that the process which held these leases is gone.

        Args:
            suspects: Episodes that were inside an environment when a process ended, this one or an earlier one.
        """
        held = [self._leases.pop(i) for i in lease_ids if i in self._leases]
        self.n_lost += 1
        for lease in held:
            for unit in lease.units:
                state = self._states[unit.id]
                if not self._suspect(state, suspects):
                    self._lost_without_suspect(state, lease.alone)
                self._requeue(state)

    def _lost_without_suspect(self, state: _State, alone: str | None) -> None:
        """Count an end of a worker that no environment caused; find out whose it was by playing one by one."""
        if alone is None:
            state.losses += 1
            if state.losses >= MAX_LOSSES:
                for episode_id in self._ids_in(state.unit):
                    self._play_alone(state, episode_id)
            return
        state.lost_alone[alone] = state.lost_alone.get(alone, 0) + 1
        if state.lost_alone[alone] >= ALONE_LIMIT:
            said = f"the process ended outside the environment, {ALONE_LIMIT} times while this episode was alone"
            state.condemned[alone] = Failure("agent", "Crash", said)
            state.suspects.discard(alone)
        else:
            self._play_alone(state, alone)

    def _play_alone(self, state: _State, episode_id: str) -> None:
        waiting = (episode_id, state.unit.id)
        if episode_id not in state.condemned:
            state.suspects.add(episode_id)
            if waiting not in self._alone:
                self._alone.append(waiting)

    def begin_with(self, suspects: Mapping[str, SuspectRecord]) -> None:
        """Take in the suspects that an earlier process left behind, before anything is leased."""
        for unit_id in list(self._pending):
            state = self._states[unit_id]
            if self._suspect(state, suspects):
                self._pending.remove(unit_id)
                self._requeue(state)

    def _suspect(self, state: _State, suspects: Mapping[str, SuspectRecord]) -> bool:
        """Queue this unit's suspects to be played alone, or condemn them; say whether there were new ones."""
        found = False
        for episode_id, record in suspects.items():
            crashes = (record.alone_crashes, record.seen)
            if self.unit_of(episode_id) != state.unit.id or state.known.get(episode_id) == crashes:
                continue
            state.known[episode_id] = crashes
            found = True
            if record.alone_crashes >= ALONE_LIMIT:
                state.condemned[episode_id] = _sentence(record)
                state.suspects.discard(episode_id)
            else:
                self._play_alone(state, episode_id)
        return found


def _sentence(record: SuspectRecord) -> Failure:
    hung = "timeout" in record.causes
    said = "did not return within its time" if hung else "ended the process"
    return Failure(
        "env", "Hang" if hung else "Crash", f"the environment {said}, {record.alone_crashes} times while alone"
    )
