"""Runs on disk whose outcomes a test decides: a real plan, real shards, no environment played."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from store.fakes import played
from trajgen import config
from trajgen.store.commits import commit
from trajgen.store.layout import RunDir
from trajgen.store.plan import open_plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trajgen.entries import Entry
    from trajgen.store.plan import EpisodeKey


def make_run(
    path: Path,
    data: dict[str, Any],
    outcome: Callable[[Entry, EpisodeKey], dict[str, Any]],
    *,
    n_units: int | None = None,
) -> RunDir:
    """Commit a job's episodes, or its first units; `outcome` gives `success`, `failure`, `n_steps` of each."""
    run = RunDir(path)
    plan = open_plan(run, config.parse(data), allow_mixed=False)
    for unit in plan.units[:n_units]:
        entry = plan.entries[unit.entry]
        commit(run, unit, [played(entry, key, **outcome(entry, key)) for key in plan.keys(unit)], [])
    return run


def ablation(path: Path, n_seeds: int = 40) -> RunDir:
    """Four sets of channels, calm and disturbed: what a channel is worth is how many of ten seeds it solves more."""
    worth = {(): 3, ("object",): 5, ("success", "object"): 6, ("object", "scene"): 9}
    data = {
        "env": "Fake-v0",
        "agent": "random",
        "seeds": f"0:{n_seeds}",
        "feedback": [["scene", "object"], [], ["object"], ["object", "success"]],
        "entry": [{"options": {"disturbance": 0.5}}, {"options": {"disturbance": 0}}],
    }
    return make_run(
        path,
        data,
        lambda e, k: {"success": k.seed % 10 < worth[e.feedback] - (2 if e.options["disturbance"] else 0)},
    )
