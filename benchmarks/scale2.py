"""What a second Ray worker brings: a model that takes 50 ms, 64 episodes at once in each worker."""

from __future__ import annotations

import statistics

from benchmarks import cluster
from benchmarks.common import Figure, Goal
from benchmarks.server import N_TURNS, serving

_CONCURRENCY = 64


def run(*, quick: bool) -> list[Figure]:
    """Measure turns per wall second with one and with two workers; twice the episodes for two."""
    per_worker, repeats = (64, 1) if quick else (512, 3)
    rates: dict[int, list[float]] = {1: [], 2: []}
    with serving() as server, cluster.cluster():
        for _ in range(repeats):
            for n_workers, found in rates.items():
                n_episodes = n_workers * per_worker
                played = cluster.play(f"{server}/ms50/v1", n_episodes, n_workers, _CONCURRENCY)
                found.append(n_episodes * N_TURNS / played.wall_s)
    one, two = (statistics.median(rates[n]) for n in (1, 2))
    return [Figure("scale2, 64 at once in each", two, "turns/s", one, "one worker", Goal("ratio", ">=", 1.9))]
