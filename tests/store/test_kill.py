"""Whatever is killed, and between whichever two system calls: nothing lost, nothing doubled, resume exact."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.store import killed
from trajgen.ids import content_digest
from trajgen.store import commits, layout
from trajgen.store.layout import RunDir
from trajgen.store.plan import Plan, cut
from trajgen.store.reader import iter_episodes

REPO = Path(__file__).parents[2]
N_UNITS = 2


def kill_everywhere(root, *arguments):
    root.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "tests.store.killed", str(root), *map(str, arguments)],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [RunDir(root / str(at)) for at in range(int(done.stdout))]


@pytest.fixture(scope="module")
def expected():
    plan = Plan(killed.JOB, killed.JOB.entries, cut(killed.JOB))
    return [content_digest(e) for unit in plan.units[:N_UNITS] for e in killed.rows_of(plan, unit)[0]]


@pytest.fixture(scope="module")
def killed_runs(tmp_path_factory):
    runs = kill_everywhere(tmp_path_factory.mktemp("kills") / "play", "play")
    assert len(runs) > 40  # a hook that is never called would prove nothing
    return runs


def check_whole(run, expected):
    assert [content_digest(e) for e in iter_episodes(run)] == expected
    found = commits.committed(run)
    assert sorted(found) == [p.stem for p in sorted(run.shards.iterdir())]
    assert sum(r.rows for r in found.values()) == len(expected)
    assert all(r.rows + r.tally.n_unneeded == 4 for r in found.values())
    assert list(run.journal.iterdir()) == []
    for folder in (run.plan, run.shards, run.commits):
        assert all(p.suffix in {".json", ".parquet"} for p in folder.iterdir())


def test_a_run_killed_at_any_point_is_finished_exactly_and_replays_nothing_acknowledged(killed_runs, expected):
    for run in killed_runs:
        killed.work(run, "again", N_UNITS)
        check_whole(run, expected)
        acks = Counter((run.path / "acks").read_text().split())
        assert max(acks.values()) == 1
        # each kill happens between the write of one frame and its acknowledgement, so one may be acknowledged never
        assert sum(acks.values()) >= len(expected) - 1


def test_finishing_can_be_killed_at_any_point_too(killed_runs, expected, tmp_path):
    # `killed_runs` may be finished by now: the states are made anew
    states = kill_everywhere(tmp_path / "play", "play")
    for index in range(5, len(states), 15):
        for run in kill_everywhere(tmp_path / f"finish{index}", "finish", states[index].path):
            killed.work(run, "again", N_UNITS)
            check_whole(run, expected)


def test_every_system_call_that_changes_the_disk_is_a_point_to_be_killed_at(tmp_path, monkeypatch):
    steps = []
    monkeypatch.setattr(layout, "after", steps.append)
    killed.work(RunDir(tmp_path), "watched", 1)
    names = Counter(steps)
    assert set(names) == {
        *("open", "flock", "write", "fsync", "link", "unlink", "fsync folder"),
        *("journal open", "journal write", "journal unlink"),
    }
    assert names["link"] == 3  # plan, shard, record
