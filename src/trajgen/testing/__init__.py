"""For authors of environments, agents and backends: fakes that check what they are given, and contracts to subclass.

    from trajgen.testing import ScriptedBackend, serve
    from trajgen.testing.contract import EnvContract     # needs pytest

Names are loaded when they are first used, since `serve` needs aiohttp and `CounterEnv` gymnasium.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trajgen.backends.scripted import ScriptedBackend
    from trajgen.testing.fakes import CounterEnv, ScriptedAgent
    from trajgen.testing.faults import FaultyServer
    from trajgen.testing.server import serve

__all__ = ["CounterEnv", "FaultyServer", "ScriptedAgent", "ScriptedBackend", "serve"]

_HOME = {
    "CounterEnv": "trajgen.testing.fakes",
    "FaultyServer": "trajgen.testing.faults",
    "ScriptedAgent": "trajgen.testing.fakes",
    "ScriptedBackend": "trajgen.backends.scripted",
    "serve": "trajgen.testing.server",
}

if not TYPE_CHECKING:  # a typed __getattr__ would hide typos from type checkers

    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_HOME[name]), name)
