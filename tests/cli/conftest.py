"""What the tests of the command line share: running it here, and a small run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cli.calling import Said, finished, spawn
from trajgen.cli import main

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def cli(capsys, tmp_path, monkeypatch):
    """Run the command line in this process, in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)

    def run(*words) -> Said:
        capsys.readouterr()
        code = main([str(w) for w in words])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return Said(code, out, err)

    return run


@pytest.fixture(scope="session")
def small_run(tmp_path_factory) -> Path:
    """A complete run of two environments and two agents; tests read it and leave it as it is."""
    folder = tmp_path_factory.mktemp("small")
    job = folder / "small.toml"
    job.write_text(
        """
        out = "%s"
        workers = 0
        [[entry]]
        env = "trajgen/Toolbox-v0"
        options = { depth = [1, 2] }
        agent = ["oracle", "random"]
        seeds = "0:6"
        [[entry]]
        env = "CartPole-v1"
        agent = "random"
        seeds = "0:6"
        """
        % (folder / "run")
    )
    said = finished(spawn("run", job, cwd=folder))
    assert said.code == 0, said.err
    return folder / "run"
