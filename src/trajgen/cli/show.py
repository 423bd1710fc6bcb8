"""`trajgen show`: a run's table again, its failed episodes, one episode told, or success by any key of its job."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from trajgen.cli import OK, output, table
from trajgen.cli import options as flags
from trajgen.errors import ConfigError
from trajgen.store import reader
from trajgen.store.layout import RunDir


def show(
    run: flags.RunArg,
    episode: Annotated[
        str | None, Parameter(name="EPISODE", help="The first characters of an id, or a place: 0, 1, ...")
    ] = None,
    /,
    *,
    failed: Annotated[
        bool,
        Parameter(name="--failed", negative="", show_default=False, help="List failed episodes with their causes."),
    ] = False,
    by: Annotated[
        list[str] | None,
        Parameter(
            name="--by",
            negative="",
            show_default=False,
            consume_multiple=True,
            help="Success by the values of KEY[,KEY...], with paired tests: env, agent, feedback, an option, ...; "
            "alone: list the keys that vary.",
        ),
    ] = None,
    pairs: Annotated[
        Literal["neighbours", "all"] | None,
        Parameter(name="--pairs", help="With --by: which values to test against each other; neighbours unless told."),
    ] = None,
    plot: Annotated[str | None, Parameter(name="--plot", help="With --by: draw it into this PNG file too.")] = None,
    as_json: flags.AsJson = False,
) -> int:
    """Print a run's table, tell one episode as an inner monologue, or compare episodes by the keys of the job.

    What only the record holds, and the agent was not shown, is marked `(not shown)`.
    """
    _refuse_mixed(episode, by, failed=failed, pairs=pairs, plot=plot)
    found = reader.open_run(run)
    if by is not None:
        names = [name.strip() for word in by for name in word.split(",") if name.strip()]
        file = None if plot is None else Path(plot)
        if not names and plot is None and pairs is None:
            return _keys(found, as_json=as_json)
        return _by(found, names, file, every_pair=pairs == "all", as_json=as_json)
    if episode is not None:
        return _episode(found, episode, as_json=as_json)
    return _failed(found, as_json=as_json) if failed else _table(found, as_json=as_json)


def _refuse_mixed(
    episode: str | None, by: list[str] | None, *, failed: bool, pairs: str | None, plot: str | None
) -> None:
    if episode is not None and failed:
        raise ConfigError(f"--failed: EPISODE ({episode!r}) is given too; expected one of them")
    for flag, value in (("--pairs", pairs), ("--plot", plot)):
        if value is not None and by is None:
            raise ConfigError(f"{flag} {value}: expected --by KEY[,KEY...] beside it, which says what to compare")
    if by is not None and (episode is not None or failed):
        other = "--failed" if failed else f"EPISODE ({episode!r})"
        raise ConfigError(f"--by: {other} is given too; expected one of them")


def _keys(run: RunDir, *, as_json: bool) -> int:
    from trajgen.compare.comparison import varying

    found = varying(run)
    if as_json:
        keys = [{"key": key.name, "values": list(key.values)} for key in found]
        output.say_json({"run": str(run.path), "keys": keys})
        return OK
    if not found:
        output.say("nothing varies in this run: one entry, one seed")
        return OK
    from trajgen.cli import comparison

    out = output.console()
    output.say_rich(*comparison.key_lines(found, out.width if out.is_terminal else None))
    output.tell(f"to compare by them: {output.typed('trajgen', 'show', run.path, '--by', found[0].name)}")
    return OK


def _by(run: RunDir, names: list[str], plot: Path | None, *, every_pair: bool, as_json: bool) -> int:
    from trajgen.cli import comparison
    from trajgen.cli.progress import counting
    from trajgen.compare.comparison import compare

    if not names:
        raise ConfigError("--by: expected KEY[,KEY...], found none; `--by` alone lists the keys that vary")
    if plot is not None:
        from trajgen.compare import plot as drawing

        drawing.check(plot)  # before minutes of reading
    rows = table.rows_of(run)
    n_missing = sum(row.missing for row in rows)
    with counting("reading", table.total(rows).n_episodes) as advance:
        found = compare(run, names, every_pair=every_pair, advance=advance)
    if plot is not None:
        drawing.draw(found, plot)
    if as_json:
        drawn = {} if plot is None else {"plot": str(plot)}
        output.say_json({"run": str(run.path), "missing": n_missing, **comparison.document(found), **drawn})
        return OK
    out = output.console()
    output.say(str(run.path))
    output.say_rich(*comparison.lines(found, out.width if out.is_terminal else None))
    if plot is not None:
        output.say(f"wrote {plot}")
    _tell_missing(run, n_missing)
    return OK


def _table(run: RunDir, *, as_json: bool) -> int:
    rows = table.rows_of(run)
    n_missing = sum(row.missing for row in rows)
    if as_json:
        output.say_json({"run": str(run.path), "missing": n_missing, "entries": table.document(rows)})
        return OK
    out = output.console()
    output.say(str(run.path))
    output.say_rich(*table.lines(rows, out.width if out.is_terminal else None))
    _tell_missing(run, n_missing)
    return OK


def _tell_missing(run: RunDir, n_missing: int) -> None:
    if n_missing:
        output.tell(f"{n_missing:,} episodes are missing; to play them: {output.typed('trajgen', 'resume', run.path)}")


def _episode(run: RunDir, prefix: str, *, as_json: bool) -> int:
    found = reader.find_episode(run, prefix)
    if as_json:
        from msgspec import to_builtins

        output.say_json(to_builtins(found))
        return OK
    from trajgen.cli.story import story

    output.say_rich(*story(found))
    return OK


def _failed(run: RunDir, *, as_json: bool) -> int:
    ids = reader.failed_ids(run)
    wanted = set(ids)
    # the ids are in the commit records; shards are read only if there are any
    rows = reader.iter_episodes(run, columns=("failure", "agents")) if ids else iter(())
    failed = [e for e in rows if e.episode_id in wanted and e.failure is not None]
    if as_json:
        listed = [
            {
                "episode_id": e.episode_id,
                "env": e.task.env_id,
                "agent": e.agents[0].name,
                "seed": e.task.seed,
                "boundary": e.failure.boundary,
                "type": e.failure.type,
                "message": e.failure.message,
            }
            for e in failed
            if e.failure is not None
        ]
        output.say_json({"run": str(run.path), "failed": listed})
        return OK
    for e in failed:
        if e.failure is not None:
            why = f"{e.failure.boundary}: {e.failure.type}: {e.failure.message}"
            output.say(f"{e.episode_id[:12]}  {e.task.env_id} x {e.agents[0].name}, seed {e.task.seed}")
            output.say(f"    {output.one_line(why, 300)}")
    if failed:
        again = output.typed("trajgen", "resume", run.path, "--retry-failed")
        output.tell(f"{len(failed):,} failed; to play them again: {again}")
    else:
        output.say("no episode failed")
    return OK
