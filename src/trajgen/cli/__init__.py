"""The command line: one file per verb. The only room that prints; no other room knows it exists.

`main` is what the console script calls. It turns errors a person can mend into one message and an exit code:

    0    done
    1    not complete: episodes are missing, or a replay diverged, or the disk failed
    2    what was typed, a file or an installation is to be mended; the message on stderr says how
    130  stopped by Ctrl-C
    141  whoever read our output closed it
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

OK, INCOMPLETE, USER_ERROR, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Words behind `trajgen`; None takes the process's own.

    Returns: The exit code. A bug of ours is raised, with its traceback.
    """
    # nothing of ours or of cyclopts is imported before a Ctrl-C can be answered
    try:
        return _main(argv)
    except KeyboardInterrupt:
        from trajgen.cli.output import tell

        tell("stopped")
        return INTERRUPTED


def _main(argv: Sequence[str] | None) -> int:
    from cyclopts import CycloptsError

    from trajgen.cli import output
    from trajgen.cli.app import make_app
    from trajgen.errors import StoreFault, UserError

    output.prepare()
    # `--env guess:Guess-v0` finds guess.py in this folder; at the end, so that no file here hides an installed module
    sys.path.append(str(Path.cwd()))
    try:
        code = make_app()(None if argv is None else list(argv))
        output.flush()
    except BrokenPipeError:
        output.abandon()
        return BROKEN_PIPE
    except CycloptsError as error:
        output.error(output.usage(error))
        return USER_ERROR
    except UserError as error:
        output.error(str(error))
        return USER_ERROR
    except StoreFault as error:
        output.error(str(error))
        return INCOMPLETE
    return code if isinstance(code, int) else OK
