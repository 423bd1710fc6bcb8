"""What differs between the entries of a run and those of a job, key by key. Pure; knows nothing of disks.

Only what shapes content is compared: never resources, nor where a model is served.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from trajgen.errors import TrajgenError
from trajgen.strict import shown
from trajgen.types import to_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trajgen.entries import BackendChoice, Entry
    from trajgen.types import Json

_SHOWN_BEFORE = 30
_NOT_CONTENT = ("key", "id", "resources", "seeds", "samples")


def differences(old: Sequence[Entry], new: Sequence[Entry]) -> list[str]:
    """Return one line per difference: `entry[0].budget.max_steps: 30 -> 40`.

    Entries of equal content are paired first, the rest in order; paths count the entries of `old`.
    """
    lines: list[str] = []
    for index, (before, now) in enumerate(_pairs(old, new)):
        where = f"entry[{index}]"
        if before is None and now is not None:
            lines.append(f"{where}: nothing -> {now.label()}")
        elif now is None and before is not None:
            lines.append(f"{where}: {before.label()} -> nothing")
        elif before is not None and now is not None:
            lines += _entry(where, before, now)
    return lines


def _pairs(old: Sequence[Entry], new: Sequence[Entry]) -> list[tuple[Entry | None, Entry | None]]:
    left = list(new)
    pairs: list[tuple[Entry | None, Entry | None]] = []
    for before in old:
        same = next((now for now in left if now.id == before.id), None)
        if same is not None:
            left.remove(same)
        pairs.append((before, same))
    for index, (kept, same) in enumerate(pairs):
        if same is None and left:
            pairs[index] = (kept, left.pop(0))
    return pairs + [(None, now) for now in left]


def _entry(where: str, before: Entry, now: Entry) -> Iterator[str]:
    lines = list(_values(where, _content(before), _content(now)))
    if not lines and before.key != now.key:
        lines.append(f"{where}.agent: the texts that agent {now.agent.name!r} puts before the model have changed")
    yield from lines
    if set(before.seeds) - set(now.seeds):
        yield f"{where}.seeds: {_seeds(before)} -> {_seeds(now)}"
    if before.samples > now.samples:
        yield f"{where}.samples: {before.samples} -> {now.samples}"


def _seeds(entry: Entry) -> str:
    first, last = min(entry.seeds, default=0), max(entry.seeds, default=0)
    return f"{len(entry.seeds)} seeds in {first}..{last}"


def _content(entry: Entry) -> dict[str, Json]:
    content: dict[str, Json] = msgspec.to_builtins(entry)
    for key in _NOT_CONTENT:
        del content[key]
    content["agent"]["backends"] = {role: _model(choice) for role, choice in entry.agent.backends.items()}
    return content


def _model(choice: BackendChoice) -> Json:
    try:
        kind, config = choice.identity()
    except TrajgenError:  # the plug-in of an old run may be gone
        kind, config = choice.kind, choice.config
    return {"kind": kind, **config}


def _values(where: str, before: Json, now: Json) -> Iterator[str]:
    if to_json(before) == to_json(now):  # as ids are made: for Python 1 == 1.0 == True, and 0.0 == -0.0
        return
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*before, *now]):
            yield from _values(f"{where}.{key}", before.get(key), now.get(key))
    else:
        yield f"{where}: {' -> '.join(_shown(before, now))}"


def _shown(before: Json, now: Json) -> tuple[str, str]:
    """Quote both, cut short; where they are alike so far, from a little before the first difference."""
    texts = ["nothing" if value is None else repr(value) for value in (before, now)]
    short = tuple("nothing" if value is None else shown(value) for value in (before, now))
    if short[0] != short[1]:
        return short[0], short[1]
    same = next((i for i, (a, b) in enumerate(zip(*texts, strict=False)) if a != b), 0)
    start = max(same - _SHOWN_BEFORE, 0)
    cut = [text[start : start + 2 * _SHOWN_BEFORE] for text in texts]
    return f"...{cut[0]}...", f"...{cut[1]}..."
