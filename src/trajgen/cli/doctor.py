"""`trajgen doctor`: what is installed, what is missing and what to type. Starts nothing unless it is asked to."""

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from cyclopts import Parameter

from trajgen import registry
from trajgen.cli import INCOMPLETE, OK, output
from trajgen.cli import options as flags
from trajgen.cli.listing import installed, listed, missing_of_extra
from trajgen.errors import ConfigError, TrajgenError

State = Literal["ok", "missing", "broken"]
_EXTRAS = {
    "ray": "playing on every core and on clusters",
    "mujoco": "the tabletop and gymnasium's MuJoCo environments",
    "grid": "MiniGrid and BabyAI",
    "plot": "plots of `trajgen show RUN --by ... --plot FILE`",
    "pictures": "films of `trajgen render` as WebP or GIF",
    "video": "films of `trajgen render` as mp4",
    "local": "models in this process",
    "learn": "training the tabletop's learned affordances",
}
_GIB = 2**30
_LITTLE_DISK = 1 * _GIB
_REQUIREMENT = re.compile(r"^[A-Za-z0-9._-]+")


class Finding(NamedTuple):
    """One thing that was looked at.

    Attributes:
        state: `missing` can be done without; `broken` cannot.
        advice: What to type; None where nothing is to be done.
    """

    what: str
    state: State
    found: str
    advice: str | None = None


def doctor(
    *,
    full: Annotated[
        bool,
        Parameter(name="--full", negative="", show_default=False, help="Make every environment and start Ray; ~30 s."),
    ] = False,
    endpoint: Annotated[
        str | None, Parameter(name="--endpoint", help="Instead: what works at this server, e.g. http://HOST:8000/v1.")
    ] = None,
    model: Annotated[
        str | None, Parameter(name="--model", help="With --endpoint: which model; else its first.")
    ] = None,
    api_key_env: Annotated[
        str | None,
        Parameter(name="--api-key-env", help="With --endpoint: the environment variable that holds the key."),
    ] = None,
    as_json: flags.AsJson = False,
) -> int:
    """Say what is installed, what is missing and what to type.

    The exit code is 1 where something is broken that trajgen cannot do without.
    """
    if endpoint is None and (model or api_key_env):
        raise ConfigError("--endpoint: missing; --model and --api-key-env say how to ask one")
    findings = list(examine(full=full)) if endpoint is None else _endpoint(endpoint, model, api_key_env)
    if as_json:
        output.say_json({"ok": not _broken(findings), "findings": [f._asdict() for f in findings]})
    else:
        _tell(findings)
    return INCOMPLETE if _broken(findings) else OK


def _endpoint(url: str, model: str | None, api_key_env: str | None) -> list[Finding]:
    from trajgen.cli.endpoint import probed  # aiohttp

    states: dict[bool | None, State] = {True: "ok", None: "ok", False: "missing"}
    return [
        Finding(p.what, "broken" if p.what == "chat" and not p.works else states[p.works], p.found, p.advice)
        for p in probed(url, model, api_key_env)
    ]


def _broken(findings: list[Finding]) -> bool:
    return any(f.state == "broken" for f in findings)


def examine(*, full: bool) -> Iterator[Finding]:
    """Look at everything, one after the other."""
    yield Finding("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield from _packages()
    yield from _extras()
    yield _processors()
    yield from _disk(Path.cwd())
    yield _git()
    yield from _plug_ins()
    if full:
        yield from _environments()
        yield _ray()


def _packages() -> Iterator[Finding]:
    version = installed("trajgen")
    if version is None:
        yield Finding("trajgen", "broken", "not installed as a package", "pip install -e . in its checkout")
        return
    yield Finding("trajgen", "ok", version)
    for requirement in importlib.metadata.requires("trajgen") or ():
        name = _REQUIREMENT.match(requirement)
        if name is None or "extra ==" in requirement:
            continue
        found = installed(name[0])
        yield Finding(
            name[0], "ok" if found else "broken", found or "missing", None if found else "pip install trajgen"
        )


def _extras() -> Iterator[Finding]:
    for extra, what_for in _EXTRAS.items():
        missing = missing_of_extra("trajgen", extra)
        if missing:
            advice = f"pip install 'trajgen[{extra}]'"
            yield Finding(f"extra {extra}", "missing", f"no {', '.join(missing)}; it is for {what_for}", advice)
        else:
            yield Finding(f"extra {extra}", "ok", what_for)


def _processors() -> Finding:
    n_cpus = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / _GIB
    return Finding("machine", "ok", f"{n_cpus} CPUs, {memory:.1f} GiB of memory")


def _disk(folder: Path) -> Iterator[Finding]:
    """Try what a run needs of a disk: to write, and hard links."""
    free = shutil.disk_usage(folder).free
    size = f"{free / _GIB:.1f} GiB free"
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".trajgen-doctor-") as made:
            (Path(made) / "a").write_bytes(b"x")
            os.link(Path(made) / "a", Path(made) / "b")
    except OSError as error:
        advice = "cd to a folder you can write to, on a disk with hard links, or --out FOLDER"
        yield Finding("disk here", "missing", f"{folder}: {error.strerror}", advice)
        return
    little = "free some space, or --out FOLDER on another disk" if free < _LITTLE_DISK else None
    yield Finding("disk here", "missing" if little else "ok", f"writable, has hard links, {size}", little)


def _git() -> Finding:
    git = shutil.which("git")
    if git is None:
        return Finding("git", "missing", "not found; rows will not say which commit they came from", "install git")
    done = subprocess.run([git, "--version"], capture_output=True, text=True, check=False)  # noqa: S603 - what `which` found
    return Finding("git", "ok", done.stdout.strip().removeprefix("git version ") or "found")


def _plug_ins() -> Iterator[Finding]:
    for kind in ("envs", "agents", "backends", "exporters"):
        found = listed(kind)
        wanting = [item for item in found if item.needs]
        yield Finding(kind, "ok", f"{len(found)}: {', '.join(item.name for item in found)}")
        for item in wanting:
            yield Finding(item.name, "missing", "not usable yet", item.needs)


def _environments() -> Iterator[Finding]:
    from trajgen.wrappers.making import make  # gymnasium

    for env_id in (*registry.plug_ins("envs"), "CartPole-v1"):
        try:
            make(env_id).close()
        except TrajgenError as error:
            yield Finding(f"make {env_id}", "missing", output.one_line(str(error)))
        else:
            yield Finding(f"make {env_id}", "ok", "it can be made")


def _ray() -> Finding:
    """Play four episodes on Ray, in a folder of their own."""
    from trajgen import config
    from trajgen.driver import prepared

    job = config.parse({"env": "CartPole-v1", "agent": "random", "seeds": "0:4", "workers": 1})
    with tempfile.TemporaryDirectory(prefix="trajgen-doctor-") as folder, prepared(Path(folder) / "run", job) as made:
        try:
            from trajgen import distributed

            report = distributed.run(made, 1, 4, lambda _: None)
        except (TrajgenError, OSError, RuntimeError) as error:
            return Finding("ray starts", "missing", output.one_line(str(error)), "--workers 0 does without")
    state: State = "missing" if report.missing else "ok"
    return Finding("ray starts", state, f"played {report.committed} of {report.planned} episodes")


def _tell(findings: list[Finding]) -> None:
    from rich.table import Table
    from rich.text import Text

    styles = {"ok": "green", "missing": "yellow", "broken": "bold red"}
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        said = Text(output.one_line(finding.found, 400))
        if finding.advice:
            said.append(f"\ntype: {output.one_line(finding.advice)}", styles[finding.state])
        table.add_row(Text(finding.state, styles[finding.state]), Text(output.one_line(finding.what)), said)
    output.say_rich(table)
    wanting = sum(f.state != "ok" for f in findings)
    output.say("everything is there" if not wanting else f"{wanting} of {len(findings)} are not there")
