"""Ends this process when an environment does not return, having said which episode it was.

A stuck thread cannot be stopped, so the process is. Every entry into an environment is announced to a `SlotGuard`,
which writes the episode into its mmap slot (so that a crash can be attributed) and sets a deadline. The event loop
shows that it runs by its beat, which an agent that never returns stops. A thread looks at the deadlines and the beat; where an extension holds the interpreter's lock and that thread cannot run, faulthandler's own timer,
which needs no lock, ends the process some seconds later.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

    from trajgen.store.slots import SlotFile

EXIT_STUCK = 75  # EX_TEMPFAIL: try again
_LOOK_S = 0.2
_GRACE_S = 3.0
_STOPPED_S = 2.0
_NEVER = float("inf")


class SlotGuard:
    """One slot: what one thread has inside an environment now."""

    def __init__(self, slots: SlotFile, index: int) -> None:
        self._slot = slots.slot(index)
        self.index = index
        self.episode_id = ""
        self.deadline = _NEVER

    def enter(self, episode_id: str, timeout_s: float) -> None:
        """See `trajgen.stage.Guard`."""
        self.episode_id = episode_id
        self.deadline = time.monotonic() + timeout_s
        self._slot.enter(episode_id)

    def leave(self) -> None:
        """See `trajgen.stage.Guard`."""
        self.deadline = _NEVER
        self._slot.leave()


class Watch:
    """Guards of one process, and the thread that looks at their deadlines.

    Args:
        slots: The slot file of this process; one guard a slot at most.
        on_stuck: Called with the episode's id before the process ends, to say so; "" where an agent blocks all.
        log: A real file for faulthandler's stack traces.
    """

    def __init__(self, slots: SlotFile, on_stuck: Callable[[str], None], log: TextIO) -> None:
        self._slots, self._on_stuck, self._log = slots, on_stuck, log
        self._guards: list[SlotGuard] = []
        self._end = threading.Event()
        self._longest_s = 0.0
        self._beat_at = _NEVER  # when the event loop last ran; never is not overdue
        self._thread = threading.Thread(target=self._look, name="trajgen-watch", daemon=True)
        self._thread.start()

    def guard(self) -> SlotGuard:
        """Return a guard for one more thread."""
        guard = SlotGuard(self._slots, len(self._guards))
        self._guards.append(guard)
        return guard

    def allow(self, timeout_s: float) -> None:
        """Tell it the longest time an environment may take, so that it knows when the lock itself is held."""
        if timeout_s > self._longest_s:
            self._longest_s = timeout_s
            self._arm()  # at once: the very first call may hold the lock

    def beat(self, *, playing: bool) -> None:
        """Note that the event loop runs; `playing` says whether another beat is to be expected."""
        self._beat_at = time.monotonic() if playing else _NEVER

    def close(self) -> None:
        """Stop looking."""
        self._end.set()
        self._thread.join()
        faulthandler.cancel_dump_traceback_later()

    def _arm(self) -> None:
        faulthandler.dump_traceback_later(self._longest_s + _GRACE_S, exit=True, file=self._log)

    def _look(self) -> None:
        armed_at, looked_at = 0.0, time.monotonic()
        while not self._end.wait(_LOOK_S):
            now = time.monotonic()
            if now - looked_at > _STOPPED_S:
                self._forgive(now - looked_at)  # the whole process was stopped, e.g. by Ctrl-Z
            looked_at = now
            if self._longest_s and now - armed_at > 1.0:
                armed_at = now
                self._arm()
            for guard in self._guards:
                if now > guard.deadline:
                    self._stuck(guard)
            if now > self._beat_at + self._longest_s + _GRACE_S:
                self._blocked()

    def _forgive(self, stopped_s: float) -> None:
        self._beat_at += stopped_s
        for guard in self._guards:
            guard.deadline += stopped_s

    def _blocked(self) -> None:
        """An agent holds the event loop. Whose it is, nobody can tell from here."""
        self._on_stuck("")
        self._end_process()

    def _stuck(self, guard: SlotGuard) -> None:
        self._slots.blame(guard.index, b"timeout")
        self._on_stuck(guard.episode_id)
        self._end_process()

    def _end_process(self) -> None:
        faulthandler.dump_traceback(file=self._log, all_threads=True)
        sys.stderr.flush()
        os._exit(EXIT_STUCK)
