"""Whole jobs in this process: nothing lost, nothing doubled, whatever happens between two runs of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from jobs import digests_of, episodes_of, play
from trajgen import config, driver
from trajgen.driver import preflight
from trajgen.errors import ConfigError, DamagedRun, MissingExtra, RunConflict, UnknownName
from trajgen.store.layout import RunDir
from trajgen.testing.fakes import COUNTER_ID

GUESS = "counting/Guess-v0"
MIXED = {
    "entry": [
        {"env": COUNTER_ID, "agent": ["oracle", "random"], "seeds": "0:20"},
        {"env": GUESS, "agent": ["planner"], "seeds": "0:10", "samples": 2},
        {"env": "CartPole-v1", "agent": "random", "seeds": "0:5"},
    ]
}
N_MIXED = 65


def test_every_planned_episode_is_committed_once(tmp_path: Path):
    report = play(tmp_path, MIXED)
    assert (report.planned, report.committed, report.missing) == (N_MIXED, N_MIXED, 0)
    ids = Counter(e.episode_id for e in episodes_of(tmp_path))
    assert len(ids) == N_MIXED
    assert set(ids.values()) == {1}


def test_the_same_job_twice_gives_the_same_digests(tmp_path: Path):
    play(tmp_path / "a", MIXED)
    play(tmp_path / "b", {**MIXED, "concurrency": 1})
    assert digests_of(tmp_path / "a") == digests_of(tmp_path / "b")


def test_a_finished_job_has_nothing_left_to_play(tmp_path: Path):
    play(tmp_path, MIXED)
    before = {p: p.stat().st_mtime_ns for p in RunDir(tmp_path).shards.iterdir()}
    report = play(tmp_path, MIXED)
    assert report.missing == 0
    assert {p: p.stat().st_mtime_ns for p in RunDir(tmp_path).shards.iterdir()} == before


def test_a_grown_job_keeps_its_episodes_and_plays_only_the_new_ones(tmp_path: Path):
    small = {"env": COUNTER_ID, "agent": "oracle", "seeds": "0:5"}
    play(tmp_path, small)
    first = digests_of(tmp_path)
    report = play(tmp_path, {**small, "seeds": "0:9"})
    assert report.planned == 9
    assert set(first) < set(digests_of(tmp_path))


def test_a_changed_job_is_refused_with_the_difference(tmp_path: Path):
    job = {"env": COUNTER_ID, "agent": "oracle", "seeds": "0:3", "budget": {"max_steps": 30}}
    play(tmp_path, job)
    with pytest.raises(RunConflict, match=r"max_steps: 30 -> 40"):
        play(tmp_path, {**job, "budget": {"max_steps": 40}})


def test_trials_are_played_in_order_with_memory_and_stop_at_the_first_success(tmp_path: Path):
    agent = {"name": "halving", "patience": 3}
    report = play(tmp_path, {"env": GUESS, "agent": agent, "seeds": "0:20", "trials": 4})
    assert report.planned == 80
    assert report.missing == 0
    assert report.unneeded > 0
    by_task: dict[str, list[Any]] = {}
    for episode in sorted(episodes_of(tmp_path), key=lambda e: e.trial):
        by_task.setdefault(episode.group_id, []).append(episode)
    assert len(by_task) == 20
    for trials in by_task.values():
        assert [t.trial for t in trials] == list(range(len(trials)))
        assert [t.memory_in for t in trials[1:]] == [t.reflection for t in trials[:-1]]
        assert [t.outcome.success for t in trials[:-1]] == [False] * (len(trials) - 1)


def test_a_failed_episode_is_a_row_and_is_played_again_only_when_asked(tmp_path: Path):
    once = str(tmp_path / "once")
    Path(once).mkdir()
    options = {"raise_at": 2, "only_seeds": [3], "once_in": once, "target": 9}
    job = {"env": COUNTER_ID, "agent": "oracle", "seeds": "0:6", "options": options}
    report = play(tmp_path / "run", job)
    assert (report.committed, report.failed, report.missing) == (5, 1, 0)
    assert play(tmp_path / "run", job).failed == 1
    report = play(tmp_path / "run", job, retry_failed=True)
    assert (report.planned, report.committed, report.failed, report.missing) == (6, 6, 0, 0)
    assert play(tmp_path / "run", job).failed == 0


def test_a_wrapper_named_in_the_job_is_around_the_environment_and_in_the_record(tmp_path: Path):
    play(tmp_path, {"env": GUESS, "agent": "oracle", "seeds": "0:1", "wrappers": ["shouting"]})
    (episode,) = episodes_of(tmp_path)
    assert episode.task.wrappers == ("shouting",)
    assert episode.reset.observation.text == "I THINK OF A NUMBER FROM 1 TO 100. GUESS IT."
    assert episode.outcome.success is True


def test_a_provider_that_is_down_leaves_episodes_missing_and_never_a_sample(tmp_path: Path):
    backend = {"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m", "max_retries": 0}
    job = {"env": COUNTER_ID, "agent": {"name": "llm", "backend": "b"}, "backend": {"b": backend}, "seeds": "0:2"}
    report = play(tmp_path, job)
    assert (report.committed, report.failed, report.missing) == (0, 0, 2)
    assert all(why.startswith("backend:") for why in report.given_up.values())
    assert episodes_of(tmp_path) == []


def test_an_option_the_environment_does_not_have_stops_the_job_with_its_path():
    job = config.parse({"env": COUNTER_ID, "agent": "oracle", "seeds": "0:2", "options": {"targt": 3}})
    with pytest.raises(ConfigError, match=r"options\.targt: unknown key; did you mean 'target'"):
        preflight(job)


def test_an_unknown_environment_is_refused_with_the_nearest_name():
    with pytest.raises(UnknownName, match="did you mean 'CartPole-v1'"):
        preflight(config.parse({"env": "CartPol-v1", "agent": "random", "seeds": "0:2"}))


def test_an_agent_that_needs_an_oracle_is_refused_where_there_is_none():
    with pytest.raises(ConfigError, match="'oracle' needs an environment with oracle, and CartPole-v1 has none"):
        preflight(config.parse({"env": "CartPole-v1", "agent": "oracle", "seeds": "0:2"}))


def test_a_package_that_is_not_installed_is_named_with_what_to_type():
    with pytest.raises(MissingExtra, match="pip install nosuchpackage"):
        preflight(config.parse({"env": "nosuchpackage:Foo-v0", "agent": "random", "seeds": "0:2"}))


# ------------------------------------------------------------------------------- processes that end

_SCRIPT = """
import json, sys
from pathlib import Path
from trajgen import config, driver, local
job = config.parse(json.loads(sys.argv[2]))
with driver.prepared(Path(sys.argv[1]), job) as prepared:
    report = local.run(prepared, job.concurrency, lambda s: None)
sys.exit(0 if report.missing == 0 else 1)
"""


def in_process(path: Path, job: dict[str, Any], timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    import json

    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_SCRIPT), str(path), json.dumps(job)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def until_done(path: Path, job: dict[str, Any], most: int = 8) -> list[int]:
    codes = []
    for _ in range(most):
        codes.append(in_process(path, job).returncode)
        if codes[-1] == 0:
            return codes
    raise AssertionError(f"not done after {most} tries: {codes}")


def test_a_hanging_environment_ends_the_process_naming_the_episode_and_fails_alone(tmp_path: Path):
    job = {
        "env": COUNTER_ID,
        "agent": "oracle",
        "seeds": "0:12",
        "options": {"hang_at": 2, "only_seeds": [4], "target": 9},
        "budget": {"step_timeout_s": 0.5},
    }
    first = in_process(tmp_path, job)
    assert first.returncode == 75
    assert "did not return within its time" in first.stderr
    codes = until_done(tmp_path, job)
    assert codes == [75, 75, 75, 0]
    rows = {e.task.seed: e for e in episodes_of(tmp_path)}
    assert len(rows) == 12
    assert [s for s, e in rows.items() if e.failure] == [4]
    assert rows[4].failure is not None
    assert (rows[4].failure.boundary, rows[4].failure.type) == ("env", "Hang")


@pytest.mark.parametrize("options", [{"exit_at": 2}, {"exit_at": 0}, {"hold_gil_at": 1}], ids=str)
def test_a_crashing_environment_fails_no_healthy_episode(tmp_path: Path, options: dict[str, Any]):
    job = {
        "env": COUNTER_ID,
        "agent": "oracle",
        "seeds": "0:12",
        "options": {**options, "only_seeds": [4], "target": 9},
        "budget": {"step_timeout_s": 0.5},
    }
    until_done(tmp_path, job)
    rows = {e.task.seed: e for e in episodes_of(tmp_path)}
    assert len(rows) == 12
    assert [s for s, e in rows.items() if e.failure] == [4]
    assert not list(RunDir(tmp_path).slots.iterdir())


def test_an_environment_that_crashed_once_is_played_to_its_end_the_next_time(tmp_path: Path):
    once = tmp_path / "once"
    once.mkdir()
    job = {
        "env": COUNTER_ID,
        "agent": "oracle",
        "seeds": "0:12",
        "options": {"exit_at": 2, "only_seeds": [4, 5], "once_in": str(once), "target": 9},
    }
    until_done(tmp_path / "run", job)
    assert all(e.failure is None for e in episodes_of(tmp_path / "run"))


@pytest.mark.parametrize(("does", "type_"), [("sysexit", "SystemExit"), ("nothing", "TypeError")])
def test_an_agent_that_exits_or_returns_no_turn_fails_only_its_own_episodes(tmp_path: Path, does: str, type_: str):
    healthy = {"env": COUNTER_ID, "agent": "oracle", "seeds": "0:10"}
    unruly = {"env": COUNTER_ID, "agent": {"name": "unruly", "does": does}, "seeds": "0:2"}
    job = {"entry": [healthy, unruly]}
    assert in_process(tmp_path, job).returncode == 0
    failed = [e for e in episodes_of(tmp_path) if e.failure]
    assert len(episodes_of(tmp_path)) == 12
    assert {(e.agents[0].name, e.failure.boundary, e.failure.type) for e in failed if e.failure} == {
        ("unruly", "agent", type_)
    }


def test_an_agent_that_waits_for_ever_is_stopped_at_the_deadline(tmp_path: Path):
    agent = {"name": "unruly", "does": "wait"}
    play(tmp_path, {"env": COUNTER_ID, "agent": agent, "seeds": "0:2", "budget": {"episode_timeout_s": 0.3}})
    assert [e.outcome.stop_reason for e in episodes_of(tmp_path)] == ["deadline", "deadline"]


def test_an_agent_that_blocks_everything_ends_the_process_and_says_so(tmp_path: Path):
    agent = {"name": "unruly", "does": "block"}
    job = {"env": COUNTER_ID, "agent": agent, "seeds": "0:1", "budget": {"step_timeout_s": 0.5}}
    done = in_process(tmp_path, job)
    assert done.returncode == 75
    assert "an agent did not return within its time" in done.stderr


@pytest.mark.parametrize("wait_s", [0.4, 0.8, 1.2])
def test_a_driver_that_is_killed_loses_nothing(tmp_path: Path, wait_s: float):
    import json
    import time

    job = {"env": COUNTER_ID, "agent": "random", "seeds": "0:60", "options": {"step_sleep_s": 0.004, "target": 9}}
    process = subprocess.Popen([sys.executable, "-c", _SCRIPT, str(tmp_path / "killed"), json.dumps(job)])
    deadline = time.monotonic() + 30
    while not (tmp_path / "killed" / "plan").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(wait_s)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    until_done(tmp_path / "killed", job)
    play(tmp_path / "quiet", job)
    assert digests_of(tmp_path / "killed") == digests_of(tmp_path / "quiet")
    assert len(digests_of(tmp_path / "quiet")) == 60


def test_a_server_that_refuses_the_key_stops_the_job_with_what_to_check(tmp_path: Path):
    from trajgen.testing.server import serve, status

    with serve(lambda _: "hello", faults=[status(401)] * 200) as server:
        backend = {"kind": "openai", "base_url": server.base_url, "model": "m"}
        agent = {"name": "llm", "backend": "b"}
        report = play(tmp_path, {"env": COUNTER_ID, "agent": agent, "backend": {"b": backend}, "seeds": "0:100"})
        assert server.n_requests <= 100
    assert report.refused is not None
    assert "HTTP 401" in report.refused
    assert "api_key_env" in report.refused
    assert (report.committed, report.failed) == (0, 0)


def test_two_workers_that_hold_one_unit_commit_it_once(tmp_path: Path):
    import asyncio

    from trajgen import driver
    from trajgen.dispatch import Lease
    from trajgen.worker import Worker

    job = config.parse({"env": COUNTER_ID, "agent": "random", "seeds": "0:6"})

    async def both(prepared: driver.Prepared) -> list[Any]:
        units = prepared.plan.units
        workers = [Worker(prepared.run, f"w{i}", 8, prepared.git) for i in range(2)]
        reports = await asyncio.gather(*(w.play(Lease(f"{w.name}-1", units)) for w in workers))
        for worker in workers:
            await worker.close()
        return [[u.tally for u in report.units] for report in reports]

    with driver.prepared(tmp_path / "twice", job) as prepared:
        one, two = asyncio.run(both(prepared))
    assert one == two
    assert None not in one
    play(tmp_path / "once", {"env": COUNTER_ID, "agent": "random", "seeds": "0:6"})
    assert digests_of(tmp_path / "twice") == digests_of(tmp_path / "once")
    assert not list(RunDir(tmp_path / "twice").journal.iterdir())


def test_retrying_failed_episodes_twice_plays_them_once_a_time(tmp_path: Path):
    job = {"env": COUNTER_ID, "agent": "oracle", "seeds": "0:4", "options": {"raise_at": 2, "target": 9}}
    assert play(tmp_path, job).failed == 4
    with driver.prepared(tmp_path, config.parse(job), retry_failed=True) as prepared:
        n_units = len(prepared.plan.units)
    with driver.prepared(tmp_path, config.parse(job), retry_failed=True) as prepared:
        assert len(prepared.plan.units) == n_units
    report = play(tmp_path, job)
    assert (report.planned, report.failed, report.missing) == (4, 4, 0)


def test_a_plan_file_that_is_gone_is_noticed_before_anything_is_lost(tmp_path: Path):
    small = {"env": COUNTER_ID, "agent": "oracle", "seeds": "0:3"}
    play(tmp_path, small)
    play(tmp_path, {**small, "seeds": "0:6"})
    (RunDir(tmp_path).plan / "00001.json").unlink()
    with pytest.raises(DamagedRun, match="belong to no unit of the plan"):
        play(tmp_path, small)
