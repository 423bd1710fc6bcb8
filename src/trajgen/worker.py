"""Many episodes at once in one process. Knows nothing of Ray, and of the driver only the leases it sends.

A worker plays the units of a lease, journals each finished episode and commits each finished unit. What it holds at
any moment can be lost: a unit's next holder reads the journal and plays the rest.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from typing import TYPE_CHECKING, TextIO

import msgspec
from msgspec import Struct

from trajgen import registry
from trajgen.dispatch import Lease, LeaseReport, UnitReport
from trajgen.errors import Fault, UserError, boundary
from trajgen.placement import Placement
from trajgen.rollout import condemned, rollout
from trajgen.rows import EpisodeSpec
from trajgen.store.commits import commit, known_record, load_writer
from trajgen.store.journal import Journal, discard
from trajgen.store.journal import read as read_journal
from trajgen.store.plan import ids_of, read_plan
from trajgen.store.slots import SlotFile
from trajgen.store.tally import Tally, tally
from trajgen.watch import Watch

if TYPE_CHECKING:
    from trajgen.entries import BackendChoice, Entry
    from trajgen.protocols import Backend
    from trajgen.store.journal import Journaled
    from trajgen.store.layout import RunDir
    from trajgen.store.plan import EpisodeKey, Unit
    from trajgen.types import Episode


# Python looks for cycles after 700 new objects; one episode makes that many, none of them in a cycle, and a look
# through all that is alive costs as much as some hundred turns
_BEAT_S = 0.5
_GC_AFTER = 10_000
# a unit whose journal is smaller is committed from memory; a larger one, full of images, is read back when it is done
_HELD_BYTES = 8 * 2**20


class Progress(Struct, frozen=True):
    """What a worker has finished but not yet committed, by entry index; for the live view."""

    tallies: dict[int, Tally]
    in_flight: int


class Worker:
    """One process's share of a job.

    Args:
        run: The run it writes to.
        name: Unique among all workers that ever wrote to this run.
        concurrency: Most episodes at once, across leases.
        git: The driver's checkout, for provenance.
        driven: The driver is another process, which sees this one end.
    """

    def __init__(self, run: RunDir, name: str, concurrency: int, git: str | None, *, driven: bool = False) -> None:
        registry.load()
        self._run, self.name, self._git = run, name, git
        self._concurrency, self._driven = concurrency, driven
        self._n_leases = 0
        self._next_beat: asyncio.TimerHandle | None = None
        self._plan = read_plan(run)
        self._backends: dict[str, Backend] = {}
        self._limit = asyncio.Semaphore(concurrency)
        self._tallies: dict[str, tuple[int, Tally]] = {}  # unit id -> (entry index, what is finished of it)
        self._in_flight = 0
        self._stopping = False
        self._log = _log_file(run, name)
        self._gc_before = gc.get_threshold()
        gc.set_threshold(_GC_AFTER, *self._gc_before[1:])
        load_writer()  # or the first commit would, and hold up the episodes beside it
        gc.freeze()  # what is imported stays; looking through it takes 30 ms
        self._open_slots(name, alone=False)

    def _open_slots(self, name: str, *, alone: bool) -> None:
        # one slot for the event loop's own thread and one for each thread an environment may live on
        self.slot_name = name
        n_slots = self._concurrency + 1
        self._slots = SlotFile.create(self._run, name, alone=alone, n_slots=n_slots, driven=self._driven)
        self._watch = Watch(self._slots, _say_stuck, self._log)
        self._watch.beat(playing=self._n_leases > 0)
        # beside a driver there is a worker a processor; alone it has them all
        n_processors = 1 if self._driven else len(os.sched_getaffinity(0))
        self._placement = Placement(self._watch, n_processors)

    def _close_slots(self) -> None:
        self._placement.close()
        self._watch.close()
        self._slots.close_clean()

    # ---- what a driver calls

    async def play(self, lease: Lease) -> LeaseReport:
        """Play a lease to its end and say what became of each unit. Only a fault of the engine itself is raised."""
        self._n_leases += 1
        if self._n_leases == 1:
            self._beat()
        try:
            return await self._play(lease)
        finally:
            self._n_leases -= 1
            self._beat()

    def _beat(self) -> None:
        """Show the watch that the event loop runs, for as long as there is anything to play."""
        self._watch.beat(playing=self._n_leases > 0)
        if self._next_beat is not None:
            self._next_beat.cancel()  # one chain of beats, however often leases come and go
        later = asyncio.get_running_loop().call_later
        self._next_beat = later(_BEAT_S, self._beat) if self._n_leases > 0 else None

    async def _play(self, lease: Lease) -> LeaseReport:
        if lease.alone is None:
            reports = await asyncio.gather(*(self._play_unit(unit, lease) for unit in lease.units))
        else:
            self._close_slots()
            self._open_slots(lease.id, alone=True)
            reports = [await self._play_unit(unit, lease) for unit in lease.units]
            self._close_slots()
            self._open_slots(f"{lease.id}-after", alone=False)
        for unit in lease.units:
            self._tallies.pop(unit.id, None)  # not before: the driver counts them from the report on
        return LeaseReport(lease.id, tuple(reports), time.process_time())

    def progress(self) -> Progress:
        """Return what is finished but not yet committed."""
        sums: dict[int, Tally] = {}
        for entry, part in self._tallies.values():
            sums[entry] = sums[entry] + part if entry in sums else part
        return Progress(sums, self._in_flight)

    def stop(self) -> None:
        """Begin no further episode; those that play now are dropped. Finished ones are safe in the journal."""
        self._stopping = True
        for task in asyncio.all_tasks():
            if task.get_name().startswith("episode "):
                task.cancel()

    async def close(self) -> None:
        """Release backends, threads and the slot file."""
        for backend in self._backends.values():
            await backend.close()
        self._close_slots()
        self._log.close()
        gc.unfreeze()
        gc.set_threshold(*self._gc_before)

    # ---- one unit

    async def _play_unit(self, unit: Unit, lease: Lease) -> UnitReport:
        entry = self._plan.entries[unit.entry]
        self._watch.allow(entry.budget.step_timeout_s)
        try:
            with boundary("store"):
                known = known_record(self._run, unit.id)
                if known is not None:
                    return UnitReport(unit.id, known.tally)  # its last holder was lost before it could say so
                done = read_journal(self._run, unit.id)
            why = await self._play_missing(unit, entry, lease, done)
            if why is not None or lease.alone is not None or self._stopping:
                return UnitReport(unit.id, why=why)
            return UnitReport(unit.id, await self._commit(unit, entry, done))
        except Fault as fault:
            return UnitReport(unit.id, why=str(fault))
        except UserError as error:
            return UnitReport(unit.id, why=str(error), refused=True)

    async def _play_missing(self, unit: Unit, entry: Entry, lease: Lease, done: Journaled) -> str | None:
        """Play what the journal does not hold; return why some of it could not be played, if so."""
        items: dict[tuple[int, int], list[EpisodeKey]] = {}
        for key in ids_of(unit, entry):
            items.setdefault((key.seed, key.sample), []).append(key)
        if lease.alone is not None:
            items = {item: keys for item, keys in items.items() if lease.alone in {k.episode_id for k in keys}}
        finished = done.episodes.keys() | set(done.unneeded)
        missing = [keys for keys in items.values() if not finished.issuperset(k.episode_id for k in keys)]
        self._tallies[unit.id] = (unit.entry, tally(list(done.episodes.values()), done.unneeded))
        if not missing:
            return None
        with boundary("store"), Journal(self._run, unit.id, lease.id) as journal:
            tasks = [
                asyncio.create_task(self._play_item(keys, entry, unit, lease, done, journal), name=f"episode {unit.id}")
                for keys in missing
            ]
            results = await asyncio.gather(*tasks, return_exceptions=True)
        return _why_unfinished(results)

    async def _play_item(
        self, keys: list[EpisodeKey], entry: Entry, unit: Unit, lease: Lease, done: Journaled, journal: Journal
    ) -> None:
        """Play the trials of one task in order, memory handed on; after a success the rest are unneeded."""
        async with self._limit:
            if self._stopping:
                raise asyncio.CancelledError
            self._in_flight += 1
            try:
                await self._play_trials(keys, entry, unit, lease, done, journal)
            finally:
                self._in_flight -= 1

    async def _play_trials(
        self, keys: list[EpisodeKey], entry: Entry, unit: Unit, lease: Lease, done: Journaled, journal: Journal
    ) -> None:
        memory: str | None = None
        solved = False
        for key in keys:
            if key.episode_id in done.unneeded:
                continue
            episode = done.episodes.get(key.episode_id)
            if episode is None and solved:
                journal.append_unneeded(key.episode_id)
                self._count(unit, tally([], [key.episode_id]))
                continue
            if episode is None:
                episode = await self._episode(self._spec(entry, key, memory), lease)
                n_replaced = journal.append(episode)
                self._count(unit, tally([episode], []))
                if not n_replaced and journal.n_bytes <= _HELD_BYTES:
                    done.episodes[key.episode_id] = episode
            solved = solved or episode.outcome.success is True
            memory = episode.reflection or memory

    def _count(self, unit: Unit, more: Tally) -> None:
        entry, so_far = self._tallies[unit.id]
        self._tallies[unit.id] = (entry, so_far + more)

    def _spec(self, entry: Entry, key: EpisodeKey, memory: str | None) -> EpisodeSpec:
        return EpisodeSpec(
            entry=entry,
            episode_id=key.episode_id,
            group_id=key.group_id,
            seed=key.seed,
            sample=key.sample,
            trial=key.trial,
            memory_in=memory,
            reflect=key.trial + 1 < entry.trials,
            git=self._git,
        )

    async def _episode(self, spec: EpisodeSpec, lease: Lease) -> Episode:
        failure = lease.condemned.get(spec.episode_id)
        if failure is not None:
            return condemned(spec, failure)
        backends = {role: self._backend(choice) for role, choice in spec.entry.agent.backends.items()}
        stage = self._placement.stage(spec.entry, spec.episode_id)
        try:
            return await rollout(spec, stage, backends)
        finally:
            stage.close()
            # an environment that never waits must not keep the others, and the driver's questions, from their turn
            await asyncio.sleep(0)

    def _backend(self, choice: BackendChoice) -> Backend:
        if choice.name not in self._backends:
            factory = registry.backend(choice.kind)
            with boundary("backend"):
                self._backends[choice.name] = factory(msgspec.convert(choice.config, factory.config))
        return self._backends[choice.name]

    async def _commit(self, unit: Unit, entry: Entry, done: Journaled) -> Tally:
        """Make the unit a shard, away from the event loop; what is not held is read back from its journals."""
        return await asyncio.to_thread(self._commit_now, unit, entry, done)

    def _commit_now(self, unit: Unit, entry: Entry, done: Journaled) -> Tally:
        with boundary("store"):
            known = known_record(self._run, unit.id)
            if known is not None:
                return known.tally  # another holder was first, and has discarded the journals
            ids = [key.episode_id for key in ids_of(unit, entry)]
            if not done.episodes.keys() >= set(ids):
                done = read_journal(self._run, unit.id)
            episodes = [done.episodes[i] for i in ids if i in done.episodes]
            unneeded = [i for i in ids if i in done.unneeded and i not in done.episodes]
            if len(episodes) + len(unneeded) != len(ids):
                lost = len(ids) - len(episodes) - len(unneeded)
                raise OSError(f"{lost} episodes of unit {unit.id} are not in its journals")
            record = commit(self._run, unit, episodes, unneeded)
            discard(self._run, unit.id)
            return record.tally


def _why_unfinished(results: list[BaseException | None]) -> str | None:
    """Return the first fault; a user's mistake is raised, and so is what nobody attributed."""
    why: str | None = None
    for result in results:
        if isinstance(result, Fault):
            why = why or str(result)
        elif isinstance(result, asyncio.CancelledError):
            why = why or "stopped"
        elif result is not None:
            raise result
    return why


def _log_file(run: RunDir, name: str) -> TextIO:
    return (run.logs / f"{name}.log").open("a", encoding="utf-8")


def _say_stuck(episode_id: str) -> None:
    who = f"the environment of episode {episode_id}" if episode_id else "an agent"
    sys.stderr.write(
        f"trajgen: {who} did not return within its time; this process (pid {os.getpid()}) ends. Nothing finished is "
        "lost; `trajgen resume` goes on, and plays suspects alone. Stack traces are in the run's logs/.\n"
    )
