"""What starting costs: help and its like load nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cli.calling import command

HEAVY = ("gymnasium", "numpy", "pyarrow", "ray", "aiohttp", "jsonschema_rs", "mujoco")

LOADED = f"""
import sys
from trajgen.cli import main
code = main(sys.argv[1:])
found = [m for m in {HEAVY!r} if m in sys.modules]
sys.stderr.write(" ".join(found))
sys.exit(code)
"""


@pytest.mark.parametrize(
    "words", ["--help", "--version", "", "run --help", "resume --help", "list agents", "list exporters"]
)
def test_it_loads_nothing_heavy(words, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *words.split()], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_help_names_every_verb_and_a_first_command(cli):
    said = cli("--help")
    for word in (
        "run",
        "resume",
        "show",
        "verify",
        "render",
        "export",
        "list",
        "init",
        "doctor",
        "--install-completion",
    ):
        assert word in said.out
    assert "trajgen run --env CartPole-v1 --agent random -n 100" in said.out


@pytest.mark.parametrize("verb", ["run", "resume", "show", "verify", "render", "export", "list", "init env", "doctor"])
def test_every_verb_explains_itself(cli, verb):
    said = cli(*verb.split(), "--help")
    assert said.code == 0
    assert "Usage: trajgen " + verb in said.out


def test_the_version_is_that_of_the_package(cli):
    from importlib.metadata import version

    assert cli("--version").out.strip() == version("trajgen")


def test_completion_can_be_installed_for_a_shell(tmp_path):
    done = subprocess.run(
        command("--install-completion", "--shell", "bash", "--output", tmp_path / "trajgen.bash"),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "SHELL": "/bin/bash"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "trajgen" in (tmp_path / "trajgen.bash").read_text()
