"""What a person waits for: importing the package, `--help`, the first episode in this process; over bare Python."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

from benchmarks.common import Figure, Spent, interleaved, spent

_EPISODE = """
import tempfile
from pathlib import Path
from trajgen import config, driver, local
job = config.parse({"env": "FrozenLake-v1", "agent": "random", "seeds": "0:1", "workers": 0})
with tempfile.TemporaryDirectory() as folder, driver.prepared(Path(folder) / "run", job) as prepared:
    assert not local.run(prepared, job.concurrency, lambda _: None).missing
"""
_PROGRAMS = {
    "bare python": "pass",
    "import trajgen": "import trajgen",
    "trajgen --help": "import sys; sys.argv = ['trajgen', '--help']; from trajgen.cli import main; sys.exit(main())",
    "first episode, workers = 0": _EPISODE,
}


def run(*, quick: bool) -> list[Figure]:
    """Measure wall seconds of whole processes; bytecode is cached by a first, uncounted run."""
    for program in _PROGRAMS.values():
        _process(program)
    kinds = {name: partial(_process, program) for name, program in _PROGRAMS.items()}
    medians = interleaved(kinds, 1 if quick else 9)
    floor = 1_000 * medians.pop("bare python").wall_s
    return [
        Figure(f"startup: {name}", 1_000 * took.wall_s, "ms", floor, "bare python") for name, took in medians.items()
    ]


def _process(program: str) -> Spent:
    command = [sys.executable, "-c", program]
    return spent(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=120))
