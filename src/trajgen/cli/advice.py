"""What to type next. Pure but for a look at the commit records; every command can be pasted as it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trajgen.cli.output import typed
from trajgen.store.commits import committed

if TYPE_CHECKING:
    from trajgen.store.layout import RunDir
    from trajgen.store.plan import Plan

_ID_CHARS = 8
_DULL = ("random", "oracle")  # the others think aloud, which is what an example is to show


def example(run: RunDir, plan: Plan) -> str | None:
    """Return the beginning of an episode's id that is worth a look: a solved one of an agent that thinks, if any."""
    best: tuple[int, str] | None = None
    for unit_id, record in committed(run).items():
        unit = next((u for u in plan.units if u.id == unit_id), None)
        if unit is None or not record.rows:
            continue
        agent = plan.entries[unit.entry].agent.name
        score = 2 * (record.tally.n_success > 0) + (agent not in _DULL)
        if best is None or score > best[0]:
            first = next((k for k in plan.keys(unit) if k.episode_id not in record.unneeded), None)
            best = best if first is None else (score, first.episode_id)
    return best[1][:_ID_CHARS] if best else None


def next_commands(run: RunDir, episode: str | None) -> list[str]:
    """Return the commands that a finished run leads to."""
    show = [typed("trajgen", "show", run.path, episode)] if episode else []
    where = str(run.path / "shards" / "*.parquet")
    return [
        "next:",
        *(f"  {command}" for command in (typed("trajgen", "show", run.path), *show)),
        f"  {typed('trajgen', 'verify', run.path)}",
        f"  {typed('trajgen', 'export', run.path, '--to', 'trl', '--out', f'{run.path.name}-trl')}",
        f'the episodes themselves: datasets.load_dataset("parquet", data_files={where!r})',
    ]
