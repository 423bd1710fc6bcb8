"""What Ray adds: the same job with and without it. CPU time of the worker a turn, and of the driver an episode.

The driver also looks at its workers now and then, however fast they are; a job of one slow episode is nothing else, and
`polling` says what that costs beside a process that is on Ray and sleeps.
"""

from __future__ import annotations

import statistics
import time

from benchmarks import adding, cluster
from benchmarks.common import Figure, Goal, spent
from benchmarks.server import N_TURNS, serving

_CONCURRENCY = 64


def run(*, quick: bool) -> list[Figure]:
    """Measure against a server that answers at once."""
    n_episodes, repeats = (64, 1) if quick else (2_048, 3)
    with serving() as server, cluster.cluster():
        url = f"{server}/v1"
        adding.play(url, 32, 32)
        plain, on_ray = [], []
        for _ in range(repeats):
            plain.append(spent(lambda: adding.play(url, n_episodes, _CONCURRENCY)).cpu_s)
            on_ray.append(cluster.play(url, n_episodes, 1, _CONCURRENCY))
        slow = cluster.play(f"{server}/ms{20 if quick else 500}/v1", 1, 1, 1)
        asleep = spent(lambda: time.sleep(0.2 if quick else 4.0))
    polling, resting = slow.driver_cpu_s / slow.wall_s, asleep.cpu_s / asleep.wall_s
    us_per_turn = 1e6 / (n_episodes * N_TURNS)
    worker = statistics.median(p.worker_cpu_s for p in on_ray) * us_per_turn
    floor = statistics.median(plain) * us_per_turn
    per_episode = 1e6 / n_episodes
    whole = statistics.median(p.driver_cpu_s for p in on_ray) * per_episode
    net = statistics.median(p.driver_cpu_s - resting * p.wall_s for p in on_ray) * per_episode
    return [
        Figure("ray_tax, worker", worker, "CPU us/turn", floor, "without Ray", Goal("ratio", "<=", 1.3)),
        Figure("ray_tax, driver", whole, "CPU us/episode", goal=Goal("figure", "<=", 25)),
        Figure("ray_tax, driver, more than asleep", net, "CPU us/episode"),
        Figure("ray_tax, polling", 1e3 * polling, "CPU ms/s", 1e3 * resting, "asleep on Ray"),
    ]
