"""Running the command line as a process of its own, and what it answered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trajgen.ids import content_digest
from trajgen.store.layout import RunDir
from trajgen.store.reader import iter_episodes

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


def command(*words) -> list[str]:
    return [sys.executable, "-c", "import sys; from trajgen.cli import main; sys.exit(main())", *map(str, words)]


def spawn(*words, cwd: Path, **more) -> subprocess.Popen:
    """Start the command line as a process of its own, without a terminal."""
    env = {**os.environ, "COLUMNS": "80"}
    pipe = subprocess.PIPE
    return subprocess.Popen(command(*words), cwd=cwd, env=env, stdout=pipe, stderr=pipe, text=True, **more)


def finished(process: subprocess.Popen, timeout_s: float = 120) -> Said:
    out, err = process.communicate(timeout=timeout_s)
    return Said(process.returncode, out, err)


def digests(run: Path) -> dict[str, str]:
    """Content digests of a run by episode id; fails where an episode is there twice."""
    rows = [(e.episode_id, content_digest(e)) for e in iter_episodes(RunDir(run))]
    assert len(dict(rows)) == len(rows)
    return dict(rows)
