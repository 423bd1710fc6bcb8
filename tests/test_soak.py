"""The full sizes: a long job whose workers and driver are killed again and again gives the undisturbed job's episodes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jobs import digests_of, episodes_of, play
from trajgen.testing.fakes import COUNTER_ID

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray"), pytest.mark.timeout(1_800)]

N = 1_000
JOB = {
    "name": "soak",
    "workers": 2,
    "concurrency": 8,
    "entry": [
        {"env": COUNTER_ID, "agent": "random", "seeds": f"0:{N // 2}", "options": {"step_sleep_s": 0.03, "target": 9}},
        {"env": "trajgen/Toolbox-v0", "agent": "planner", "seeds": f"0:{N // 2}", "options": {"failures": 0.2}},
    ],
}
_DRIVER = """
import json, sys
from pathlib import Path
from trajgen import config, distributed, driver
job = config.parse(json.loads(sys.argv[2]))
with driver.prepared(Path(sys.argv[1]), job) as prepared:
    report = distributed.run(prepared, job.workers, job.concurrency, lambda s: None)
sys.exit(0 if report.missing == 0 else 1)
"""


def _workers_below(pid: int) -> list[int]:
    """Return the Ray actors of one driver."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if (process / "cmdline").read_bytes().startswith(b"ray::RayWorker") and _descends(
                    int(process.name), pid
                ):
                    found.append(int(process.name))
            except OSError:
                continue
    return found


def _descends(pid: int, ancestor: int) -> bool:
    while pid > 1:
        if pid == ancestor:
            return True
        pid = int((Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    return False


def test_workers_killed_every_two_seconds_and_the_driver_three_times(tmp_path: Path):
    rng = random.Random(0)
    run = tmp_path / "killed"
    killed_workers = killed_drivers = 0
    for _ in range(40):
        driver = subprocess.Popen([sys.executable, "-c", _DRIVER, str(run), json.dumps(JOB)])
        ends_at = time.monotonic() + (rng.uniform(14, 22) if killed_drivers < 3 else float("inf"))
        while driver.poll() is None:
            time.sleep(2)
            workers = _workers_below(driver.pid)
            if workers:
                os.kill(rng.choice(workers), signal.SIGKILL)
                killed_workers += 1
            if time.monotonic() > ends_at and driver.poll() is None:
                os.kill(driver.pid, signal.SIGKILL)
                killed_drivers += 1
        if driver.returncode == 0:
            break
    print(f"{killed_workers} workers and {killed_drivers} drivers were killed")  # noqa: T201 - for whoever runs it
    assert killed_workers >= 3
    play(tmp_path / "quiet", JOB)
    rows = episodes_of(run)
    assert len(rows) == len({e.episode_id for e in rows}) == N
    assert not [e for e in rows if e.failure]
    assert digests_of(run) == digests_of(tmp_path / "quiet")
