"""Agent trajectories from simulators, with Inner Monologue feedback, that replay and that trainers accept.

The names below are loaded when they are first used, so that `import trajgen` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trajgen.spaces import ObservationSpace as ObservationSpace
    from trajgen.spaces import ToolSpace as ToolSpace
    from trajgen.spaces import tool as tool
    from trajgen.toolenv import Acted as Acted
    from trajgen.toolenv import Impossible as Impossible
    from trajgen.toolenv import ToolEnv as ToolEnv
    from trajgen.types import Episode as Episode
    from trajgen.types import Observation as Observation
    from trajgen.types import Tool as Tool
    from trajgen.types import ToolCall as ToolCall
    from trajgen.types import Turn as Turn
    from trajgen.wrappers.making import make as make

_HOME = {
    "Acted": "trajgen.toolenv",
    "Episode": "trajgen.types",
    "Impossible": "trajgen.toolenv",
    "Observation": "trajgen.types",
    "ObservationSpace": "trajgen.spaces",
    "Tool": "trajgen.types",
    "ToolCall": "trajgen.types",
    "ToolEnv": "trajgen.toolenv",
    "ToolSpace": "trajgen.spaces",
    "Turn": "trajgen.types",
    "make": "trajgen.wrappers.making",
    "tool": "trajgen.spaces",
}
__all__ = list(_HOME)

if not TYPE_CHECKING:  # a typed `__getattr__` would hide misspelt names from type checkers

    def __getattr__(name: str) -> Any:
        if name in _HOME:
            from importlib import import_module

            return getattr(import_module(_HOME[name]), name)
        if name == "__version__":
            from importlib.metadata import version

            return version("trajgen")
        raise AttributeError(f"module 'trajgen' has no attribute {name!r}")
