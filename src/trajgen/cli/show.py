"""`trajgen show`: a run's table again, its failed episodes, or one episode told."""

from typing import Annotated

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
    as_json: flags.AsJson = False,
) -> int:
    """Print a run's table, or tell one episode as an inner monologue.

    What only the record holds, and the agent was not shown, is marked `(not shown)`.
    """
    found = reader.open_run(run)
    if episode is not None and failed:
        raise ConfigError(f"--failed: EPISODE ({episode!r}) is given too; expected one of them")
    if episode is not None:
        return _episode(found, episode, as_json=as_json)
    return _failed(found, as_json=as_json) if failed else _table(found, as_json=as_json)


def _table(run: RunDir, *, as_json: bool) -> int:
    rows = table.rows_of(run)
    n_missing = sum(row.missing for row in rows)
    if as_json:
        output.say_json({"run": str(run.path), "missing": n_missing, "entries": table.document(rows)})
        return OK
    out = output.console()
    output.say(str(run.path))
    output.say_rich(*table.lines(rows, out.width if out.is_terminal else None))
    if n_missing:
        output.tell(f"{n_missing:,} episodes are missing; to play them: {output.typed('trajgen', 'resume', run.path)}")
    return OK


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
