"""`trajgen run`: a job file, or a job made of flags, into a run."""

import re
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from trajgen import config
from trajgen.cli import options as flags
from trajgen.cli.play import How, play
from trajgen.entries import Job
from trajgen.errors import ConfigError
from trajgen.ids import digest
from trajgen.limits import MAX_EPISODES
from trajgen.store.layout import RunDir
from trajgen.types import Json

_DEFAULT_N = 10
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_MAX_NAME = 90

JobArg = Annotated[str | None, Parameter(name="JOB", help="A TOML file.")]
Names = Annotated[list[str] | None, Parameter(negative="", consume_multiple=True)]


def run(
    job: JobArg = None,
    /,
    *,
    env: Annotated[Names, Parameter(name="--env", help="Without a job file: environment ids.")] = None,
    agent: Annotated[Names, Parameter(name="--agent", help="Without a job file: agents.")] = None,
    episodes: Annotated[
        int | None, Parameter(name=["--episodes", "-n"], help="Without a job file: how many, seeds 0 to N-1; 10.")
    ] = None,
    seeds: Annotated[str | None, Parameter(name="--seeds", help="Without a job file: FIRST:PAST_LAST.")] = None,
    options: Annotated[Names, Parameter(name="--options", help="Without a job file: KEY=VALUE for the reset.")] = None,
    split: Annotated[str | None, Parameter(name="--split", help="Without a job file: train, validation, test.")] = None,
    max_steps: Annotated[int | None, Parameter(name="--max-steps", help="Without a job file: most calls.")] = None,
    set_: flags.Sets = None,
    workers: flags.Workers = None,
    out: Annotated[str | None, Parameter(name="--out", help="The run's folder; runs/NAME without it.")] = None,
    allow_mixed: flags.AllowMixed = False,
    address: flags.Address = None,
    as_json: flags.AsJson = False,
) -> int:
    """Play a job file, or an environment and an agent named here, into a run.

    A run that is there already is resumed, or grown where the job asks for more. Without a job file it is played in
    this process unless --workers says otherwise.
    """
    tables: dict[str, Json] = {
        "env": env,
        "agent": agent,
        "seeds": seeds if episodes is None else f"0:{episodes}",
        "split": split,
        "budget": None if max_steps is None else {"max_steps": max_steps},
    }
    given = {key: value for key, value in tables.items() if value is not None}
    if options:
        given["options"] = flags.read_settings("--options", options)
    if job is None and set_ and "=" not in set_[-1]:
        job = set_.pop()  # `--set a=1 JOB.toml`: a word without `=` can only be the file
    if job is None:
        _check_count(episodes, seeds)
        found = _ad_hoc(given, set_ or [])
    else:
        _no_ad_hoc(job, list(given))
        found = config.load(Path(job), set_ or ())
    if workers is not None:
        found = msgspec.structs.replace(found, workers=flags.read_workers(workers))
    if out is not None:
        found = msgspec.structs.replace(found, out=out)
    return play(RunDir.of(found).path, found, How(allow_mixed=allow_mixed, address=address, as_json=as_json))


def _check_count(episodes: int | None, seeds: str | None) -> None:
    if episodes is not None and seeds is not None:
        raise ConfigError("--seeds: -n is given too; expected one of them, since -n 100 means --seeds 0:100")
    if episodes is not None and episodes < 1:
        raise ConfigError(f"-n: expected a whole number from 1, found {episodes}")
    if episodes is not None and episodes > MAX_EPISODES:
        raise ConfigError(f"-n: expected at most {MAX_EPISODES:,}, found {episodes:,}")


def _no_ad_hoc(job: str, given: list[str]) -> None:
    if given:
        flag = {"seeds": "--seeds or -n", "budget": "--max-steps"}.get(given[0], f"--{given[0]}")
        raise ConfigError(
            f"{flag}: {job} is given too, which says that itself; expected one of them; "
            "to change a key of the file: --set KEY.PATH=VALUE"
        )


def _ad_hoc(given: dict[str, Json], overrides: list[str]) -> Job:
    """Make a job of flags; its name says the environment and the agent, and tells other settings apart."""
    for key in ("env", "agent"):
        if key not in given:
            what = "a job file, or --env ID --agent NAME"
            raise ConfigError(f"{f'--{key}: missing; ' if given else ''}expected {what}; e.g. {_EXAMPLE}")
    data = {"seeds": f"0:{_DEFAULT_N}", "workers": 0, **given}
    return config.parse({**data, "name": _name(given, overrides)}, overrides)


_EXAMPLE = "trajgen run --env CartPole-v1 --agent random -n 100"


def _name(given: dict[str, Json], overrides: list[str]) -> str:
    plain = _UNSAFE.sub("-", "-".join([*given["env"], *given["agent"]])).strip("-._")[:_MAX_NAME] or "job"
    shaping = [{key: given[key] for key in ("options", "split", "budget") if key in given}, sorted(overrides)]
    if not any(shaping):
        return plain
    return f"{plain}-{digest(*shaping)[:6]}"
