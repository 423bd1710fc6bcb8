"""Plays a small run and dies by SIGKILL behind the k-th system call that changes the disk, for every k.

    python -m tests.store.killed ROOT play            ROOT/<k>: a run killed at k, until one lives to its end
    python -m tests.store.killed ROOT finish FROM     ROOT/<j>: a copy of the run FROM, killed at j while it is finished

A process of its own, so that it has one thread and may fork. Prints how many runs it made, the last one undisturbed.
"""

import os
import shutil
import signal
import sys
from pathlib import Path

from tests.store.fakes import entry, job, play
from trajgen.store import commits, journal, layout, shards
from trajgen.store.journal import Journal
from trajgen.store.layout import RunDir
from trajgen.store.plan import open_plan, read_plan

JOB = job(entry(range(64), trials=2))  # 32 units of 2 items; two of them are played


def rows_of(plan, unit):
    """Return what a worker makes of a unit: the second trial of every even seed was not needed."""
    rows = [e for e in play(plan, unit, n_steps=1) if e.trial == 0 or e.task.seed % 2]
    return rows, sorted({key.episode_id for key in plan.keys(unit)} - {e.episode_id for e in rows})


def work(run, lease, n_units):
    """Play, or finish, the first units of the run; note every episode that was played and acknowledged."""
    open_plan(run, JOB, allow_mixed=False)
    plan = read_plan(run)
    commits.recover(run, plan)
    acks = os.open(run.path / "acks", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for unit in [u for u in plan.missing(commits.committed(run)) if u in plan.units[:n_units]]:
        rows, unneeded = rows_of(plan, unit)
        before = journal.read(run, unit.id)
        with Journal(run, unit.id, lease) as log:
            for episode in rows:
                if episode.episode_id not in before.episodes:
                    log.append(episode)
                    os.write(acks, f"{episode.episode_id}\n".encode())
            for episode_id in unneeded:
                log.append_unneeded(episode_id)
        now = journal.read(run, unit.id)
        commits.commit(run, unit, list(now.episodes.values()), sorted(now.unneeded))
        journal.discard(run, unit.id)


def killer(at):
    left = iter(range(at))

    def after(step):
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    return after


def main(root, mode, source=None):
    shards.encode("warm", "up", [], [])  # what is slow the first time is done before the forks
    at = 0
    while True:
        run = RunDir(root / str(at))
        if source is None:
            run.path.mkdir()
        else:
            shutil.copytree(source, run.path)
        child = os.fork()
        if child == 0:
            layout.after = killer(at)
            work(run, f"{mode}{at}", 2)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code not in (0, -signal.SIGKILL):
            raise SystemExit(f"at {at}: exit code {code}")
        at += 1
        if code == 0:
            break
    sys.stdout.write(str(at))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
