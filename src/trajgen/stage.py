"""Where an environment's code runs: inline in the event loop, or on one thread for life.

Many simulators and every EGL context need one thread for life; a hop to a thread costs some 60 us, which an
environment whose steps cost 20 us should not pay. A stuck thread cannot be stopped, so nothing here waits with a
timeout: every entry is announced to a `Guard`, and whoever owns the guard ends the process. Knows no environment.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Guard(Protocol):
    """Is told what is inside an environment now, so that a crash or a hang can be attributed."""

    def enter(self, episode_id: str, timeout_s: float) -> None:
        """Note that this episode's environment is about to run, for at most `timeout_s` wall seconds."""
        ...

    def leave(self) -> None:
        """Note that it returned."""
        ...


class Stage(Protocol):
    """Runs an environment's code, one call at a time, always on the same thread."""

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Return what `function(*args)` returns, or raise what it raises."""
        ...

    def close(self) -> None:
        """Give the thread back."""
        ...


class InlineStage:
    """Runs in the event loop's own thread: for steps well under a millisecond."""

    def __init__(self, guard: Guard, episode_id: str, timeout_s: float) -> None:
        self._guard, self._episode_id, self._timeout_s = guard, episode_id, timeout_s

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """See `Stage`. Does not suspend."""
        self._guard.enter(self._episode_id, self._timeout_s)
        loop = asyncio.get_running_loop()
        # hidden, so that an environment which runs a loop of its own finds here what it finds on a thread
        asyncio._set_running_loop(None)  # noqa: SLF001 - in asyncio's `__all__`, for exactly this
        try:
            return function(*args)
        finally:
            asyncio._set_running_loop(loop)  # noqa: SLF001
            self._guard.leave()

    def close(self) -> None:
        """Nothing to give back."""


class EnvThread:
    """One thread that serves one environment after another."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="trajgen-env")

    async def run(self, episode_id: str, timeout_s: float, function: Callable[..., T], args: tuple[Any, ...]) -> T:
        """Run on the thread, announced to the guard."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._guarded, episode_id, timeout_s, function, args)

    def _guarded(self, episode_id: str, timeout_s: float, function: Callable[..., T], args: tuple[Any, ...]) -> T:
        # announced on the thread itself: what waits in the queue is not yet inside the environment
        self._guard.enter(episode_id, timeout_s)
        try:
            return function(*args)
        finally:
            self._guard.leave()

    def stop(self) -> None:
        """End the thread once it is idle."""
        self._executor.shutdown(wait=False)


class ThreadStage:
    """Runs on a thread borrowed from a pool for the life of one environment."""

    def __init__(
        self, thread: EnvThread, give_back: Callable[[EnvThread], None], episode_id: str, timeout_s: float
    ) -> None:
        self._thread, self._give_back = thread, give_back
        self._episode_id, self._timeout_s = episode_id, timeout_s

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """See `Stage`."""
        return await self._thread.run(self._episode_id, self._timeout_s, function, args)

    def close(self) -> None:
        """Give the thread back."""
        self._give_back(self._thread)
