"""`trajgen/Toolbox-v0`: a question, tools that together answer it, and `answer`, which ends the episode.

Subclasses `trajgen.toolenv.ToolEnv`. The task is frozen and its database is read-only, so the state that changes is
one small record (`Progress`), replaced as a whole by every call.
"""

from __future__ import annotations

import copy
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct, structs

from trajgen.toolenv import Acted, Impossible, ToolEnv
from trajgen_envs.toolbox import extras, oracle, tasks, tools
from trajgen_envs.toolbox.answers import is_right
from trajgen_envs.toolbox.database import Database
from trajgen_envs.toolbox.tasks import Task, ToolboxOptions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trajgen.types import Channel, Json, Line, Tool, ToolCall

MAX_FAILURES_IN_A_ROW = 2
MAX_CHARS = 4_000


class Progress(Struct, frozen=True):
    """All that changes while an episode runs.

    Attributes:
        answered: For each part, whether a call has shown its value.
        calls: How many calls could be executed, those that failed for the moment included.
        in_a_row: How many of the last ones failed.
        given: The final answer; None while there is none.
    """

    answered: tuple[bool, ...]
    calls: int = 0
    in_a_row: int = 0
    given: str | None = None


class _Saved(NamedTuple):
    task: Task
    progress: Progress
    options: ToolboxOptions
    rng: Any
    problem: str | None
    worked: str | None
    oracle_steps: int | None
    tools: tuple[Tool, ...]
    action_space: Any


class ToolboxEnv(ToolEnv):
    """Multi-step questions; see README.md of this folder for tools, options and scores."""

    options_type = ToolboxOptions
    tools = tools.ALL_TOOLS

    def __init__(self) -> None:
        super().__init__()
        self._task: Task | None = None
        self._options = ToolboxOptions()
        self._progress = Progress(())
        self._db: Database | None = None

    # ---- what ToolEnv asks for

    def begin(self, options: ToolboxOptions) -> str:
        """Draw a question and say it."""
        self._options = options
        self._task = tasks.compose(self.np_random, options)
        self._progress = Progress((False,) * len(self._task.nodes))
        self.tools = _offered(self._task.seed, options)
        self.oracle_steps = _least_calls(self._task.seed, len(self._task.nodes), options.failures)
        return self._goal()

    def _goal(self) -> str:
        task = self._begun()
        has_database = any(t.name == "sql" for t in self.tools)
        return f"{task.goal}\n{tasks.database_line(task.plan)}" if has_database else task.goal

    def act(self, call: ToolCall) -> Acted:
        """Execute one call that fits.

        Raises: Impossible: the call cannot be done (nothing changed), or it failed for the moment (the count of calls
            went up, so that making it again can work).
        """
        task, progress = self._begun(), self._progress
        if progress.given is not None:
            raise Impossible("the episode is over: the answer was given")
        if call.tool == "answer":
            return self._answer(str(call.arguments["value"]))
        result = tools.run(call, self._database)
        n = progress.calls
        if progress.in_a_row < MAX_FAILURES_IN_A_ROW and _fails(task.seed, n, self._options.failures):
            self._progress = structs.replace(progress, calls=n + 1, in_a_row=progress.in_a_row + 1)
            raise Impossible(f"{call.tool}: the service is busy for a moment; make the same call again")
        answered = tuple(
            known or (node.call.tool == call.tool and node.proof in result.found)
            for node, known in zip(task.nodes, progress.answered, strict=True)
        )
        self._progress = Progress(answered, n + 1)
        return Acted(result.text[:MAX_CHARS])

    def _answer(self, given: str) -> Acted:
        # what was said matters no longer once it is judged, and an agent may have sent what no encoding can carry
        self._progress = structs.replace(self._progress, given=given.encode("utf-8", "replace").decode())
        right = self.solved()
        return Acted("The answer is right." if right else "The answer is wrong.", float(right), terminated=True)

    def solved(self) -> bool:
        """Say whether the right answer was given."""
        given = self._progress.given
        return given is not None and is_right(given, self._begun().answer())

    def state(self) -> Json:
        """Return what the question asks, its database as what makes it, and what has changed.

        How often failures come is left out: it is no part of the question, and its effect is in the counters.
        """
        return self._begun().content | structs.asdict(self._progress)

    # ---- abilities

    def describe(self, channel: Channel) -> str | Sequence[Line] | None:
        """Return the sentence of a channel: `success` and `error` of the last call, `scene` of the question."""
        if channel != "scene" or self._task is None:
            return super().describe(channel)
        return _scene(self._task.titles, self._progress.answered)

    def oracle(self) -> Iterator[ToolCall]:
        """Yield the calls that are still needed."""
        return oracle.calls(self._begun(), lambda: self._progress.answered, lambda: self._progress.given is not None)

    def snapshot(self) -> object:
        """Return the state; only the random generator needs a copy, all else is frozen."""
        return _Saved(
            self._begun(),
            self._progress,
            self._options,
            copy.deepcopy(self.np_random),
            self._problem,
            self._worked,
            self.oracle_steps,
            tuple(self.tools),
            self.action_space,
        )

    def restore(self, saved: Any) -> None:  # opaque
        """Return to a state that `snapshot` gave."""
        self._task, self._progress, self._options = saved.task, saved.progress, saved.options
        self.np_random = copy.deepcopy(saved.rng)
        self._problem, self._worked, self.oracle_steps = saved.problem, saved.worked, saved.oracle_steps
        self.tools, self.action_space = saved.tools, saved.action_space

    def close(self) -> None:
        """Free the database."""
        if self._db is not None:
            self._db.close()
            self._db = None

    # ---- inside

    def _begun(self) -> Task:
        if self._task is None:
            raise RuntimeError("reset the environment before anything else")
        return self._task

    def _database(self) -> Database:
        """Open the task's database at the first call that needs it: most episodes never do."""
        plan = self._begun().plan
        if self._db is None or self._db.plan != plan:
            self.close()
            self._db = Database(plan)
        return self._db


def _unit(*parts: Json) -> float:
    """Return a number in [0, 1) that is a function of its arguments alone."""
    digest = blake2b(":".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _fails(seed: int, n: int, rate: float) -> bool:
    return rate > 0 and _unit("fails", seed, n) < rate


def _least_calls(seed: int, depth: int, rate: float) -> int:
    """Count the calls of a perfect player: one a part, those that fail on the way, and `answer`."""
    calls = done = in_a_row = 0
    while done < depth:
        failed = in_a_row < MAX_FAILURES_IN_A_ROW and _fails(seed, calls, rate)
        calls, done, in_a_row = calls + 1, done + (not failed), in_a_row + 1 if failed else 0
    return calls + 1


def _offered(seed: int, options: ToolboxOptions) -> tuple[Tool, ...]:
    """Return the tools of a question; distractors stand anywhere among the others."""
    needed = [t for family in tools.FAMILIES if family in options.families for t in tools.TOOLS[family]]
    if not options.distractors:
        return (*needed, tools.ANSWER)
    drawn = sorted((e.tool for e in extras.EXTRAS), key=lambda t: _unit("extra", seed, t.name))[: options.distractors]
    return tuple(sorted([*needed, *drawn, tools.ANSWER], key=lambda t: _unit("order", seed, t.name)))


def _scene(titles: tuple[str, ...], answered: tuple[bool, ...]) -> str:
    known = [title for title, done in zip(titles, answered, strict=True) if done]
    count = f"{len(known)} of {len(titles)} parts of the question are known"
    return f"{count}: {'; '.join(known)}." if known else f"{count}."
