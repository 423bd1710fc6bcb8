"""An agent that does what no agent should, to show that only its own episode suffers."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trajgen.protocols import Aids, Backend
    from trajgen.types import Need, Turn


class UnrulyConfig(Struct, frozen=True):
    """Keys: what it does on its first turn."""

    does: Literal["kill", "block", "sysexit", "nothing", "wait"] = "nothing"


class UnrulyAgent:
    """Ends its process, holds the event loop, calls `sys.exit`, returns no turn, or waits for ever."""

    version: ClassVar[str] = "1"
    needs: ClassVar[frozenset[Need]] = frozenset()
    config: ClassVar[type[Struct]] = UnrulyConfig
    backends: ClassVar[tuple[str, ...]] = ()
    prompts: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: UnrulyConfig, backends: Mapping[str, Backend], aids: Aids) -> None:
        self._does = config.does

    def reset(self, *given: Any, **more: Any) -> None:
        """Behave so far."""

    async def act(self) -> Turn:
        """Misbehave."""
        if self._does == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self._does == "block":
            time.sleep(3_600)  # noqa: ASYNC251 - holds the event loop, on purpose
        elif self._does == "sysexit":
            sys.exit(0)
        elif self._does == "wait":
            import asyncio

            await asyncio.sleep(3_600)
        return None  # type: ignore[return-value] # no turn, on purpose

    def observe(self, *given: Any, **more: Any) -> None:
        """Behave again."""
