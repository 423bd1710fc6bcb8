"""The same jobs on Ray: any number of workers, any of them killed, gives the same episodes once."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from jobs import digests_of, episodes_of, no_view, play
from trajgen import config, driver
from trajgen.store.layout import RunDir
from trajgen.testing.fakes import COUNTER_ID

if TYPE_CHECKING:
    from collections.abc import Callable

    from trajgen.driver import JobReport, Snapshot

pytestmark = [pytest.mark.ray, pytest.mark.xdist_group("ray")]

JOB: dict[str, Any] = {
    "entry": [
        {"env": COUNTER_ID, "agent": ["oracle", "random"], "seeds": "0:30"},
        {"env": "counting/Guess-v0", "agent": ["planner", "halving"], "seeds": "0:20"},
        {"env": ["CartPole-v1", "InvertedPendulum-v5"], "agent": "random", "seeds": "0:8"},
    ]
}


def on_ray(
    path: Path, data: dict[str, Any], n_workers: int, on_update: Callable[[Snapshot], None] = no_view
) -> JobReport:
    from trajgen import distributed

    job = config.parse(data)
    with driver.prepared(path, job) as prepared:
        return distributed.run(prepared, n_workers, job.concurrency, on_update)


def test_an_outside_plug_in_is_played_through_ray_and_any_number_of_workers_gives_the_same_episodes(
    tmp_path: Path, ray_cluster: None
):
    play(tmp_path / "0", JOB)
    for n_workers in (1, 2):
        report = on_ray(tmp_path / str(n_workers), JOB, n_workers)
        assert report.missing == 0
        assert digests_of(tmp_path / str(n_workers)) == digests_of(tmp_path / "0")
    assert len(digests_of(tmp_path / "0")) == 116


def test_a_cassette_gives_the_same_episodes_with_any_number_of_workers(tmp_path: Path, ray_cluster: None):
    from trajgen.testing.server import calling, serve

    def reply(request: dict[str, Any]) -> Any:
        said = sum(message["role"] == "assistant" for message in request["messages"])
        return calling("submit", {}) if said == 3 else calling("add", {"n": 1 + said})

    def job(mode: str, **inner: Any) -> dict[str, Any]:
        tape = {"kind": "cassette", "path": str(tmp_path / "tape.jsonl"), "mode": mode, **inner}
        agent = {"name": "llm", "backend": "tape"}
        return {"env": COUNTER_ID, "agent": agent, "backend": {"tape": tape}, "seeds": "0:30"}

    with serve(reply) as server:
        model = {"kind": "openai", "base_url": server.base_url, "model": "m"}
        play(tmp_path / "recorded", job("record", backend=model))
    for n_workers in (0, 1, 2):
        path = tmp_path / str(n_workers)
        replayed = job("replay", backend=model)
        report = on_ray(path, replayed, n_workers) if n_workers else play(path, replayed)
        assert report.missing == 0
        assert digests_of(path) == digests_of(tmp_path / "recorded")


def test_a_run_begun_without_ray_is_finished_on_ray(tmp_path: Path, ray_cluster: None):
    small = {"env": COUNTER_ID, "agent": "oracle", "seeds": "0:5"}
    play(tmp_path / "mixed", small)
    on_ray(tmp_path / "mixed", {**small, "seeds": "0:40"}, 2)
    play(tmp_path / "plain", {**small, "seeds": "0:40"})
    assert digests_of(tmp_path / "mixed") == digests_of(tmp_path / "plain")


def test_workers_that_are_killed_lose_nothing_and_fail_no_episode(tmp_path: Path, ray_cluster: None):
    job = {"env": COUNTER_ID, "agent": "random", "seeds": "0:100", "options": {"step_sleep_s": 0.01, "target": 9}}
    stop = threading.Event()
    killed: list[int] = []
    killer = threading.Thread(target=_kill_workers, args=(stop, killed, 3))
    killer.start()
    report = on_ray(tmp_path / "killed", {**job, "concurrency": 4}, 2)
    stop.set()
    killer.join()
    assert killed, "no worker was killed, so this test showed nothing"
    assert (report.missing, report.failed) == (0, 0)
    assert report.n_lost >= 1
    play(tmp_path / "quiet", job)
    assert digests_of(tmp_path / "killed") == digests_of(tmp_path / "quiet")


def _kill_workers(stop: threading.Event, killed: list[int], most: int) -> None:
    while not stop.wait(1.0) and len(killed) < most:
        mine = [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and _is_worker(p)]
        if mine:
            killed.append(mine[len(killed) % len(mine)])
            os.kill(killed[-1], signal.SIGKILL)


def _is_worker(process: Path) -> bool:
    """Say whether this is a Ray actor of ours, made by this very session."""
    try:
        return (process / "cmdline").read_bytes().startswith(b"ray::RayWorker") and _descends(int(process.name))
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False


def _descends(pid: int) -> bool:
    while pid > 1:
        if pid == os.getpid():
            return True
        pid = int((Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    return False


@pytest.mark.parametrize("options", [{"exit_at": 2}, {"hang_at": 2}], ids=str)
def test_an_environment_that_ends_its_worker_fails_alone(tmp_path: Path, ray_cluster: None, options: dict[str, Any]):
    job = {
        "env": COUNTER_ID,
        "agent": "oracle",
        "seeds": "0:40",
        "options": {**options, "only_seeds": [7], "target": 9},
        "budget": {"step_timeout_s": 1},
    }
    report = on_ray(tmp_path, job, 2)
    assert (report.planned, report.failed, report.missing) == (40, 1, 0)
    rows = Counter(e.task.seed for e in episodes_of(tmp_path))
    assert set(rows.values()) == {1}
    assert [e.task.seed for e in episodes_of(tmp_path) if e.failure] == [7]
    assert not list(RunDir(tmp_path).slots.iterdir())


@pytest.mark.parametrize("does", ["kill", "block"])
def test_an_agent_that_ends_its_worker_fails_alone(tmp_path: Path, ray_cluster: None, does: str):
    job = {
        "budget": {"step_timeout_s": 0.5},
        "entry": [
            {"env": COUNTER_ID, "agent": "oracle", "seeds": "0:20", "options": {"step_sleep_s": 0.02}},
            {"env": COUNTER_ID, "agent": {"name": "unruly", "does": does}, "seeds": "0:1"},
        ],
    }
    report = on_ray(tmp_path, job, 2)
    assert (report.planned, report.failed, report.missing) == (21, 1, 0)
    (failed,) = [e for e in episodes_of(tmp_path) if e.failure]
    assert failed.agents[0].name == "unruly"


def test_a_stopped_job_says_so_and_is_resumed_to_the_same_episodes(tmp_path: Path, ray_cluster: None):
    job = {"env": COUNTER_ID, "agent": "random", "seeds": "0:60", "options": {"step_sleep_s": 0.03, "target": 9}}
    interrupted: list[float] = []

    def interrupt(seen: Snapshot) -> None:
        if not interrupted and sum(t.n_episodes for t in seen.tallies) >= 3:
            interrupted.append(seen.elapsed_s)
            os.kill(os.getpid(), signal.SIGINT)

    report = on_ray(tmp_path / "stopped", {**job, "concurrency": 1}, 1, on_update=interrupt)
    assert report.stopped
    assert report.missing > 0
    assert on_ray(tmp_path / "stopped", job, 2).missing == 0
    play(tmp_path / "quiet", job)
    assert digests_of(tmp_path / "stopped") == digests_of(tmp_path / "quiet")


def test_ray_is_imported_by_one_module_alone():
    import subprocess
    import sys

    seen = subprocess.run(
        [sys.executable, "-c", "import trajgen.local, sys; print('ray' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert seen.stdout.strip() == "False"
    assert asyncio.iscoroutinefunction(driver.drive)
