"""The public contract, over every environment and every agent that is registered: bundled, outside, or yours."""

from __future__ import annotations

from typing import Any

from trajgen import registry
from trajgen.backends.scripted import ScriptedBackend
from trajgen.testing.contract import AgentContract, EnvContract
from trajgen.testing.fakes import COUNTER_ID

TOOLBOX = "trajgen/Toolbox-v0"
FOREIGN = {
    "CartPole-v1": {"has_splits": True},
    "InvertedPendulum-v5": {"has_splits": True},
    "Reacher-v5": {"has_splits": True},
    "FrozenLake-v1": {"has_splits": False},
    "MiniGrid-Empty-5x5-v0": {"has_splits": False},
}


class _ScriptedModel(AgentContract):
    def backends(self) -> dict[str, Any]:
        return {"backend": ScriptedBackend(["add(n=1)", "I wait. >>", "nonsense(x=2)", "submit()"], "repeat")}


def _named(name: str) -> str:
    return "Test_" + "".join(c if c.isalnum() else "_" for c in name)


for _env_id in registry.plug_ins("envs"):
    globals()[_named(_env_id)] = type(_named(_env_id), (EnvContract,), {"env_id": _env_id})

for _depth in (1, 4, 8):
    _name = _named(f"{TOOLBOX}_depth_{_depth}")
    globals()[_name] = type(_name, (EnvContract,), {"env_id": TOOLBOX, "options": {"depth": _depth}})

for _env_id, _knobs in FOREIGN.items():
    globals()[_named(_env_id)] = type(
        _named(_env_id), (EnvContract,), {"env_id": _env_id, "has_oracle": False, "seeds": range(5), **_knobs}
    )

# unruly breaks the contract on purpose; human waits for a keyboard, and its own test types
for _agent in [name for name in registry.plug_ins("agents") if name not in {"unruly", "human"}]:
    _needs_model = bool(registry.agent(_agent).backends)
    _plays = {"planner": [TOOLBOX, "counting/Guess-v0"], "halving": ["counting/Guess-v0"]}
    _able = [COUNTER_ID] if registry.agent(_agent).needs & {"affordance", "legal"} else [COUNTER_ID, TOOLBOX]
    _worlds = _plays.get(_agent, _able)
    for _env_id in _worlds:
        _name = _named(f"agent_{_agent}_in_{_env_id}")
        _kind = _ScriptedModel if _needs_model else AgentContract
        globals()[_name] = type(_name, (_kind,), {"agent": _agent, "env_id": _env_id})

del _name, _kind
