"""What `wrappers.textual` cannot see from the spaces of gymnasium's own environments.

Owns the words of toy text observations and the exact state of MuJoCo tasks. Imports neither mujoco nor pygame: mujoco is
there whenever an environment made of it comes by.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from trajgen.protocols import ForeignAdapter
from trajgen.wrappers.state import copied, put_back
from trajgen_envs.gymnasium_tasks.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_OURS = "gymnasium.envs."
_MUJOCO = "gymnasium.envs.mujoco."
_SHARED = ("model", "data", "mujoco_renderer", "P")  # the model and the transition table never change
_TAXI_PLACES = ("R at row 0, column 0", "G at row 0, column 4", "Y at row 4, column 0", "B at row 4, column 3")
_ABOARD = 4  # the passenger's place when it is in the taxi
_FREE_JOINT = ("x (m)", "y (m)", "z (m)", "orientation w", "orientation x", "orientation y", "orientation z")
_FREE_JOINT_RATES = (
    *(f"{axis} velocity (m/s)" for axis in "xyz"),
    *(f"angular velocity {axis} (rad/s)" for axis in "xyz"),
)


class GymnasiumAdapter(ForeignAdapter):
    """Classic control, toy text and MuJoCo. Snapshots are exact for all of them, and given for nothing else."""

    def action_names(self, env: Any) -> Sequence[str] | None:
        """Name actions; those of MuJoCo tasks after the model's actuators, or the joints they drive."""
        if _is_mujoco(env):
            return list(_actuators(env.model))
        return (TASKS[_name(env)].actions or None) if _known(env) else None

    def observation_names(self, env: Any) -> Sequence[str] | None:
        """Name the observed numbers; those of MuJoCo tasks after the model's joints."""
        if not _known(env):
            return None
        named = TASKS[_name(env)].observes
        if named and env.observation_space.shape == (len(named),):
            return named
        return list(_observed(env)) if _is_mujoco(env) and not named else None

    def goal(self, env: Any) -> str | None:
        """State the task; for FrozenLake and Taxi also the map, without which nobody could play by words."""
        if not _known(env):
            return None
        more = _GOALS.get(_name(env))
        return TASKS[_name(env)].goal + ("" if more is None else f" {more(env)}")

    def observation_text(self, env: Any, observation: Any) -> str | None:
        """Tell a toy text observation, which is one number or a hand of cards."""
        tell = _TELLERS.get(_name(env)) if _known(env) else None
        return None if tell is None else tell(env, observation)

    def solved(self, env: Any, total_reward: float, *, terminated: bool) -> bool | None:
        """Cliff walking ends at the goal only; a hand of blackjack is solved when it is won."""
        if not _known(env):
            return None
        return {"CliffWalkingEnv": terminated, "BlackjackEnv": terminated and total_reward > 0}.get(_name(env))

    def state(self, env: Any) -> bytes | None:
        """Return MuJoCo's whole integration state; for the others the generic walk over attributes is exact."""
        if not _is_mujoco(env):
            return None
        mujoco = _mujoco()
        kind = mujoco.mjtState.mjSTATE_INTEGRATION
        state = np.empty(mujoco.mj_stateSize(env.model, kind))
        mujoco.mj_getState(env.model, env.data, state, kind)
        goal = getattr(env, "goal", None)  # ReacherEnv and PusherEnv draw one
        return state.tobytes() + (b"" if goal is None else np.asarray(goal, dtype=float).tobytes())

    def snapshot(self, env: Any) -> object | None:
        """Copy the attributes, and for MuJoCo all of its data.

        The integration state alone is not enough: rewards read positions that are derived before the last substep.
        """
        if not _known(env):
            return None
        if not _is_mujoco(env):
            return copied(env, *_SHARED), None
        mujoco = _mujoco()
        data = mujoco.MjData(env.model)
        mujoco.mj_copyData(data, env.model, env.data)
        return copied(env, *_SHARED), data

    def restore(self, env: Any, saved: Any) -> None:  # what `snapshot` returned
        """Put attributes and data back."""
        attributes, data = saved
        put_back(env, attributes, *_SHARED)
        if data is not None:
            _mujoco().mj_copyData(env.data, env.model, data)


def _name(env: Any) -> str:
    return type(env).__name__


def _known(env: Any) -> bool:
    return type(env).__module__.startswith(_OURS) and _name(env) in TASKS


def _is_mujoco(env: Any) -> bool:
    return type(env).__module__.startswith(_MUJOCO)


# ------------------------------------------------------------------------------------- toy text


def _frozen_lake_map(env: Any) -> str:
    rows = "\n".join("".join(tile.decode() for tile in row) for row in env.desc)
    slips = env.P[0][0]
    ice = (
        "The ice is slippery: a step may go to either side of where it was meant to go."
        if len(slips) > 1
        else "The ice is not slippery: a step goes where it is meant to go."
    )
    return f"{ice} The map, rows from 0 at the top and columns from 0 at the left:\n{rows}\n"


def _taxi_map(env: Any) -> str:
    rows = "\n".join("".join(mark.decode() for mark in row) for row in env.desc)
    return (
        f"The places are {', '.join(_TAXI_PLACES)}. The map (a | between two tiles is a wall, a : is open; rows from 0 at "
        f"the top, columns from 0 at the left):\n{rows}\n"
    )


def _slippery(env: Any) -> str:
    return (
        "The ground is slippery: a step may go to either side of where it was meant to go." if env.is_slippery else ""
    )


def _tell_frozen_lake(env: Any, observation: Any) -> str:
    row, column = divmod(int(observation), int(env.ncol))
    tile = {"S": "the start", "F": "frozen", "H": "a hole", "G": "the goal"}[env.desc[row, column].decode()]
    return f"You are at row {row}, column {column}; the tile is {tile}."


def _tell_cliff(env: Any, observation: Any) -> str:
    row, column = divmod(int(observation), int(env.shape[1]))
    return f"You are at row {row}, column {column}."


def _tell_taxi(env: Any, observation: Any) -> str:
    row, column, passenger, destination = env.decode(int(observation))
    where = "in the taxi" if passenger == _ABOARD else f"waiting at {_TAXI_PLACES[passenger]}"
    return (
        f"The taxi is at row {row}, column {column}. The passenger is {where}. "
        f"The destination is {_TAXI_PLACES[destination]}."
    )


def _tell_blackjack(_: Any, observation: Any) -> str:
    total, shown, usable_ace = (int(x) for x in observation)
    card = "an ace" if shown == 1 else f"a card that counts {shown}"
    return f"Your cards add up to {total}, {'with a' if usable_ace else 'with no'} usable ace. The dealer shows {card}."


_GOALS: dict[str, Callable[[Any], str]] = {
    "FrozenLakeEnv": _frozen_lake_map,
    "TaxiEnv": _taxi_map,
    "CliffWalkingEnv": _slippery,
}
_TELLERS: dict[str, Callable[[Any, Any], str]] = {
    "FrozenLakeEnv": _tell_frozen_lake,
    "CliffWalkingEnv": _tell_cliff,
    "TaxiEnv": _tell_taxi,
    "BlackjackEnv": _tell_blackjack,
}


# ------------------------------------------------------------------------------------- MuJoCo


def _mujoco() -> Any:
    """Return the module mujoco, which has no types; it is installed, or there would be no such environment."""
    return importlib.import_module("mujoco")


def _actuators(model: Any) -> Iterator[str]:
    """Yield the name of each actuator, or of the joint it drives."""
    for i in range(model.nu):
        actuator = model.actuator(i)
        yield actuator.name or model.joint(int(actuator.trnid[0])).name or f"actuator_{i}"


def _observed(env: Any) -> Iterator[str]:
    """Yield the names of an observation that is joint positions, velocities and blocks of numbers after them."""
    positions, rates = _joint_numbers(env.model)
    structure = getattr(env, "observation_structure", {})
    yield from positions[int(structure.get("skipped_qpos", 0)) :]
    yield from rates
    for block, size in structure.items():
        if block not in {"skipped_qpos", "qpos", "qvel"}:
            yield from (f"{block} {i}" for i in range(int(size)))


def _joint_numbers(model: Any) -> tuple[list[str], list[str]]:
    """Return names for `qpos` (shape (nq,)) and `qvel` (shape (nv,))."""
    positions: list[str] = []
    rates: list[str] = []
    for i in range(model.njnt):
        joint = model.joint(i)
        name, kind = joint.name or f"joint {i}", int(joint.type[0])
        if kind == 0:  # mjJNT_FREE
            positions += [f"{name} {part}" for part in _FREE_JOINT]
            rates += [f"{name} {part}" for part in _FREE_JOINT_RATES]
        elif kind == 2:  # noqa: PLR2004 - mjJNT_SLIDE
            positions.append(f"{name} position (m)")
            rates.append(f"{name} velocity (m/s)")
        else:  # mjJNT_HINGE; no task of gymnasium has ball joints
            positions.append(f"{name} angle (rad)")
            rates.append(f"{name} angular velocity (rad/s)")
    return positions, rates
