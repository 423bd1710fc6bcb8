"""CPU time of one turn, all of recording included, over a bare aiohttp loop of the same exchanges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import adding
from benchmarks.common import Figure, Goal, interleaved, spent
from benchmarks.server import N_TURNS, serving

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.common import Spent

_GOAL = Goal("ratio", "<=", 1.5)


def run(*, quick: bool) -> list[Figure]:
    """Measure at 1, 32 and 256 episodes at once, against a server that answers at once."""
    sizes = {1: 8, 32: 64, 256: 256} if quick else {1: 512, 32: 2_048, 256: 4_096}
    with serving() as server:
        for warm_up in (adding.floor, adding.play):
            warm_up(f"{server}/v1", 32, 32)
        return [_at(f"{server}/v1", concurrency, n, 1 if quick else 3) for concurrency, n in sizes.items()]


def _at(base_url: str, concurrency: int, n_episodes: int, repeats: int) -> Figure:
    def of(work: Callable[[str, int, int], object]) -> Callable[[], Spent]:
        return lambda: spent(lambda: work(base_url, n_episodes, concurrency))

    medians = interleaved({"floor": of(adding.floor), "ours": of(adding.play)}, repeats)
    floor, ours = (1e6 * medians[kind].cpu_s / (n_episodes * N_TURNS) for kind in ("floor", "ours"))
    goal = _GOAL if concurrency >= 32 else None
    return Figure(f"turn_overhead, {concurrency} at once", ours, "CPU us/turn", floor, "bare aiohttp", goal)
