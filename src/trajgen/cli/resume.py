"""`trajgen resume`: what is missing of a run, with the job that is stored in it."""

from typing import Annotated

import msgspec
from cyclopts import Parameter

from trajgen.cli import options as flags
from trajgen.cli.play import How, play
from trajgen.store.plan import read_plan
from trajgen.store.reader import open_run


def resume(
    run: flags.RunArg,
    /,
    *,
    retry_failed: Annotated[
        bool,
        Parameter(name="--retry-failed", negative="", show_default=False, help="Play the failed episodes again too."),
    ] = False,
    workers: flags.Workers = None,
    allow_mixed: flags.AllowMixed = False,
    address: flags.Address = None,
    as_json: flags.AsJson = False,
) -> int:
    """Play what is missing of a run, with the job that is stored in it.

    Where nothing is missing it says so and starts nothing.
    """
    found = open_run(run)
    job = read_plan(found).job
    if workers is not None:
        job = msgspec.structs.replace(job, workers=flags.read_workers(workers))
    how = How(allow_mixed=allow_mixed, retry_failed=retry_failed, address=address, as_json=as_json)
    return play(found.path, job, how)
