"""Names -> plug-ins, through entry points. Knows no plug-in by name, and imports one only when it is asked for.

Groups (the bundled plug-ins come through the same ones a stranger uses):

    trajgen.envs        "ns/Name-v0" = "package.module:EnvClass [extra]"
    trajgen.agents, trajgen.backends, trajgen.exporters, trajgen.filters, trajgen.wrappers
    trajgen.planners    environment id -> strategy class
    trajgen.adapters    what `wrappers.textual` cannot see from a foreign environment's spaces
    trajgen.modules     prefix of foreign environment ids -> module whose import registers them
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from trajgen.errors import EnvFault, MissingExtra, UnknownName, UserError, boundary, nearest

if TYPE_CHECKING:
    from collections.abc import Callable

    import gymnasium

    from trajgen.protocols import AgentFactory, BackendFactory, Exporter, ForeignAdapter, PlannerStrategy

Group = Literal["envs", "agents", "backends", "exporters", "filters", "wrappers", "planners", "adapters", "modules"]
_MAX_SAID = 400
_SINGULAR = {"envs": "environment", "agents": "agent", "backends": "backend", "exporters": "exporter"}


class PlugIn(NamedTuple):
    """One registered name. `extra` is the pip extra it needs beside its distribution, if any."""

    name: str
    target: str
    distribution: str
    version: str
    extra: str | None
    entry_point: importlib.metadata.EntryPoint


@functools.cache
def plug_ins(group: Group) -> dict[str, PlugIn]:
    """Return every plug-in of one group by name; imports none of them."""
    found: dict[str, PlugIn] = {}
    for point in importlib.metadata.entry_points(group=f"trajgen.{group}"):
        dist = point.dist
        found[point.name] = PlugIn(
            point.name,
            point.value.partition("[")[0].strip(),
            dist.name if dist else "?",
            dist.version if dist else "?",
            point.extras[0] if point.extras else None,
            point,
        )
    return dict(sorted(found.items()))


def _import(plug_in: PlugIn, what: str) -> Any:  # whatever the entry point names
    return _strangers(plug_in.entry_point.load, f"{what} {plug_in.name!r}", plug_in.target, plug_in)


def _strangers(load: Callable[[], Any], what: str, module: str, plug_in: PlugIn | None) -> Any:  # whatever it names
    """Import code that may raise anything, or end the process, and say what it did in one message."""
    try:
        with boundary("env"):  # of all boundaries the one that lets nothing but a real Ctrl-C pass
            return load()
    except EnvFault as fault:
        cause = fault.__cause__
        if isinstance(cause, ModuleNotFoundError):
            raise MissingExtra(_install_hint(what, cause.name or module, plug_in)) from cause
        said = f"{fault.type}: {fault.message[:_MAX_SAID]}".rstrip(": ")
        raise UserError(f"{what}: {module} cannot be imported; it raised {said}") from cause


def _install_hint(what: str, module: str, plug_in: PlugIn | None) -> str:
    package = f"'{plug_in.distribution}[{plug_in.extra}]'" if plug_in and plug_in.extra else module.partition(".")[0]
    return f"{what} needs the package {module!r}, which is not installed; type: pip install {package}"


def _named(group: Group, name: str) -> Any:
    known = plug_ins(group)
    what = _SINGULAR.get(group, group.removesuffix("s"))
    if name not in known:
        raise UnknownName(f"no {what} {name!r}{nearest(name, known) or ';'} `trajgen list {group}` shows all")
    return _import(known[name], what)


def agent(name: str) -> AgentFactory:
    """Return the factory of an agent."""
    return cast("AgentFactory", _named("agents", name))


def backend(kind: str) -> BackendFactory:
    """Return the factory of a backend."""
    return cast("BackendFactory", _named("backends", kind))


def exporter(name: str) -> type[Exporter]:
    """Return the class of an exporter."""
    return cast("type[Exporter]", _named("exporters", name))


def wrapper(name: str) -> Any:  # a callable env -> env with any keywords
    """Return a wrapper class."""
    return _named("wrappers", name)


def planner(env_id: str) -> type[PlannerStrategy] | None:
    """Return the strategy with which `planner` plays an environment; None where nobody wrote one."""
    found = plug_ins("planners").get(env_id)
    return None if found is None else cast("type[PlannerStrategy]", _import(found, "planner"))


@functools.cache
def adapters() -> tuple[ForeignAdapter, ...]:
    """Return every adapter for foreign environments whose packages are installed."""
    ready = []
    for plug_in in plug_ins("adapters").values():
        try:
            ready.append(plug_in.entry_point.load()())
        except ModuleNotFoundError:
            continue  # its simulator is not installed, so no environment of it can come by
    return tuple(ready)


@functools.cache
def load() -> None:
    """Register every plug-in environment in gymnasium; a second call does nothing. Imports no simulator."""
    import gymnasium  # 120 ms that `trajgen --help` must not pay

    for plug_in in plug_ins("envs").values():
        if plug_in.name not in gymnasium.registry:
            gymnasium.register(plug_in.name, entry_point=plug_in.target)


def is_plug_in(env_id: str) -> bool:
    """Say whether an environment came through `trajgen.envs`, and so follows our contract for splits."""
    return env_id.rpartition(":")[2] in plug_ins("envs")


def spec(env_id: str) -> gymnasium.envs.registration.EnvSpec:
    """Return gymnasium's spec of an environment, importing the module that registers it where that is needed.

    Raises:
        UnknownName: nobody registered it; the message offers the nearest id.
        MissingExtra: the package that registers it is not installed.
        UserError: the module that registers it cannot be imported, or its name is none.
    """
    import gymnasium  # see `load`

    load()
    module, _, name = env_id.rpartition(":")
    what = f"environment {env_id!r}"
    if env_id != name and not all(part.isidentifier() for part in module.split(".")):
        raise UserError(f"{what}: expected 'package.module:Id-v0', found {module!r} before the ':'")
    if module:
        _strangers(lambda: importlib.import_module(module), what, module, plug_ins("envs").get(name))
    elif name not in gymnasium.registry:
        _import_registrar(name)
    if name not in gymnasium.registry:
        raise UnknownName(
            f"no environment {env_id!r}{nearest(name, gymnasium.registry) or ';'} `trajgen list envs` shows all; "
            "if a package registers it when imported, write 'package:Id-v0'"
        )
    return gymnasium.registry[name]


def _import_registrar(env_id: str) -> None:
    for prefix, plug_in in plug_ins("modules").items():
        if env_id.startswith(prefix):
            _import(plug_in, f"environments {prefix}* through")


def env_type(env_id: str) -> Any:
    """Return the class of an environment, or the function that makes it; imports its module.

    Raises:
        UnknownName, MissingExtra, UserError: as `spec`.
    """
    from gymnasium.envs.registration import load_env_creator

    point = spec(env_id).entry_point
    if not isinstance(point, str):
        return point
    plug_in = plug_ins("envs").get(env_id.rpartition(":")[2])
    return _strangers(lambda: load_env_creator(point), f"environment {env_id!r}", point, plug_in)


def make_raw(env_id: str, **make_options: Any) -> gymnasium.Env[Any, Any]:
    """Make an environment without gymnasium's own wrappers: budgets and checks belong to the engine.

    Raises:
        UnknownName, MissingExtra: as `spec`.
        TypeError: the environment does not take one of `make_options`.
    """
    import copy

    import gymnasium  # see `load`

    own = copy.copy(spec(env_id))  # not deeply: `make` copies what it keeps
    own.max_episode_steps = None
    own.order_enforce = False
    try:
        return gymnasium.make(own, disable_env_checker=True, **make_options)
    except ModuleNotFoundError as error:
        plug_in = plug_ins("envs").get(env_id.rpartition(":")[2])
        raise MissingExtra(_install_hint(f"environment {env_id!r}", error.name or "?", plug_in)) from error
    except (ImportError, gymnasium.error.DependencyNotInstalled) as error:  # in its own words, with what to install
        raise MissingExtra(f"environment {env_id!r} cannot be made here: {error}") from error
