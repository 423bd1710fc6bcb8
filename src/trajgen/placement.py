"""Decides which environments run inline and which on a thread of their own, from what their calls cost.

The first episodes of a kind run on threads; a kind whose steps are cheap runs inline from then on. An environment
never moves: the decision is made before it is made. Where it runs changes nothing about what it does.

Of the calls that keep a processor busy only as many run at once as the worker has processors. Sixty-four simulators
that all want to step would each take longer, and the event loop would wait behind them all. The episode that began
first goes first, so that episodes end one by one and not all at last. Calls that wait for something else (a server, a
child process) are not held back.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from typing import TYPE_CHECKING, Any, TypeVar

from trajgen.ids import digest
from trajgen.stage import EnvThread, InlineStage, ThreadStage

if TYPE_CHECKING:
    from collections.abc import Callable

    from trajgen.entries import Entry
    from trajgen.stage import Stage
    from trajgen.watch import Watch

T = TypeVar("T")
_N_OBSERVED = 3  # the first episode of a kind pays for imports and caches
_MEAN_S = 1e-3
_MAX_S = 20e-3
_BUSY = 0.1  # share of its wall time that a call computes; not more, since on a full machine all wait for a processor


class _Cost:
    """What the calls of one kind of environment cost: the best of the first few episodes."""

    def __init__(self) -> None:
        self.n = 0
        self.mean_s = float("inf")
        self.max_s = float("inf")
        self.wall_s = 0.0
        self.cpu_s = 0.0

    @property
    def cheap(self) -> bool:
        return self.n >= _N_OBSERVED and self.mean_s < _MEAN_S and self.max_s < _MAX_S

    @property
    def busy(self) -> bool:
        """Whether its calls compute; taken for granted until one has been seen to wait."""
        return self.cpu_s >= _BUSY * self.wall_s

    def learn(self, spent_s: list[float]) -> None:
        if spent_s:
            self.n += 1
            self.mean_s = min(self.mean_s, sum(spent_s) / len(spent_s))
            self.max_s = min(self.max_s, max(spent_s))


class _Processors:
    """So many may be inside at once; of those that wait, whoever took a place first."""

    def __init__(self, n: int) -> None:
        self._free = n
        self._places = itertools.count()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []

    def next_place(self) -> int:
        return next(self._places)

    async def enter(self, place: int) -> None:
        """Wait until one is free; who enters must leave."""
        if self._free:
            self._free -= 1
            return
        mine = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (place, id(mine), mine))
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():  # let in and called off at once: the next may go
                self.leave()
            raise

    def leave(self) -> None:
        while self._waiting:
            _, _, first = heapq.heappop(self._waiting)
            if not first.done():
                first.set_result(None)
                return
        self._free += 1


class _Measured:
    """A stage that notes what each call cost, and lets only so many busy ones run at once."""

    def __init__(self, inner: Stage, cost: _Cost, processors: _Processors) -> None:
        self._inner, self._cost, self._processors = inner, cost, processors
        self._place = processors.next_place()
        self._spent_s: list[float] = []

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """See `trajgen.stage.Stage`; a busy call waits for a processor first."""
        if not self._cost.busy:
            return await self._inner.run(self._timed, function, args)
        await self._processors.enter(self._place)
        try:
            return await self._inner.run(self._timed, function, args)
        finally:
            self._processors.leave()

    def _timed(self, function: Callable[..., T], args: tuple[Any, ...]) -> T:
        started, cpu = time.perf_counter(), time.thread_time()
        try:
            return function(*args)
        finally:
            spent_s = time.perf_counter() - started
            self._spent_s.append(spent_s)
            self._cost.wall_s += spent_s
            self._cost.cpu_s += time.thread_time() - cpu

    def close(self) -> None:
        self._cost.learn(self._spent_s)
        self._inner.close()


class Placement:
    """Gives every episode's environment its stage.

    Args:
        n_processors: How many calls that keep one busy may run at once.
    """

    def __init__(self, watch: Watch, n_processors: int) -> None:
        self._watch = watch
        self._processors = _Processors(n_processors)
        self._costs: dict[str, _Cost] = {}
        self._inline = watch.guard()
        self._idle: list[EnvThread] = []
        self._threads: list[EnvThread] = []

    def stage(self, entry: Entry, episode_id: str) -> Stage:
        """Return where this episode's environment is to run."""
        kind = digest(entry.env_id, list(entry.wrappers), entry.make_options, entry.options)
        cost = self._costs.setdefault(kind, _Cost())
        timeout_s = entry.budget.step_timeout_s
        if cost.cheap:
            return InlineStage(self._inline, episode_id, timeout_s)
        return _Measured(ThreadStage(self._thread(), self._idle.append, episode_id, timeout_s), cost, self._processors)

    def _thread(self) -> EnvThread:
        if self._idle:
            return self._idle.pop()
        thread = EnvThread(self._watch.guard())
        self._threads.append(thread)
        return thread

    def close(self) -> None:
        """End the threads."""
        for thread in self._threads:
            thread.stop()
