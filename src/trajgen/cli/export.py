"""`trajgen export`: a run in the format of a trainer. Knows no format; says what was left out and what is lost."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from trajgen import registry
from trajgen.cli import OK, output
from trajgen.cli import options as flags
from trajgen.cli.progress import counting
from trajgen.errors import ConfigError
from trajgen.export.best import LEFT_OUT, best_of
from trajgen.protocols import ExportReport
from trajgen.store import reader
from trajgen.store.layout import RunDir
from trajgen.strict import convert
from trajgen.types import Episode, Json

# hidden, so that a loader of the whole folder takes no notice of it
_MARK = ".trajgen-export.json"


class _Mark(msgspec.Struct, frozen=True):
    """What an export left behind, so that it can be made again in the same place."""

    exporter: str
    run: str
    files: tuple[str, ...]


def export(
    run: flags.RunArg,
    /,
    *,
    to: Annotated[str, Parameter(name="--to", help="The format; `trajgen list exporters` shows all.")],
    out: Annotated[str, Parameter(name="--out", help="A folder that is new or empty, or holds this very export.")],
    set_: Annotated[
        list[str] | None,
        Parameter(name="--set", negative="", consume_multiple=True, help="An option of the format: KEY=VALUE."),
    ] = None,
    as_: Annotated[
        str | None, Parameter(name="--as", help="'seen' or 'canonical' messages: short for --set as=VALUE.")
    ] = None,
    feedback: Annotated[
        str | None,
        Parameter(
            name="--feedback",
            help="Show these channels instead of those the agent was shown: object,scene, or none. Honest for agents "
            "that read no feedback (oracle, random); an episode of another agent is left out if a line would change. "
            "Short for --set feedback=[...].",
        ),
    ] = None,
    best: Annotated[
        int | None,
        Parameter(name="--best", help="Of each task's samples by an agent, only so many: solved, high return, short."),
    ] = None,
    as_json: flags.AsJson = False,
) -> int:
    """Write a run in the format of a trainer, and say what was left out and why."""
    if best is not None and best < 1:
        raise ConfigError(f"--best: expected a whole number from 1, found {best}")
    found = reader.open_run(run)
    exporter = registry.exporter(to)
    settings = flags.read_settings("--set", [*(set_ or ()), *([f"as={as_}"] if as_ else ())])
    if feedback is not None:
        settings["feedback"] = _channels(feedback)
    config = convert(settings, exporter.config, "--set: ")
    folder = Path(out)
    _clear(folder, to, found)
    n_there = sum(s.tally.n_episodes for s in reader.summary(found))
    with counting("exporting", n_there) as advance:
        dropped: list[str] = []
        told = _told(reader.iter_episodes(found), advance)
        chosen = told if best is None else _best(found, told, best, dropped)
        report = _counting(exporter().export(chosen, folder, config), len(dropped))
    _mark(folder, to, found, report)
    if as_json:
        output.say_json(_document(found, to, folder, report))
    else:
        _tell(folder, report)
    return OK


def _best(found: RunDir, episodes: Iterable[Episode], n: int, dropped: list[str]) -> Iterator[Episode]:
    """Yield the best episodes, and note the others."""
    kept = best_of(reader.iter_episodes(found), n)
    for episode in episodes:
        if episode.episode_id in kept:
            yield episode
        else:
            dropped.append(episode.episode_id)


def _counting(report: ExportReport, n_dropped: int) -> ExportReport:
    """Return a report that counts those too which the exporter never saw."""
    if not n_dropped:
        return report
    return report._replace(n_in=report.n_in + n_dropped, rejected={**report.rejected, LEFT_OUT: n_dropped})


def _channels(text: str) -> list[str]:
    """Read `a,b`; `none`, or nothing, is no channel at all."""
    return [] if text.strip() in {"", "none"} else [name.strip() for name in text.split(",")]


def _told(episodes: Iterable[Episode], advance: Callable[[], None]) -> Iterator[Episode]:
    for episode in episodes:
        yield episode
        advance()


def _clear(folder: Path, exporter: str, run: RunDir) -> None:
    """Remove what an export of the same run in the same format left; refuse a folder that holds anything else.

    Raises:
        ConfigError: there is something of somebody else's, or the folder is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--out: expected a folder, found the file {folder}")
    mark = _read_mark(folder)
    if mark is not None and (mark.exporter, mark.run) == (exporter, str(run.path.resolve())):
        _remove(folder, [*mark.files, _MARK])
    left = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    if left:
        remove = output.typed("rm", "-r", folder)
        raise ConfigError(
            f"--out: expected a new or empty folder, or an earlier export of this run as {exporter!r}; {folder} holds "
            f"{', '.join(left[:3])}{', ...' if len(left) > 3 else ''}; type another --out, or first: {remove}"  # noqa: PLR2004 - shown
        )


def _read_mark(folder: Path) -> _Mark | None:
    try:
        return msgspec.json.decode((folder / _MARK).read_bytes(), type=_Mark)
    except (OSError, msgspec.DecodeError):
        return None


def _remove(folder: Path, files: list[str]) -> None:
    for name in files:
        path = folder / name
        # a mark that somebody edited must not reach out of its folder
        if path.resolve().is_relative_to(folder.resolve()):
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # not empty, or the folder itself
                if path.parent != folder:
                    path.parent.rmdir()


def _mark(folder: Path, exporter: str, run: RunDir, report: ExportReport) -> None:
    # written last: an export that did not finish is not taken for one
    files = tuple(path.relative_to(folder).as_posix() for path in report.files)
    (folder / _MARK).write_bytes(msgspec.json.encode(_Mark(exporter, str(run.path.resolve()), files)))


def _tell(folder: Path, report: ExportReport) -> None:
    n_out = sum(report.rejected.values())
    output.say(f"{folder}: {report.n_in:,} episodes in, {report.n_out:,} rows out, {n_out:,} episodes left out")
    for reason, n in sorted(report.rejected.items(), key=lambda item: -item[1]):
        output.say(f"  left out {n:,}: {output.one_line(reason)}")
    for line in report.loss:
        output.say(f"  lost: {output.one_line(line, 300)}")
    for path in report.files:
        output.say(f"  wrote {path}")
    output.say(report.how_to_load)


def _document(run: RunDir, exporter: str, folder: Path, report: ExportReport) -> Json:
    return {
        "run": str(run.path),
        "exporter": exporter,
        "out": str(folder),
        "episodes_in": report.n_in,
        "rows_out": report.n_out,
        "rejected": dict(report.rejected),
        "loss": list(report.loss),
        "files": [str(path) for path in report.files],
        "how_to_load": report.how_to_load,
    }
