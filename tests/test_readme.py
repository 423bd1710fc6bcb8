"""What the README shows is what happens: its program runs, its episode and its table are what is printed."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from sybil.document import Document
from sybil.parsers.markdown import CodeBlockParser

from trajgen import config

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    document = Document.parse(str(ROOT / "README.md"), CodeBlockParser(language, lambda _: None))
    return [str(example.parsed) for example in document.examples()]


def trajgen(*words: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from trajgen.cli import main; sys.exit(main())", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def shown_after(command: str) -> str:
    """Return what the README prints below `$ command`."""
    (block,) = [b for b in blocks("console") if f"$ {command}" in b]
    return block.partition(f"$ {command}\n")[2].split("\n$ ")[0].strip("\n")


def commands() -> list[str]:
    return [line.removeprefix("$ ") for block in blocks("console") for line in block.splitlines() if line[:2] == "$ "]


def test_the_new_environment_is_twenty_lines_and_plays(tmp_path: Path):
    (program,) = blocks("python")
    code = [line for line in program.splitlines() if line.strip()]
    assert len(code) <= 22, "the README promises 20 lines, imports aside"
    (tmp_path / "guess.py").write_text(program)
    (command,) = [c for c in commands() if "guess:Guess-v0" in c]
    table = trajgen(*command.split()[1:], cwd=tmp_path)
    assert re.search(r"oracle +100 +100 %", table)
    (run,) = (tmp_path / "runs").iterdir()
    assert "200 replay to the bit" in trajgen("verify", str(run), cwd=tmp_path)


def test_the_episode_it_tells_is_what_is_printed(tmp_path: Path):
    play, show = [c for c in commands() if "planner" in c and "Toolbox" in c]
    trajgen(*play.split()[1:], cwd=tmp_path)
    printed = trajgen(*show.split()[1:], cwd=tmp_path)
    told = shown_after(show)
    assert told == "\n".join(line.rstrip() for line in printed.splitlines()).strip("\n")


def test_the_job_it_shows_is_a_job(tmp_path: Path):
    (job,) = [block for block in blocks("toml") if "[[entry]]" in block]
    (tmp_path / "mine.toml").write_text(job)
    assert len(config.load(tmp_path / "mine.toml").entries) == 6


def test_every_file_it_links_to_is_there():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


@pytest.mark.slow
def test_the_table_of_the_quickstart_is_what_is_printed(tmp_path: Path):
    trajgen("run", str(ROOT / "configs/quickstart.toml"), cwd=tmp_path)
    printed = trajgen("show", "runs/quickstart", cwd=tmp_path)
    told = shown_after("trajgen show runs/quickstart")
    assert told.splitlines()[1:] == [line.rstrip() for line in printed.splitlines()][1 : len(told.splitlines())]


def test_every_model_it_shows_can_be_put_into_a_job():
    (text,) = [block for block in blocks("toml") if "[backend.vllm]" in block]
    backends = tomllib.loads(text)["backend"]
    assert set(backends) == {"vllm", "sglang", "ollama", "llamacpp", "openai"}
    for name in backends:
        agent = {"name": "llm", "backend": name}
        job = config.parse({"env": "trajgen/Toolbox-v0", "seeds": "0:1", "agent": agent, "backend": backends})
        assert job.entries[0].agent.backends["backend"].config["base_url"]
