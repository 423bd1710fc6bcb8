"""Environment id -> an environment of our contract, wrapped as a job asks. The one place where environments are made.

Knows no environment by name: ours come through `trajgen.envs`, a stranger's through gymnasium's registry.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

import gymnasium

from trajgen import registry
from trajgen.errors import ConfigError, nearest
from trajgen.strict import shown
from trajgen.wrappers.textual import is_foreign, textual

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trajgen.types import Json, Observation, ToolCall

_UNEXPECTED = re.compile(r"unexpected keyword argument '(?P<name>[^']+)'")
# what constructors raise when they dislike a value
_REFUSALS = (TypeError, ValueError, LookupError, AttributeError, AssertionError, OSError, gymnasium.error.Error)


def make(
    env_id: str, wrappers: Sequence[str] = (), make_options: Mapping[str, Json] | None = None
) -> gymnasium.Env[Observation, ToolCall]:
    """Make an environment: `textual` around it where its spaces are not ours, then the named wrappers in order.

    Raises:
        UnknownName, MissingExtra: the environment, or a wrapper, is not known or not installed.
        ConfigError: `make_options.NAME: ...`, the environment does not take them; or its spaces cannot be played.
    """
    env = _made(env_id, dict(make_options or {}))
    if is_foreign(env):
        env = textual(env, usual_steps=default_max_steps(env_id))
    for name in wrappers:
        env = registry.wrapper(name)(env)
    return env


def _made(env_id: str, options: dict[str, Any]) -> gymnasium.Env[Any, Any]:
    try:
        return registry.make_raw(env_id, **options)
    except _REFUSALS as error:
        if not options:
            raise
        raise ConfigError(_refused(env_id, options, error)) from error


def _refused(env_id: str, options: Mapping[str, Any], error: BaseException) -> str:
    unexpected = _UNEXPECTED.search(str(error))
    if unexpected is not None and unexpected["name"] in options:
        known = _parameters(env_id)
        hint = nearest(unexpected["name"], known) or f"; it takes {', '.join(known) or 'none'}"
        return f"make_options.{unexpected['name']}: {env_id} has no such option{hint}"
    return f"make_options: {env_id} does not take {shown(dict(options), 200)}: {type(error).__name__}: {error}"


def _parameters(env_id: str) -> list[str]:
    """Return the options an environment's constructor names."""
    entry = registry.spec(env_id).entry_point
    creator = gymnasium.envs.registration.load_env_creator(entry) if isinstance(entry, str) else entry
    if creator is None:
        return []
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [name for name, p in inspect.signature(creator).parameters.items() if p.kind in kinds]


def default_max_steps(env_id: str) -> int | None:
    """Return the budget gymnasium's spec gives an environment, in steps; None where it gives none.

    Raises: UnknownName, MissingExtra: as `registry.spec`.
    """
    return registry.spec(env_id).max_episode_steps


def replayable(env: gymnasium.Env[Any, Any]) -> bool:
    """Say whether the same seed and calls give the same episode, as far as the environment itself says.

    It says no by `spec.nondeterministic`, or by `metadata = {"replayable": False}`.
    """
    return not (env.spec is not None and env.spec.nondeterministic) and bool(env.metadata.get("replayable", True))
