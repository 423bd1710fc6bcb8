"""Whatever is typed wrongly: exit code 2, one message on stderr with what to do, and no traceback."""

from __future__ import annotations

import pytest

CARTPOLE = "run --env CartPole-v1 --agent random"
FILES = {
    "typo.toml": 'env = "CartPole-v1"\nagent = "random"\nseeds = "0:5"\nbugdet = {}\n',
    "broken.toml": "env = [\n",
    "empty.toml": "",
    "kind.toml": '[backend.m]\nkind = "opnai"\n[[entry]]\nenv = "CartPole-v1"\nagent = "random"\nseeds = "0:5"\n',
    "type.toml": 'env = "CartPole-v1"\nagent = "random"\nseeds = "0:5"\nsamples = "ten"\n',
    "good.toml": 'env = "CartPole-v1"\nagent = "random"\nseeds = "0:2"\nworkers = 0\n',
}
MODULES = {
    "odd_syntax.py": "def (",
    "odd_raise.py": "1 / 0",
    "odd_exit.py": "import sys\nsys.exit(0)",
    "odd_target.py": "import gymnasium\ngymnasium.register('Odd-v0', entry_point='odd_target:Gone')",
}

WRONG = {
    "run typo.toml": ["typo.toml: bugdet: unknown key", "did you mean 'budget'?"],
    "run broken.toml": ["broken.toml: not TOML"],
    "run empty.toml": ["empty.toml: entry: missing", "[[entry]]"],
    "run kind.toml": ["kind.toml: backend.m.kind", "no backend 'opnai'", "did you mean 'openai'?"],
    "run type.toml": ["type.toml: samples: expected a whole number", "found 'ten'"],
    "run tyo.toml": ["tyo.toml: no such file", "did you mean 'typo.toml'?"],
    "run .": ["expected a TOML file, found a folder"],
    "run": ["expected a job file, or --env ID --agent NAME", "trajgen run --env CartPole-v1"],
    "run --env CartPole-v1": ["--agent: missing"],
    "run --agent random": ["--env: missing"],
    "run good.toml -n 5": ["-n", "good.toml is given too", "--set"],
    "run good.toml --set budget.max_step=4": ["budget.max_step: unknown key", "did you mean 'max_steps'?"],
    "run good.toml --set entry.0.seeds": ["--set entry.0.seeds: expected KEY.PATH=VALUE"],
    "run --env CartPol-v1 --agent random": ["no environment 'CartPol-v1'", "'CartPole-v1'?", "trajgen list envs"],
    "run --env no_such_package:X-v0 --agent random": [
        "'no_such_package'",
        "not installed",
        "pip install no_such_package",
    ],
    "run --env CartPole-v1 --agent randm": ["no agent 'randm'", "did you mean 'random'?", "trajgen list agents"],
    "run --env CartPole-v1 --agent oracle": ["'oracle' needs", "`random`"],
    "run --env trajgen/Toolbox-v0 --agent random --options dept=1": ["options.dept: unknown key", "'depth'?"],
    "run --env trajgen/Toolbox-v0 --agent random --options depth=99": ["options.depth", "found 99"],
    "run --env trajgen/Toolbox-v0 --agent random --options depth": ["--options depth: expected KEY=VALUE"],
    f"{CARTPOLE} -n x": ["-n", '"x"', "trajgen run --help"],
    "run --env ..:x --agent random": ["environment '..:x'", "expected 'package.module:Id-v0', found '..'"],
    "run --env :x --agent random": ["expected 'package.module:Id-v0', found ''"],
    "run --env a:b:x --agent random": ["expected 'package.module:Id-v0', found 'a:b'"],
    "run --env odd_syntax:X-v0 --agent random": ["odd_syntax cannot be imported; it raised SyntaxError"],
    "run --env odd_raise:X-v0 --agent random": ["odd_raise cannot be imported; it raised ZeroDivisionError: division"],
    "run --env odd_exit:X-v0 --agent random": ["odd_exit cannot be imported; it raised SystemExit: 0"],
    "run --env odd_target:Odd-v0 --agent random": ["'odd_target:Odd-v0'", "raised AttributeError"],
    f"{CARTPOLE} -n 99999999999999999999": ["-n: expected at most 10,000,000, found 99,999,999,999"],
    f"{CARTPOLE} --seeds 1:999999999": ["seeds: expected at most 10,000,000 seeds, found 999,999,998"],
    f"{CARTPOLE} --workers 99999999999999999999": ["--workers: expected at most 65,536, found '99999"],
    f"{CARTPOLE} --options a=inf": ["options.a: expected a finite number, found inf"],
    f"{CARTPOLE} --options split=test": ["options.split: say `split` beside `options`"],
    f"{CARTPOLE} --set budget.step_timeout_s=inf": ["budget.step_timeout_s: expected a finite number"],
    f"{CARTPOLE} -n 0": ["-n: expected a whole number from 1, found 0"],
    f"{CARTPOLE} -n 5 --seeds 0:5": ["--seeds: -n is given too"],
    f"{CARTPOLE} --seeds 5": ['seeds: expected "FIRST:PAST_LAST"', "found '5'"],
    f"{CARTPOLE} --split trainx": ["split: expected one of train, validation, test", "did you mean 'train'?"],
    f"{CARTPOLE} --max-steps 0": ["budget.max_steps: expected a whole number >= 1, found 0"],
    f"{CARTPOLE} --workers two": ["--workers: expected 'auto' or a whole number from 0, found 'two'"],
    f"{CARTPOLE} --out /proc/nowhere": ["out: cannot make a run in /proc/nowhere"],
    f"{CARTPOLE} --worker 3": ["Unknown option", "--workers", "trajgen run --help"],
    "resume RUNX": ["no run 'RUNX'", "did you mean 'RUN'?"],
    "resume RUN --workers many": ["--workers: expected 'auto'", "found 'many'"],
    "show": ["RUN", "trajgen show --help"],
    "show nope": ["no run 'nope'"],
    "show .": ["no run (it has no plan/)", "trajgen run JOB.toml"],
    "show RUN zz": ["no episode 'zz'", "expected a place (0, 1, ...) or the first characters of an id"],
    "show RUN 0 --failed": ["--failed: EPISODE ('0') is given too"],
    "verify nope": ["no run 'nope'"],
    "verify RUN -n 0": ["-n: expected a whole number from 1", "found 0"],
    "export RUN --to trll --out x": ["no exporter 'trll'", "did you mean 'trl'?", "trajgen list exporters"],
    "export RUN --to trl": ["--out"],
    "export RUN --to trl --out typo.toml": ["--out: expected a folder, found the file typo.toml"],
    "export RUN --to trl --out x --set onlyy=success": ["--set: onlyy: unknown key", "did you mean 'only'?"],
    "export RUN --to trl --out x --set only": ["--set only: expected KEY=VALUE"],
    "export RUN --to trl --out x --as sen": ["--set: as:", "'sen'"],
    "list enves": ["expected one of envs, agents, backends, exporters", "did you mean 'envs'?"],
    "list": ["KIND", "trajgen list --help"],
    "init env Box": ["NAME: expected", "found 'Box'"],
    "init env json": ["a module 'json' already"],
    "init env class": ["a word of Python itself"],
    "init env box --dir RUN": ["--dir: expected a new or empty folder"],
    "int env box": ['Unknown command "int"', '"init"', "trajgen --help"],
}


@pytest.mark.parametrize("words", WRONG)
def test_a_mistake_is_answered_with_what_was_expected_and_what_to_type(cli, tmp_path, small_run, words, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    for name, text in (FILES | MODULES).items():
        (tmp_path / name).write_text(text)
    (tmp_path / "RUN").symlink_to(small_run)
    said = cli(*words.split())
    assert said.code == 2
    assert said.err.startswith("error: ")
    assert said.out == ""
    for expected in WRONG[words]:
        assert expected in said.err


def test_a_second_driver_is_told_who_holds_the_run(cli):
    from pathlib import Path

    from trajgen.store.layout import RunDir
    from trajgen.store.lock import driver_lock

    cli(*CARTPOLE.split(), "-n", 2, "--out", "held")
    with driver_lock(RunDir(Path("held"))):
        said = cli("resume", "held")
    assert said.code == 2
    assert "is already working on this run" in said.err


def test_a_damaged_shard_is_named_with_what_to_do(cli, tmp_path):
    cli(*CARTPOLE.split(), "-n", 2, "--out", "damaged")
    shard = next((tmp_path / "damaged" / "shards").iterdir())
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    said = cli("verify", "damaged")
    assert said.code == 2
    assert str(shard.name) in said.err
    assert "restore this shard" in said.err
