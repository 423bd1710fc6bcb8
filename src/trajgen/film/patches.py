"""Animated GIF and WebP, written as pictures come: never more than two of them are in memory.

Pillow's own `save_all` holds every frame of a GIF, and lists every one of a WebP, before it writes; so Pillow encodes
single pictures here, and the container around them is written by hand: GIF89a, and Google's "WebP Container
Specification". Both store a picture as the rectangle that differs from the one before, for as long as it stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol

from PIL import Image, ImageChops
from PIL.GifImagePlugin import getdata, getheader

if TYPE_CHECKING:
    from collections.abc import Callable
    from fractions import Fraction
    from pathlib import Path

_QUALITY = 85  # of WebP, in [0, 100]; below it, the edges of letters are seen to blur
_GIF_LONGEST_CS = 65_535
_RIFF_HEAD = 8  # bytes that a RIFF file's size does not count


class Encoder(Protocol):
    """Writes one film."""

    def add(self, picture: Image.Image, n_frames: int) -> None:
        """Append a picture that stands for `n_frames` >= 1 frames."""
        ...

    def finish(self) -> None:
        """Write what is left; the film is whole then."""
        ...

    def close(self) -> None:
        """Release the file, whole or not."""
        ...


class Patch(NamedTuple):
    """What changes at one moment of a film.

    Attributes:
        offset: Of its left upper corner, in pixels; even numbers.
        start, n_frames: When it comes, and for how long nothing else changes; in frames.
    """

    picture: Image.Image
    offset: tuple[int, int]
    start: int
    n_frames: int


class _Patches:
    """Pictures in, patches out; equal pictures in a row are one patch."""

    def __init__(self, write: Callable[[Patch], None]) -> None:
        self._write = write
        self._last: Image.Image | None = None
        self._pending: Patch | None = None

    def add(self, picture: Image.Image, n_frames: int) -> None:
        offset, start, corner = (0, 0), 0, picture.size
        if self._pending is not None and self._last is not None:
            box = ImageChops.difference(self._last, picture).getbbox()
            if box is None:
                self._pending = self._pending._replace(n_frames=self._pending.n_frames + n_frames)
                return
            self.flush()
            start = self._pending.start + self._pending.n_frames
            offset, corner = (box[0] & ~1, box[1] & ~1), box[2:]  # a WebP stores halves of offsets
        self._pending = Patch(picture.crop((*offset, *corner)), offset, start, n_frames)
        self._last = picture

    def flush(self) -> None:
        if self._pending is not None:
            self._write(self._pending)


class Gif:
    """An animated GIF that begins again at its end. Each patch has 256 colours of its own."""

    def __init__(self, path: Path, size: tuple[int, int], fps: Fraction) -> None:
        self._file, self._fps = path.open("wb"), fps
        self._patches = _Patches(self._write)
        canvas = Image.new("P", size)
        canvas.putpalette((0, 0, 0))
        for part in getheader(canvas, info={"loop": 0, "duration": 0})[0]:
            self._file.write(part)

    def add(self, picture: Image.Image, n_frames: int) -> None:
        """See `Encoder`."""
        self._patches.add(picture, n_frames)

    def _write(self, patch: Patch) -> None:
        coloured = patch.picture.quantize(256, Image.Quantize.MEDIANCUT)
        # differences of rounded times, so that rounding never adds up
        until, start = (round(100 * n / self._fps) for n in (patch.start + patch.n_frames, patch.start))
        shown_cs = min(max(until - start, 1), _GIF_LONGEST_CS)
        for part in getdata(coloured, patch.offset, duration=10 * shown_cs, include_color_table=True):
            self._file.write(part)

    def finish(self) -> None:
        """See `Encoder`."""
        self._patches.flush()
        self._file.write(b";")

    def close(self) -> None:
        """See `Encoder`."""
        self._file.close()


class WebP:
    """An animated WebP that begins again at its end; each patch is lossy."""

    def __init__(self, path: Path, size: tuple[int, int], fps: Fraction) -> None:
        self._file, self._fps = path.open("wb"), fps
        self._patches = _Patches(self._write)
        width, height = size
        self._file.write(b"RIFF\0\0\0\0WEBP")  # its size is written when it is known
        animated = 0x02
        _chunk(self._file, b"VP8X", bytes([animated, 0, 0, 0]) + _u24(width - 1) + _u24(height - 1))
        _chunk(self._file, b"ANIM", bytes([0, 0, 0, 255]) + bytes(2))  # on black, for ever

    def add(self, picture: Image.Image, n_frames: int) -> None:
        """See `Encoder`."""
        self._patches.add(picture, n_frames)

    def _write(self, patch: Patch) -> None:
        import io

        still = io.BytesIO()
        patch.picture.save(still, "WEBP", quality=_QUALITY, method=2)
        until, start = (round(1000 * n / self._fps) for n in (patch.start + patch.n_frames, patch.start))
        (left, top), (width, height) = patch.offset, patch.picture.size
        where = _u24(left // 2) + _u24(top // 2) + _u24(width - 1) + _u24(height - 1)
        opaque = 0x02  # it covers what is below it
        _chunk(
            self._file, b"ANMF", where + _u24(until - start) + bytes([opaque]) + still.getvalue()[len("RIFF....WEBP") :]
        )

    def finish(self) -> None:
        """See `Encoder`."""
        self._patches.flush()
        size = self._file.tell() - _RIFF_HEAD
        self._file.seek(4)
        self._file.write(size.to_bytes(4, "little"))

    def close(self) -> None:
        """See `Encoder`."""
        self._file.close()


def _u24(value: int) -> bytes:
    return value.to_bytes(3, "little")


def _chunk(file: BinaryIO, name: bytes, content: bytes) -> None:
    file.write(name + len(content).to_bytes(4, "little") + content + bytes(len(content) % 2))
