"""Which format a film has, and a file that is whole or not there. Knows no picture.

Nothing here loads Pillow or PyAV before a film is encoded: which format can be had is asked without them.
"""

from __future__ import annotations

import contextlib
import importlib.util
import uuid
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from trajgen.errors import ConfigError, MissingExtra, boundary, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction
    from pathlib import Path

    from PIL import Image

    from trajgen.film.patches import Encoder

Format = Literal["mp4", "webp", "gif"]
FORMATS: tuple[Format, ...] = get_args(Format)


class Written(NamedTuple):
    """What a film came to, in frames; their seconds are frames / fps."""

    n_frames: int
    n_bytes: int


def chosen_format(out: Path | None, wanted: Format | None) -> Format:
    """Return the format that was asked for, or that the file's name says; else mp4 where PyAV is installed, or webp.

    Raises:
        ConfigError: the name says another format than was asked for, or none that is known.
        MissingExtra: what encodes it is not installed.
    """
    named = None if out is None else _named(out, wanted)
    found = wanted or named or ("mp4" if _is_installed("av") else "webp")
    _require("PIL", "pillow", "pictures", "a film")
    if found == "mp4":
        _require("av", "av", "video", "an mp4 film", "; webp and gif do without: --format webp")
    return found


def _named(out: Path, wanted: Format | None) -> Format | None:
    suffix = out.suffix.lower().removeprefix(".")
    for known in FORMATS:
        if suffix == known:
            if wanted not in {None, known}:
                raise ConfigError(f"--format {wanted}: --out {out} names a {known} file; expected the same of both")
            return known
    if wanted is not None:
        return None
    hint = nearest(suffix, FORMATS)
    raise ConfigError(f"--out {out}: expected a name that ends in .mp4, .webp or .gif, or --format beside it{hint}")


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _require(module: str, package: str, extra: str, what: str, otherwise: str = "") -> None:
    if not _is_installed(module):
        install = f"pip install 'trajgen[{extra}]'"
        raise MissingExtra(f"{what} needs the package {package!r}, which is not installed; type: {install}{otherwise}")


class Film:
    """A film that is being written, at a constant frame rate.

    Raises: StoreFault: the disk failed.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.n_frames = 0

    def add(self, picture: Image.Image, n_frames: int = 1) -> None:
        """Append a picture that stands for so many frames."""
        with boundary("store"):  # it may be called from inside an environment, whose fault this is not
            self._encoder.add(picture, n_frames)
        self.n_frames += n_frames

    def finish(self) -> None:
        """Write what is left."""
        with boundary("store"):
            self._encoder.finish()


@contextlib.contextmanager
def writing(out: Path, format_: Format, size: tuple[int, int], fps: Fraction) -> Iterator[Film]:
    """Give a film to add pictures to; `out` appears, or is replaced, once the block ends without an error.

    Args:
        size: Width and height of its pictures, in pixels; even.

    Raises:
        ConfigError: `out` is a folder, or in a folder that is not there.
        StoreFault: the disk failed.
    """
    if out.is_dir() or not out.parent.is_dir():
        found = "a folder" if out.is_dir() else f"no folder {out.parent}"
        raise ConfigError(f"--out {out}: expected a file in a folder that is there, found {found}")
    part = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with boundary("store"):
            encoder = _encoder(part, format_, size, fps)
        try:
            film = Film(encoder)
            yield film
            film.finish()
        finally:
            encoder.close()
        with boundary("store"):
            part.replace(out)
    finally:
        part.unlink(missing_ok=True)


def _encoder(path: Path, format_: Format, size: tuple[int, int], fps: Fraction) -> Encoder:
    if format_ == "mp4":
        from trajgen.film.mp4 import Mp4

        return Mp4(path, size, fps)
    from trajgen.film.patches import Gif, WebP

    return (Gif if format_ == "gif" else WebP)(path, size, fps)
