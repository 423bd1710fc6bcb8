"""The expert: from the present state, the calls that are still needed, then the answer. It reads the task's own values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trajgen.types import ToolCall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from trajgen_envs.toolbox.tasks import Task


def calls(task: Task, answered: Callable[[], Sequence[bool]], done: Callable[[], bool]) -> Iterator[ToolCall]:
    """Yield the next call until the episode is over.

    The state is read anew before each call, so a call that failed for the moment is made again, and parts that a
    detour answered are left out.
    """
    while not done():
        missing = [k for k, known in enumerate(answered()) if not known]
        if missing:
            yield task.nodes[missing[0]].call
        else:
            yield ToolCall("answer", {"value": task.answer().text})
