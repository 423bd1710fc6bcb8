"""The job file: TOML and dotted overrides -> `Job`, strictly. Knows nothing of runs, workers or files but the job file.

Two layers: the tables as a person writes them (`JobTable`, `EntryTable`), where lists multiply and a key of an entry
wins over the same key above; and what they mean (`Job`, `Entry`), where every entry is one environment with one agent.
"""

from __future__ import annotations

import itertools
import math
import tomllib
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from trajgen import registry
from trajgen.entries import AgentChoice, BackendChoice, Budget, Entry, Job, OracleMix
from trajgen.errors import ConfigError, TrajgenError, nearest
from trajgen.ids import digest
from trajgen.limits import MAX_EPISODES, MAX_REPEATS, MAX_WORKERS, check_plain, check_size, read_seeds
from trajgen.splits import SPLITS, Split
from trajgen.strict import convert, join, shown
from trajgen.types import DEFAULT_SHOWN, PASSIVE_CHANNELS, Channel, Json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

Repeats = Annotated[int, Meta(ge=1, le=MAX_REPEATS)]
_MAX_COMBINATIONS = 10_000

# ------------------------------------------------------------------------------------- as it is written

_Names = str | list[str]


class _Keys(Struct, frozen=True, kw_only=True):
    """The keys that may stand at the top and in an entry; None means not given.

    Attributes:
        sweep: Option -> values that multiply. In `options` a list is one value.
    """

    env: _Names | None = None
    agent: str | dict[str, Json] | list[str | dict[str, Json]] | None = None
    wrappers: list[str] | None = None
    make_options: dict[str, Json] | None = None
    options: dict[str, Json] | None = None
    sweep: dict[str, list[Json]] | None = None
    split: _Names | None = None
    seeds: str | list[int] | None = None
    samples: Repeats | None = None
    trials: Repeats | None = None
    feedback: list[str | list[str]] | None = None
    budget: dict[str, Json] | None = None
    oracle_mix: dict[str, Json] | None = None
    resources: dict[str, float] | None = None


class EntryTable(_Keys, frozen=True, kw_only=True):
    """An `[[entry]]` as written."""

    weight: Annotated[float, Meta(ge=1e-9, le=1e9)] | None = None  # whose sums and shares stay finite


class JobTable(_Keys, frozen=True, kw_only=True):
    """A job file as written."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")] = "job"
    out: str | None = None
    workers: Annotated[int, Meta(ge=0, le=MAX_WORKERS)] | Literal["auto"] = "auto"
    concurrency: Annotated[int, Meta(ge=1, le=4_096)] = 64
    backend: dict[str, dict[str, Json]] = field(default_factory=dict)
    episodes: Annotated[int, Meta(ge=1, le=MAX_EPISODES)] | None = None
    entry: list[dict[str, Json]] = field(default_factory=list)


# ------------------------------------------------------------------------------------- reading


def load(path: Path, overrides: Sequence[str] = ()) -> Job:
    """Read a job file.

    Args:
        path: A TOML file.
        overrides: `a.b=VALUE` each, VALUE read as TOML (bare words as text); lists are indexed: `entry.0.seeds="0:5"`.

    Raises:
        ConfigError: `FILE: PATH: expected ..., found ...`.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        near = nearest(path.name, (p.name for p in path.parent.glob("*.toml"))) if path.parent.is_dir() else ""
        raise ConfigError(f"{path}: no such file{near}") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: expected a TOML file, found a folder") from None
    except (ValueError, RecursionError) as error:  # beside TOML's own: thousands of digits, or of brackets
        raise ConfigError(f"{path}: not TOML: {error}") from None
    return parse(data, overrides, where=f"{path.name}: ")


def parse(data: dict[str, Json], overrides: Sequence[str] = (), where: str = "") -> Job:
    """Read a job from plain data; see `load`."""
    for text in overrides:
        data = _override(data, text)
    check_plain(data, where)
    table = convert(data, JobTable, where)
    if not table.entry and table.env is None:
        raise ConfigError(f"{where}entry: missing; a job needs at least one [[entry]] with `env` and `agent`")
    backends = {
        name: _backend(name, dict(keys), join(where, f"backend.{name}")) for name, keys in table.backend.items()
    }
    variants = [
        variant
        for number, keys in enumerate(table.entry or [{}])
        for variant in _expand(table, keys, backends, f"{where}entry[{number}]" if table.entry else where)
    ]
    entries = _weighted(variants, table.episodes, where)
    _no_repeats(entries, where)
    workers = None if table.workers == "auto" else table.workers
    return Job(table.name, table.out, workers, table.concurrency, entries)


def _override(data: dict[str, Json], text: str) -> dict[str, Json]:
    path, equals, value = text.partition("=")
    if not equals or not path:
        raise ConfigError(f"--set {text}: expected KEY.PATH=VALUE")
    try:
        parsed = tomllib.loads(f"v = {value}")["v"]
    except (ValueError, RecursionError):
        parsed = value  # a bare word
    changed: dict[str, Json] = _put(data, path.split("."), parsed, text)
    return changed


def _put(node: Any, steps: list[str], value: Json, text: str) -> Any:  # JSON in, JSON out
    if not steps:
        return value
    head, *rest = steps
    if isinstance(node, list):
        if not head.isdecimal() or int(head) >= len(node):
            raise ConfigError(f"--set {text}: expected an index below {len(node)}, found {head!r}")
        return [_put(item, rest, value, text) if i == int(head) else item for i, item in enumerate(node)]
    if not isinstance(node, dict):
        raise ConfigError(f"--set {text}: {head!r} is inside {shown(node)}, which is no table")
    return node | {head: _put(node.get(head, {}), rest, value, text)}


def _backend(name: str, keys: dict[str, Json], where: str) -> BackendChoice:
    kind = keys.pop("kind", None)
    if not isinstance(kind, str):
        raise ConfigError(f"{where}.kind: expected the name of a backend, found {shown(kind)}")
    factory = _named(lambda: registry.backend(kind), f"{where}.kind")
    return BackendChoice(name, kind, msgspec.to_builtins(convert(keys, factory.config, where)))


def _named(find: Any, where: str) -> Any:  # whatever the registry returns
    try:
        return find()
    except TrajgenError as error:
        raise type(error)(f"{where}: {error}") from None


def _agent(given: str | dict[str, Json], backends: Mapping[str, BackendChoice], where: str) -> AgentChoice:
    keys: dict[str, Json] = {"name": given} if isinstance(given, str) else dict(given)
    name = keys.pop("name", None)
    if not isinstance(name, str):
        raise ConfigError(f"{join(where, 'name')}: expected the name of an agent, found {shown(name)}")
    factory = _named(lambda: registry.agent(name), where)
    chosen: dict[str, BackendChoice] = {}
    for role in factory.backends:
        wanted = keys.pop(role, None)
        if not isinstance(wanted, str) or wanted not in backends:
            hint = nearest(str(wanted), backends) or f"; there are: {', '.join(backends) or 'none'}"
            raise ConfigError(
                f"{join(where, role)}: expected the NAME of a [backend.NAME] table, found {shown(wanted)}{hint}"
            )
        chosen[role] = backends[wanted]
    config = msgspec.to_builtins(convert(keys, factory.config, where))
    return AgentChoice(name, factory.version, config, chosen)


class _Variant(Struct, frozen=True):
    entry: Entry
    weight: float | None


def _expand(
    top: JobTable, keys: dict[str, Json], backends: Mapping[str, BackendChoice], where: str
) -> Iterator[_Variant]:
    """Multiply the lists of one entry out; a key of the entry wins over the same key of `top`."""
    own = convert(keys, EntryTable, where)

    def given(key: str) -> Any:  # the struct's own types are checked by `convert`
        mine = getattr(own, key)
        return getattr(top, key) if mine is None else mine

    for key in ("env", "agent"):
        if given(key) is None or given(key) == []:
            raise ConfigError(f"{join(where, key)}: missing; it must be given here or above")
    envs, agents, splits = _listed(given("env")), _listed(given("agent")), _listed(given("split"))
    shown_sets = _feedback_sets(given("feedback"), join(where, "feedback"))
    swept = _swept(given("options") or {}, given("sweep") or {}, where)
    _refuse_misplaced(given, own.weight, where)
    seeds = read_seeds(given("seeds"), join(where, "seeds")) if given("seeds") is not None else None
    if (seeds is None) == (own.weight is None):
        raise ConfigError(f"{join(where, 'seeds')}: give either `seeds` or `weight` (with `episodes` at the top)")
    check_size(len(seeds or ()), given("samples") or 1, given("trials") or 1, join(where, "seeds"))
    budget = convert((top.budget or {}) | (own.budget or {}), Budget, join(where, "budget"))
    mixed = given("oracle_mix")
    mix = None if mixed is None else convert(mixed, OracleMix, join(where, "oracle_mix"))
    n_variants = len(envs) * len(agents) * len(splits) * len(shown_sets) * len(swept)
    for env_id, agent, split, channels, options in itertools.product(envs, agents, splits, shown_sets, swept):
        entry = _entry(
            env_id=env_id,
            agent=_agent(agent, backends, join(where, "agent")),
            split=_split(split, env_id, join(where, "split")),
            feedback=channels,
            budget=budget,
            wrappers=tuple(given("wrappers") or ()),
            make_options=given("make_options") or {},
            options=options,
            seeds=seeds or (),
            samples=given("samples") or 1,
            trials=given("trials") or 1,
            resources={},
            oracle_mix=mix,
        )
        yield _Variant(entry, None if own.weight is None else own.weight / n_variants)


def _swept(options: dict[str, Json], sweep: dict[str, list[Json]], where: str) -> list[dict[str, Json]]:
    """Return the options of every combination, the last key changing fastest."""
    n = math.prod(map(len, sweep.values()))
    if n > _MAX_COMBINATIONS:
        raise ConfigError(f"{join(where, 'sweep')}: expected at most {_MAX_COMBINATIONS:,} combinations, found {n:,}")
    for key, values in sweep.items():
        if key in options:
            raise ConfigError(f"{join(where, 'sweep')}.{key}: {key} is in `options` too; say it once")
        if not values:
            raise ConfigError(f"{join(where, 'sweep')}.{key}: expected at least one value, found none")
    return [options | dict(zip(sweep, values, strict=True)) for values in itertools.product(*sweep.values())]


def _refuse_misplaced(given: Any, weight: float | None, where: str) -> None:  # `given` as in `_expand`
    if given("split") == []:
        raise ConfigError(f"{join(where, 'split')}: expected at least one of {', '.join(SPLITS)}, found none")
    for key in ("options", "sweep"):
        if "split" in (given(key) or {}):
            raise ConfigError(f"{join(where, key)}.split: say `split` beside `{key}`, not inside")
    if given("resources"):
        raise ConfigError(f"{join(where, 'resources')}: not supported yet; leave it out")
    for key in ("samples", "trials"):
        if weight is not None and (given(key) or 1) > 1:
            raise ConfigError(
                f"{join(where, key)}: an entry with `weight` takes 1, found {given(key)}; give it `seeds`"
            )


def _entry(**parts: Any) -> Entry:  # the fields of Entry
    agent: AgentChoice = parts["agent"]
    models = {role: choice.identity() for role, choice in agent.backends.items()}
    budget = msgspec.to_builtins(parts["budget"])
    prompts = list(registry.agent(agent.name).prompts)
    # trials too: an agent that may try again reflects, so even its first trial's row is another one
    shaped_by = [prompts, models, sorted(parts["feedback"]), budget, parts["trials"]]
    if parts["oracle_mix"] is not None:
        shaped_by.append(msgspec.to_builtins(parts["oracle_mix"]))
    key = digest("entry", agent.name, agent.version, agent.config, *shaped_by)
    task_set = [list(parts["wrappers"]), parts["make_options"], parts["options"], parts["split"]]
    return Entry(key=key, id=digest("set", key, parts["env_id"], *task_set), **parts)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _split(split: str | None, env_id: str, where: str) -> Split | None:
    """Our own environments default to train; a foreign one has splits only where it is asked for them."""
    if split is None:
        return "train" if registry.is_plug_in(env_id) else None
    if split not in SPLITS:
        raise ConfigError(f"{where}: expected one of {', '.join(SPLITS)}, found {shown(split)}{nearest(split, SPLITS)}")
    return split


def _feedback_sets(given: list[Any] | None, where: str) -> list[tuple[Channel, ...]]:
    if given is None:
        return [DEFAULT_SHOWN]
    sets = given if given and isinstance(given[0], list) else [given]
    for channel in itertools.chain.from_iterable(sets):
        if channel not in PASSIVE_CHANNELS:
            known = ", ".join(PASSIVE_CHANNELS)
            raise ConfigError(
                f"{where}: expected channels of {known}, found {shown(channel)}{nearest(str(channel), PASSIVE_CHANNELS)}"
            )
    return [tuple(c for c in PASSIVE_CHANNELS if c in chosen) for chosen in sets]


def _weighted(variants: list[_Variant], episodes: int | None, where: str) -> tuple[Entry, ...]:
    """Give weighted entries their seeds: shares of `episodes`, rounded by largest remainder."""
    weighted = [v for v in variants if v.weight is not None]
    if not weighted:
        if episodes is not None:
            raise ConfigError(f"{where}episodes: only a job whose entries have `weight` takes a total")
        return tuple(v.entry for v in variants)
    if episodes is None or len(weighted) < len(variants):
        raise ConfigError(f"{where}episodes: a mixture needs `episodes` at the top and `weight` in every entry")
    total = sum(v.weight or 0.0 for v in weighted)
    exact = [episodes * (v.weight or 0.0) / total for v in weighted]
    counts = [int(e) for e in exact]
    by_remainder = sorted(range(len(exact)), key=lambda i: counts[i] - exact[i])
    for i in by_remainder[: episodes - sum(counts)]:
        counts[i] += 1
    return tuple(
        msgspec.structs.replace(v.entry, seeds=tuple(range(n)), samples=1)
        for v, n in zip(weighted, counts, strict=True)
        if n
    )


def _no_repeats(entries: Sequence[Entry], where: str) -> None:
    seen: dict[str, set[int]] = {}
    for entry in entries:
        common = seen.setdefault(entry.id, set()).intersection(entry.seeds)
        if common:
            raise ConfigError(
                f"{where}entry: {len(common)} episodes of {entry.label()} are asked for twice (seed {min(common)} is one); "
                "give each entry its own seeds, or raise `samples`"
            )
        seen[entry.id].update(entry.seeds)
