"""Names for the entries of a job that tell them apart and say no more than that. Pure."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from trajgen.types import to_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trajgen.entries import Entry
    from trajgen.types import Json


class Label(NamedTuple):
    """An entry's two names: the tasks it plays and who plays them."""

    task: str
    agent: str

    def __str__(self) -> str:
        return f"{self.task} x {self.agent}"


def labels(entries: Sequence[Entry]) -> list[Label]:
    """Name every entry: environment and agent, and those keys in which entries of the same name differ."""
    tasks = _told_apart([e.env_id for e in entries], [_task(e) for e in entries])
    agents = _told_apart(
        [f"{task}\0{e.agent.name}" for task, e in zip(tasks, entries, strict=True)], [_play(e) for e in entries]
    )
    # two entries may ask for the same content with other seeds
    whole = _told_apart(agents, [_seeds(e) for e in entries])
    return [Label(t, w.partition("\0")[2]) for t, w in zip(tasks, whole, strict=True)]


def _told_apart(names: Sequence[str], details: Sequence[dict[str, str]]) -> list[str]:
    groups: dict[str, list[dict[str, str]]] = defaultdict(list)
    for name, detail in zip(names, details, strict=True):
        groups[name].append(detail)
    return [" ".join([name, *_distinct(detail, groups[name])]) for name, detail in zip(names, details, strict=True)]


def _distinct(detail: dict[str, str], others: Sequence[dict[str, str]]) -> Iterator[str]:
    for key, value in detail.items():
        if any(other.get(key) != value for other in others):
            yield f"{key}={value}"


def _task(entry: Entry) -> dict[str, str]:
    return dict(
        [
            *_flat("", entry.make_options),
            *_flat("", entry.options),
            ("split", entry.split or "any"),
            ("wrappers", "+".join(entry.wrappers) or "none"),
        ]
    )


def _play(entry: Entry) -> dict[str, str]:
    models = {role: choice.name for role, choice in entry.agent.backends.items()}
    return dict(
        [
            *_flat("", entry.agent.config),
            *_flat("", models),
            ("feedback", "+".join(entry.feedback) or "none"),
            *_flat("", msgspec.to_builtins(entry.budget)),
            ("trials", str(entry.trials)),
        ]
    )


def _seeds(entry: Entry) -> dict[str, str]:
    return {"seeds": f"{min(entry.seeds, default=0)}..{max(entry.seeds, default=0)}"}


def _flat(where: str, value: Json) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(f"{where}.{key}" if where else key, inner)
    elif value is not None:  # not given: its absence tells it apart
        yield where, value if isinstance(value, str) else to_json(value)
