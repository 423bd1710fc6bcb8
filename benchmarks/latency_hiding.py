"""How well 256 episodes in one worker hide a model that takes 50 ms, beside a bare aiohttp loop that does the same."""

from __future__ import annotations

from benchmarks import adding
from benchmarks.common import Figure, Goal, interleaved, spent
from benchmarks.server import N_TURNS, serving

DELAY_MS = 50


def run(*, quick: bool) -> list[Figure]:
    """Measure turns per wall second; the ideal is 256 turns each 50 ms, 5,120 turns/s."""
    concurrency, n_episodes, repeats = (32, 64, 1) if quick else (256, 4_096, 3)
    with serving() as server:
        adding.play(f"{server}/v1", 32, 32)
        url = f"{server}/ms{DELAY_MS}/v1"
        kinds = {
            "floor": lambda: spent(lambda: adding.floor(url, n_episodes, concurrency)),
            "ours": lambda: spent(lambda: adding.play(url, n_episodes, concurrency)),
        }
        medians = interleaved(kinds, repeats)
    floor, ours = (n_episodes * N_TURNS / medians[kind].wall_s for kind in ("floor", "ours"))
    ideal = concurrency * 1_000 / DELAY_MS
    return [
        Figure(
            f"latency_hiding, {concurrency} at once", ours, "turns/s", floor, "bare aiohttp", Goal("ratio", ">=", 0.95)
        ),
        Figure(f"latency_hiding, {concurrency} at once", ours, "turns/s", ideal, "ideal"),
    ]
