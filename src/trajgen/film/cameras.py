"""How pictures of an environment are had: within its calls where it can be filmed, else one after each call.

Owns the session that is filmed. Knows no environment by name, and neither captions nor film formats.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from trajgen.abilities import find
from trajgen.errors import ConfigError, EnvFault, UserError, boundary
from trajgen.protocols import Filmed
from trajgen.session import EnvSession
from trajgen.strict import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from trajgen.types import Task

    Sink = Callable[[NDArray[np.uint8]], None]

_CHANNELS = 3
# what drawing libraries (MuJoCo's, SDL) are told where there is no screen; they look for one otherwise
_WITHOUT_A_SCREEN = {"MUJOCO_GL": "egl", "SDL_VIDEODRIVER": "dummy"}


class Camera(NamedTuple):
    """A session that is filmed.

    Attributes:
        shoot: Hand a picture of the present state to the sink; does nothing where it runs.
        runs: Frames come by themselves while calls are executed.
    """

    session: EnvSession
    shoot: Callable[[], None]
    runs: bool


@contextlib.contextmanager
def camera(task: Task, sink: Sink, *, fps: float, width: int, height: int) -> Iterator[Camera]:
    """Make the environment of a task so that its pictures reach `sink`, and close it at the end.

    Args:
        sink: Takes frames of shape (height, width, 3), in RGB.
        fps: Frames a simulated second, where it runs.
        width, height: Of the frames where it runs; a picture taken by `shoot` has the size its environment likes.

    Raises:
        UserError: it has no pictures, or cannot be made here.
        EnvFault: it raised.
    """
    options = msgspec.json.decode(task.make_options)
    with _closing(EnvSession(task.env_id, task.wrappers, options)) as session:
        filmed = find(session.env, Filmed)
        if filmed is not None:
            with boundary("env"):
                filmed.film(_checked(sink, (height, width, _CHANNELS)), fps=fps, width=width, height=height)
            yield Camera(session, _nothing, runs=True)
            with contextlib.suppress(EnvFault), boundary("env"):
                filmed.film(None)
            return
        if "rgb_array" not in (session.env.metadata.get("render_modes") or ()):
            raise UserError(f"{task.env_id} has no pictures: it cannot be filmed, and does not render 'rgb_array'")
    with _without_a_screen(), _closing(_with_pictures(task, options)) as session:
        yield Camera(session, _shutter(session, _checked(sink, None)), runs=False)


@contextlib.contextmanager
def _closing(session: EnvSession) -> Iterator[EnvSession]:
    try:
        yield session
    finally:
        with contextlib.suppress(EnvFault):  # which is for `verify` to judge: the pictures are taken
            session.close()


def _nothing() -> None:
    """Frames come by themselves."""


def _shutter(session: EnvSession, sink: Sink) -> Callable[[], None]:
    def shoot() -> None:
        with boundary("env"):
            frame: Any = session.env.render()
        sink(frame)

    return shoot


def _with_pictures(task: Task, options: Mapping[str, Any]) -> EnvSession:
    try:
        return EnvSession(task.env_id, task.wrappers, {**options, "render_mode": "rgb_array"})
    except ConfigError as error:
        raise UserError(f"{task.env_id} cannot draw pictures here: {error}") from error


@contextlib.contextmanager
def _without_a_screen() -> Iterator[None]:
    """Where there is none, say so to drawing libraries that were not told how to do without."""
    has_one = sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    said = {} if has_one else {name: how for name, how in _WITHOUT_A_SCREEN.items() if name not in os.environ}
    os.environ.update(said)
    try:
        yield
    finally:
        for name in said:
            os.environ.pop(name, None)


def _checked(sink: Sink, shape: tuple[int, int, int] | None) -> Sink:
    """Refuse, as the environment's fault, what is no picture."""

    def check(frame: NDArray[np.uint8]) -> None:
        """Hand on a picture; refuse anything else."""
        found: Any = frame
        with boundary("env"):
            if not isinstance(found, np.ndarray) or found.dtype != np.uint8:
                raise TypeError(f"expected a picture as an array of uint8, found {_told(found)}")
            if found.ndim != _CHANNELS or found.shape[2] != _CHANNELS or (shape is not None and found.shape != shape):
                raise ValueError(f"expected a picture of shape {shape or '(height, width, 3)'}, found {found.shape}")
        sink(np.ascontiguousarray(found))

    return check


def _told(found: object) -> str:
    return f"an array of {found.dtype}" if isinstance(found, np.ndarray) else shown(found)
