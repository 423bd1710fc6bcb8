"""H.264 in an mp4 file, as every browser and player shows it. The only module that knows PyAV, the extra `video`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import av
import numpy as np

if TYPE_CHECKING:
    from fractions import Fraction
    from pathlib import Path

    from PIL import Image

_CRF = "20"  # x264's constant quality: letters stay sharp, and a held picture costs next to nothing


class Mp4:
    """A film at a constant frame rate; a picture that stands is repeated.

    Args:
        size: Even numbers, in pixels: colours are stored for squares of four.
    """

    def __init__(self, path: Path, size: tuple[int, int], fps: Fraction) -> None:
        # faststart: what a player needs first comes first in the file, so that a page can show it while it loads
        self._container = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
        self._stream = self._container.add_stream("libx264", rate=fps, options={"crf": _CRF, "preset": "veryfast"})
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = "yuv420p"
        self._n = 0

    def add(self, picture: Image.Image, n_frames: int) -> None:
        """See `patches.Encoder`."""
        frame = av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24").reformat(format="yuv420p")
        frame.time_base = 1 / self._stream.codec_context.framerate
        for _ in range(n_frames):
            frame.pts = self._n
            self._container.mux(self._stream.encode(frame))
            self._n += 1

    def finish(self) -> None:
        """See `patches.Encoder`."""
        self._container.mux(self._stream.encode(None))
        self._container.close()

    def close(self) -> None:
        """See `patches.Encoder`."""
        with contextlib.suppress(av.FFmpegError):  # of a film that is thrown away
            self._container.close()
