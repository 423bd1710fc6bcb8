"""`trajgen render`: a film of one stored episode, made by executing its calls again without the agent."""

import re
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from trajgen.cli import INCOMPLETE, OK, output
from trajgen.cli import options as flags
from trajgen.cli.progress import counting
from trajgen.cli.replay import divergence_lines
from trajgen.errors import ConfigError, UserError
from trajgen.film.encode import Format, chosen_format
from trajgen.film.making import Diverged, Look, Made, make_film
from trajgen.store import reader
from trajgen.store.layout import RunDir
from trajgen.types import Episode, Json

_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})", re.ASCII)
_SMALLEST, _LARGEST = (320, 240), (3840, 2160)
_FPS = (1.0, 50.0)  # a GIF cannot be faster
_ID_CHARS = 8


def render(
    run: flags.RunArg,
    episode: Annotated[
        str, Parameter(name="EPISODE", help="The first characters of an id, or a place: 0, 1, ...")
    ] = "0",
    /,
    *,
    out: Annotated[
        str | None, Parameter(name="--out", help="The film: a .mp4, .webp or .gif file; named after the episode else.")
    ] = None,
    format_: Annotated[
        Format | None,
        Parameter(name="--format", help="By the name of --out; else mp4 where PyAV is installed, or webp."),
    ] = None,
    fps: Annotated[float, Parameter(name="--fps", help="Frames a second, 1 to 50.")] = 15.0,
    size: Annotated[
        str, Parameter(name="--size", help="WIDTHxHEIGHT of the film, captions included; even numbers.")
    ] = "1120x560",
    font: Annotated[
        str | None, Parameter(name="--font", help="A .ttf or .otf file, for captions beyond plain Latin letters.")
    ] = None,
    anyway: Annotated[
        bool,
        Parameter(
            name="--anyway",
            negative="",
            show_default=False,
            help="Go on where the replay differs from the record, and say so in the film.",
        ),
    ] = False,
    as_json: flags.AsJson = False,
) -> int:
    """Make a film of one episode: its pictures, its inner monologue, and how it ended.

    The stored calls are executed again, and what comes is compared as `trajgen verify` compares it: where it differs
    there is no film, and the exit code is 1.
    """
    found = reader.open_run(run)
    row = reader.find_episode(found, episode)
    look = Look(
        chosen_format(None if out is None else Path(out), format_),
        _fps(fps),
        _size(size),
        (font and Path(font)) or None,
    )
    file = Path(f"{row.episode_id[:_ID_CHARS]}.{look.format_}" if out is None else out)
    try:
        made = _made(row, file, look, anyway=anyway)
    except Diverged as apart:
        for line in divergence_lines(apart.verdict):
            output.tell(line)
        output.tell("so there is no film: it would show another episode; --anyway makes one, and says so in it")
        return INCOMPLETE
    except ConfigError:
        raise  # a flag was wrong, not the episode
    except UserError as error:
        show = output.typed("trajgen", "show", found.path, row.episode_id[:_ID_CHARS])
        raise type(error)(f"{error}\n{show} tells the episode in words") from error
    if as_json:
        output.say_json(_document(found, row, file, look, made))
    else:
        _tell(file, look, made)
    return OK


def _made(row: Episode, file: Path, look: Look, *, anyway: bool) -> Made:
    with output.kept_clean(), counting("filming", len(row.steps) + 1) as advance:
        return make_film(row, file, look, anyway=anyway, advance=advance)


def _fps(fps: float) -> float:
    least, most = _FPS
    if not least <= fps <= most:
        raise ConfigError(f"--fps: expected a number from {least:g} to {most:g}, found {fps:g}")
    return fps


def _size(text: str) -> tuple[int, int]:
    """Read WIDTHxHEIGHT.

    Raises:
        ConfigError: it is none, too small for captions, too large for players, or odd.
    """
    match = _SIZE.fullmatch(text)
    width, height = (int(match[1]), int(match[2])) if match else (0, 0)
    fits = _SMALLEST[0] <= width <= _LARGEST[0] and _SMALLEST[1] <= height <= _LARGEST[1]
    if not fits or width % 2 or height % 2:
        least, most = ("x".join(map(str, bound)) for bound in (_SMALLEST, _LARGEST))
        raise ConfigError(f"--size: expected WIDTHxHEIGHT of even numbers from {least} to {most}, found {text!r}")
    return width, height


def _tell(file: Path, look: Look, made: Made) -> None:
    if made.divergence is not None:
        for line in divergence_lines(made.divergence):
            output.tell(line)
    if made.lacked:
        n = len(made.lacked)
        output.tell(
            f"{n} character{'' if n == 1 else 's'} of the captions stand as empty boxes, like {made.lacked[0]!a}: "
            "the font lacks them; --font FILE takes another"
        )
    width, height = look.size
    matched = f", {made.n_matched:,} state digests equal" if made.n_matched else ""
    output.say(
        f"wrote {file}: {width}x{height}, {made.seconds:.1f} s, {made.n_frames:,} frames, "
        f"{made.n_bytes / 1e6:.2f} MB{matched}"
    )


def _document(run: RunDir, row: Episode, file: Path, look: Look, made: Made) -> Json:
    verdict = made.divergence
    return {
        "run": str(run.path),
        "episode_id": row.episode_id,
        "file": str(file),
        "format": look.format_,
        "bytes": made.n_bytes,
        "width": look.size[0],
        "height": look.size[1],
        "fps": look.fps,
        "frames": made.n_frames,
        "seconds": made.seconds,
        "steps": len(row.steps),
        "matched_digests": made.n_matched,
        "characters_lacked": made.lacked,
        "divergence": None if verdict is None or verdict.divergence is None else verdict.divergence._asdict(),
    }
