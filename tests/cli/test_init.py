"""`trajgen init env`: what it writes is really installed, tested and played."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest


def test_it_says_what_it_wrote_and_what_to_type(cli, tmp_path):
    said = cli("init", "env", "box-world")
    assert said.code == 0
    assert (tmp_path / "box-world" / "src" / "box_world" / "env.py").exists()
    assert "pip install -e ./box-world" in said.out
    assert "--env box-world/BoxWorld-v0" in said.out
    assert not [p for p in (tmp_path / "box-world").rglob("*") if p.is_file() and "@" in p.read_text()]


def test_it_never_writes_over_anything(cli):
    cli("init", "env", "box-world")
    said = cli("init", "env", "box-world")
    assert said.code == 2
    assert "expected a new or empty folder" in said.err


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A package as `init` wrote it, installed where only these tests look."""
    folder = tmp_path_factory.mktemp("init")

    def run(*words):
        env = {**os.environ, "PYTHONPATH": str(folder / "site")}
        done = subprocess.run(
            [sys.executable, *words], capture_output=True, text=True, cwd=folder, env=env, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    trajgen = ("-c", "import sys; from trajgen.cli import main; sys.exit(main())")
    run(*trajgen, "init", "env", "box-world")
    pip = ("-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index", "--target", "site")
    run(*pip, "./box-world")
    return lambda *words: run(*trajgen, *words), run


def test_the_new_environment_is_listed(installed):
    trajgen, _ = installed
    (found,) = [e for e in json.loads(trajgen("list", "envs", "--json"))["envs"] if e["name"].startswith("box-world/")]
    assert found["summary"] == "Put two boxes on their shelves."
    assert found["source"] == "box-world 0.1.0"


def test_its_contract_test_passes(installed):
    _, run = installed
    assert "passed" in run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "box-world")


def test_it_is_played_and_its_episodes_replay(installed):
    trajgen, _ = installed
    words = ("--env", "box-world/BoxWorld-v0", "--agent", "oracle", "random", "-n", "5", "--out", "run", "--json")
    oracle, chance = json.loads(trajgen("run", *words))["entries"]
    assert (oracle["successes"], oracle["steps_to_oracle"]) == (5, 1.0)
    assert chance["mean_steps"] > oracle["mean_steps"]
    assert json.loads(trajgen("verify", "run", "--json"))["counts"]["replays"] == 10
