"""`trajgen run` and `trajgen resume`: exit codes, what they say, and that stopping loses nothing."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.calling import Said, command, digests, finished, spawn
from trajgen.cli.output import typed

LONG = ("run", "--env", "FrozenLake-v1", "CartPole-v1", "--agent", "random", "-n", 600, "--out", "long")
"""Several seconds of playing: long enough to be stopped in the middle."""


def wait_until(holds, process: subprocess.Popen, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert process.poll() is None, f"it ended before it could be stopped: {process.communicate()}"
        assert time.monotonic() < deadline, "it did not get so far"
        time.sleep(0.02)


def some_are_committed(run: Path, n: int = 2):
    return lambda: (run / "commits").is_dir() and len(list((run / "commits").glob("*.json"))) >= n


@pytest.fixture(scope="module")
def long_run(tmp_path_factory) -> tuple[Said, dict[str, str]]:
    """What an undisturbed run said, and its digests."""
    folder = tmp_path_factory.mktemp("undisturbed")
    said = finished(spawn(*LONG, "--json", cwd=folder))
    assert said.code == 0, said.err
    return said, digests(folder / "long")


@pytest.fixture
def undisturbed(long_run) -> dict[str, str]:
    return long_run[1]


# ------------------------------------------------------------------------------------- what it says


def test_a_run_without_a_file_is_named_by_what_it_plays_and_ends_with_commands_that_work(cli):
    said = cli("run", "--env", "CartPole-v1", "--agent", "random", "-n", 3)
    assert said.code == 0
    assert "runs/CartPole-v1-random: 3 episodes, in this process" in said.err
    commands = [line.strip() for line in said.out.splitlines() if line.strip().startswith("trajgen ")]
    assert [c.split()[1] for c in commands] == ["show", "show", "verify", "export"]
    for line in commands:
        assert cli(*line.split()[1:]).code == 0


def test_the_name_tells_other_settings_apart_and_is_safe_in_a_file_system(cli):
    first = cli("run", "--env", "gymnasium:CartPole-v1", "--agent", "random", "-n", 1, "--json").json["run"]
    other = cli("run", "--env", "CartPole-v1", "--agent", "random", "-n", 1, "--max-steps", 3, "--json").json["run"]
    assert first == "runs/gymnasium-CartPole-v1-random"
    assert other.startswith("runs/CartPole-v1-random-")


def test_a_table_row_gives_counts_an_interval_and_the_oracles_steps(cli, small_run):
    said = cli("show", small_run)
    (oracle,) = [line for line in said.out.splitlines() if line.startswith("  oracle")]
    assert oracle.split()[1:5] == ["6", "100", "%", "(61-100)"]
    assert "x1.00" in oracle


def test_progress_without_a_terminal_is_a_plain_line_on_stderr(long_run):
    said = long_run[0]
    lines = [line for line in said.err.splitlines() if line.startswith("[")]
    assert lines, said.err
    assert "of 1,200 done, 0 failed, success" in lines[0]
    assert "steps/s" in lines[0]
    assert "\x1b" not in said.err + said.out
    assert said.json["complete"] is True


def test_in_a_terminal_there_are_bars_and_the_cursor_is_given_back(tmp_path):
    reader, writer = pty.openpty()
    words = command("run", "--env", "CartPole-v1", "--agent", "random", "-n", 200)
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=writer) as process:
        os.close(writer)
        seen = b""
        with contextlib.suppress(OSError):  # EIO: the other end was closed
            while chunk := os.read(reader, 65_536):
                seen += chunk
    os.close(reader)
    text = seen.decode()
    assert process.returncode == 0, text
    assert "CartPole-v1 x random" in text
    assert "━" in text
    assert "200/200" in text
    assert text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l")


def test_commands_to_paste_name_the_program_that_was_started(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("sys.argv", [str(tmp_path / ".venv" / "bin" / "trajgen")])
    assert typed("trajgen", "show", "a b") == ".venv/bin/trajgen show 'a b'"
    assert typed("rm", "-r", "x") == "rm -r x"
    monkeypatch.setattr("sys.argv", ["/somewhere/pytest"])
    assert typed("trajgen", "show") == "trajgen show"


def test_json_is_one_document_with_everything_in_it(cli):
    found = cli("run", "--env", "CartPole-v1", "--agent", "random", "-n", 4, "--json").json
    assert (found["planned"], found["committed"], found["missing"], found["complete"]) == (4, 4, 0, True)
    assert found["entries"][0]["env"] == "CartPole-v1"
    assert found["entries"][0]["episodes"] == 4
    assert found["entries"][0]["success_95"][0] == 0.0


# ------------------------------------------------------------------------------------- again


NOISY = """
import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv
print("hello from the import")
class Noisy(CartPoleEnv):
    def step(self, action):
        print("hello from a step")
        return super().step(action)
gymnasium.register("Noisy-v0", entry_point="noisy:Noisy")
"""


def test_what_an_environment_prints_goes_to_stderr_and_leaves_the_document_whole(tmp_path):
    (tmp_path / "noisy.py").write_text(NOISY)
    words = ("--env", "noisy:Noisy-v0", "--agent", "random", "-n", 2, "--out", "run", "--json")
    said = finished(spawn("run", *words, cwd=tmp_path))
    assert said.code == 0, said.err
    assert said.json["committed"] == 2
    assert "hello from the import" in said.err
    assert "hello from a step" in said.err
    verified = finished(spawn("verify", "run", "--json", cwd=tmp_path))
    assert verified.json["checked"] == 2


def test_running_again_plays_nothing_and_says_so(cli):
    words = ("run", "--env", "CartPole-v1", "--agent", "random", "-n", 3)
    cli(*words)
    said = cli(*words)
    assert said.code == 0
    assert "all 3 episodes are there; nothing is missing" in said.out


def test_resuming_a_complete_run_does_not_load_ray(small_run, tmp_path):
    code = (
        "import sys; sys.modules['ray'] = None\n"  # importing it would raise
        "from trajgen.cli import main\n"
        "sys.exit(main(['resume', sys.argv[1], '--workers', 'auto']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, small_run], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "nothing is missing" in done.stdout


def test_a_grown_job_keeps_what_it_has(cli):
    cli("run", "--env", "CartPole-v1", "--agent", "random", "-n", 3)
    before = digests(Path("runs/CartPole-v1-random"))
    said = cli("run", "--env", "CartPole-v1", "--agent", "random", "-n", 5)
    assert "5 episodes (3 are there)" in said.err
    assert before.items() <= digests(Path("runs/CartPole-v1-random")).items()


def test_a_changed_job_is_refused_with_the_difference(cli):
    words = ("run", "--env", "CartPole-v1", "--agent", "random", "-n", 3, "--out", "here")
    cli(*words)
    said = cli(*words, "--max-steps", 7)
    assert said.code == 2
    assert "budget.max_steps: nothing -> 7" in said.err


def test_another_version_is_refused_until_it_is_allowed(cli, monkeypatch):
    cli("run", "--env", "CartPole-v1", "--agent", "random", "-n", 1, "--out", "here")
    monkeypatch.setattr("trajgen.store.plan.engine_version", lambda: "9.9.9")
    refused = cli("resume", "here")
    assert refused.code == 2
    assert "--allow-mixed" in refused.err
    assert cli("resume", "here", "--allow-mixed").code == 0


# ------------------------------------------------------------------------------------- failures


FAILING = (
    "run", "--env", "trajgen-testing/Counter-v0", "--agent", "random", "-n", 3,
    "--options", "raise_at=0", "--out", "failing",
)  # fmt: skip


def test_a_run_with_failed_episodes_is_complete_and_says_how_to_play_them_again(cli):
    said = cli(*FAILING)
    assert said.code == 0
    assert "failed: 3 of trajgen-testing/Counter-v0 x random: env:RuntimeError" in said.out
    assert "trajgen resume failing --retry-failed" in said.err
    listed = cli("show", "failing", "--failed")
    assert listed.out.count("env: RuntimeError: scripted failure") == 3
    assert cli("show", "failing", "--failed", "--json").json["failed"][0]["type"] == "RuntimeError"


def test_retrying_failed_episodes_plays_them_once_more(cli):
    cli(*FAILING)
    said = cli("resume", "failing", "--retry-failed", "--json")
    assert said.code == 0
    assert (said.json["planned"], said.json["failed"], said.json["missing"]) == (3, 3, 0)


def test_an_episode_that_failed_is_told_with_its_cause_and_verifies_as_failed(cli):
    cli(*FAILING)
    told = cli("show", "failing", "0").out
    assert "outcome  failed after 0 steps" in told
    assert "env: RuntimeError: scripted failure" in told
    assert cli("verify", "failing", "--json").json["counts"]["failed"] == 3


def test_an_incomplete_run_says_how_many_are_missing_why_and_what_to_type(cli, tmp_path):
    job = tmp_path / "dead.toml"
    job.write_text(
        """
        workers = 0
        out = "dead"
        [backend.dead]
        kind = "openai"
        base_url = "http://127.0.0.1:9/v1"
        model = "nobody"
        max_retries = 0
        [[entry]]
        env = "trajgen-testing/Counter-v0"
        agent = { name = "llm", backend = "dead" }
        seeds = "0:2"
        """
    )
    said = cli("run", job)
    assert said.code == 1
    assert "not complete: 2 of 2 episodes are missing" in said.err
    assert "backend: " in said.err
    assert "to play them: trajgen resume dead" in said.err
    assert cli("resume", "dead", "--json").json["given_up"]


# ------------------------------------------------------------------------------------- stopped


def test_ctrl_c_stops_cleanly_and_resuming_gives_the_same_episodes(tmp_path, undisturbed):
    process = spawn(*LONG, cwd=tmp_path)
    wait_until(some_are_committed(tmp_path / "long"), process)
    process.send_signal(signal.SIGINT)
    said = finished(process)
    assert said.code == 130, said.err
    assert "of 1,200 episodes are safe; go on with: trajgen resume long" in said.err
    assert "Traceback" not in said.err
    again = finished(spawn("resume", "long", cwd=tmp_path))
    assert again.code == 0, again.err
    assert digests(tmp_path / "long") == undisturbed


def test_a_killed_driver_loses_nothing_either(tmp_path, undisturbed):
    process = spawn(*LONG, cwd=tmp_path)
    wait_until(some_are_committed(tmp_path / "long"), process)
    process.kill()
    process.communicate()
    again = finished(spawn("resume", "long", "--json", cwd=tmp_path))
    assert again.code == 0, again.err
    assert again.json["complete"] is True
    assert digests(tmp_path / "long") == undisturbed


def test_ctrl_c_outside_of_playing_ends_without_a_traceback(tmp_path, small_run):
    # every episode many times over would be too slow to make; a fifo blocks `run` before anything is played
    os.mkfifo(tmp_path / "job.toml")
    process = spawn("run", "job.toml", cwd=tmp_path)
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    said = finished(process)
    assert said.code == 130
    assert "Traceback" not in said.err


def test_a_reader_that_goes_away_is_no_error(small_run, tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    words = command("show", small_run)
    done = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, text=True, cwd=tmp_path, check=False)
    os.close(writer)
    assert done.returncode == 141
    assert done.stderr == ""


# ------------------------------------------------------------------------------------- ray


def test_without_ray_the_message_says_what_to_install_and_how_to_do_without(tmp_path):
    code = (
        "import sys; sys.modules['ray'] = None\n"
        "from trajgen.cli import main\n"
        "sys.exit(main('run --env CartPole-v1 --agent random -n 2 --workers auto'.split()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "pip install 'trajgen[ray]'" in done.stderr
    assert "--workers 0" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.ray
@pytest.mark.xdist_group("ray")
def test_on_ray_the_episodes_are_those_of_this_process(cli, ray_cluster):
    words = ("run", "--env", "CartPole-v1", "--agent", "random", "-n", 40)
    assert cli(*words, "--out", "here").code == 0
    said = cli(*words, "--out", "there", "--workers", 2)
    assert said.code == 0
    assert "2 workers; starting Ray" in said.err
    assert digests(Path("here")) == digests(Path("there"))
