"""What can go wrong, and whose fault it is. Every other room imports this one; it imports none.

    TrajgenError
    |-- UserError               the person can mend it: printed as one message, never as a traceback
    |   |-- ConfigError         a job file, an option or an argument: path, expected, found
    |   |-- UnknownName         an environment, agent, backend, exporter, run or episode nobody knows
    |   |-- MissingExtra        a package that is not installed; says what to `pip install`
    |   |-- RunConflict         the run on disk belongs to another job or another version
    |   `-- DamagedRun          a checksum does not match; names the file
    `-- Fault                   something failed while episodes ran; attributed once, by `boundary()`
        |-- EnvFault            the simulator raised            -> the episode is `failed`
        |-- AgentFault          the agent's own code raised     -> the episode is `failed`
        |-- BackendFault        the provider, after its retries -> back to the queue
        |-- SandboxFault        the sandbox                     -> back to the queue
        |-- StoreFault          the disk                        -> back to the queue
        `-- WorkerFault         the engine itself               -> back to the queue

A model's fault is no exception at all: it is feedback. An infrastructure fault is never a sample with reward 0.
"""

from __future__ import annotations

import difflib
import threading
from typing import TYPE_CHECKING, ClassVar, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

BoundaryName = Literal["env", "agent", "backend", "sandbox", "store", "worker"]


class TrajgenError(Exception):
    """Root of everything trajgen raises on purpose."""


class UserError(TrajgenError):
    """Something the person who typed the command can mend; the message says how."""


class ConfigError(UserError):
    """A value in a job file, an option or an argument is wrong; the message starts with its path."""


class UnknownName(UserError):
    """A name nobody registered; the message offers the nearest one."""


class MissingExtra(UserError):
    """A package is not installed; the message says what to `pip install`."""


class RunConflict(UserError):
    """The run on disk was made by another job, or by another version of trajgen."""


class DamagedRun(UserError):
    """A file of the run does not match its checksum; the message names the file."""


class Fault(TrajgenError):
    """A failure while episodes ran, attributed to one boundary.

    Attributes:
        boundary: Where it happened.
        type: Class name of the original exception.
        message: What the original exception said.
    """

    boundary: ClassVar[BoundaryName] = "worker"

    def __init__(self, type_: str, message: str) -> None:
        super().__init__(type_, message)  # as given, so that a fault survives the way through a pickle
        self.type = type_
        self.message = message

    def __str__(self) -> str:
        return f"{self.boundary}: {self.type}: {self.message}"


class EnvFault(Fault):
    """The simulator raised."""

    boundary = "env"


class AgentFault(Fault):
    """The agent's own code raised."""

    boundary = "agent"


class BackendFault(Fault):
    """The model's provider failed, after the retries it was given."""

    boundary = "backend"


class SandboxFault(Fault):
    """The sandbox failed (not the code inside it)."""

    boundary = "sandbox"


class StoreFault(Fault):
    """The disk or object store failed."""

    boundary = "store"


class WorkerFault(Fault):
    """The engine itself failed."""

    boundary = "worker"


FAULTS: dict[BoundaryName, type[Fault]] = {
    "env": EnvFault,
    "agent": AgentFault,
    "backend": BackendFault,
    "sandbox": SandboxFault,
    "store": StoreFault,
    "worker": WorkerFault,
}


class boundary:  # noqa: N801 - used like a keyword: `with boundary("env"):`
    """Attribute whatever is raised inside to one boundary; the innermost one wins.

    The only place in trajgen that catches everything. `sys.exit()` and stranger exits of a plug-in are its failures
    too, and must not end a worker. What passes: our own errors, a real Ctrl-C, and cancellation - but not from inside
    an environment, whose code is never awaited. A class, not a generator: it is entered on every step.
    """

    __slots__ = ("_fault",)

    def __init__(self, name: BoundaryName) -> None:
        self._fault = FAULTS[name]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, TrajgenError | GeneratorExit):
            return
        # by name: asyncio takes 40 ms to import, which `trajgen --help` need not pay
        if type(error).__name__ == "CancelledError" and self._fault is not EnvFault:
            return
        if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
            return
        raise self._fault(type(error).__name__, _said(error)) from error


def _said(error: BaseException) -> str:
    try:
        return str(error)[:2_000]
    except Exception as worse:  # noqa: BLE001 - a plug-in's exception may fail even at this
        return f"(its message cannot be read: {type(worse).__name__})"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?`, or nothing where no known name is near."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {found[0]!r}?" if found else ""
