"""How much memory 256 episodes at once take in one worker, beside a worker with one. Each in a process of its own."""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks import adding
from benchmarks.common import Figure, Goal
from benchmarks.server import serving


def run(*, quick: bool) -> list[Figure]:
    """Measure the largest resident size; a model that takes 50 ms keeps all episodes in flight."""
    many, repeats = (32, 1) if quick else (256, 3)
    sizes: dict[int, list[float]] = {1: [], many: []}
    with serving() as server:
        for _ in range(repeats):
            for n_episodes, found in sizes.items():
                found.append(_peak_mb(f"{server}/ms50/v1", n_episodes))
    floor, ours = (statistics.median(sizes[n]) for n in (1, many))
    return [Figure(f"memory, {many} at once", ours, "MB", floor, "one episode", Goal("difference", "<=", 100))]


def _peak_mb(base_url: str, n_episodes: int) -> float:
    command = [sys.executable, "-m", "benchmarks.memory", base_url, str(n_episodes)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout)


def main() -> None:
    """Play in this process, and print its largest resident size in MB."""
    base_url, n_episodes = sys.argv[1], int(sys.argv[2])
    adding.play(base_url, n_episodes, n_episodes)
    print(_high_water_mb())


def _high_water_mb() -> float:
    # not `ru_maxrss`, which a process inherits from the one that started it
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) / 1_024


if __name__ == "__main__":
    main()
