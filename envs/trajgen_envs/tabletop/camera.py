"""Pictures of the table: colours, light, one camera across from the robot, and OpenGL without a display.

Looks at the simulator's state and never writes to it: it colours a copy of the model. Knows no task, no skill and no
file. OpenGL is only looked for when the first picture is asked for, and an OpenGL context belongs to the thread that
made it: one environment, one `Studio`, one thread.

MuJoCo's own `Renderer` is not used: which OpenGL it takes is fixed, by `MUJOCO_GL`, when `mujoco` is first imported.
"""

from __future__ import annotations

import copy
import functools
import importlib
import io
import math
import os
import subprocess
import sys
import tempfile
import threading
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

import mujoco
import numpy as np

from trajgen.errors import MissingExtra
from trajgen_envs.tabletop import arm
from trajgen_envs.tabletop.objects import COLOURS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from trajgen_envs.tabletop.objects import Thing
    from trajgen_envs.tabletop.rig import Rig
    from trajgen_envs.tabletop.scene import Model

    Pixels = NDArray[np.uint8]  # (height, width, 3), RGB, the top row first
    Sink = Callable[[Pixels], None]

IMAGE_PX = 336  # side of the picture in an observation: a size of vision encoders at which a block is 12 pixels wide
FRAME_PX = (640, 480)  # of `render()`, width and height

# ------------------------------------------------------------------------------------- which OpenGL

_LOCK = threading.Lock()  # EGL's display and OpenGL's entry points are the process's, and made with a first context
_PROBE_TIMEOUT_S = 60.0
_MODULES = {"egl": "mujoco.egl", "osmesa": "mujoco.osmesa", "glfw": "mujoco.glfw", "glx": "mujoco.glfw"}
_MODULES |= {"cgl": "mujoco.cgl", "wgl": "mujoco.glfw"}
_BY_PLATFORM = {"linux": ("egl", "osmesa"), "darwin": ("cgl",)}
_UNDECIDED = ("", "1", "true", "on", "enable", "enabled")  # what mujoco takes for "render, with whatever there is"
_HINT = (
    "on Debian or Ubuntu type: apt-get install libegl1 libgl1-mesa-dri (or libosmesa6); MUJOCO_GL=egl, osmesa or glfw "
    "picks one"
)
_PROBE = """
import mujoco
from {module} import GLContext
context = GLContext(16, 16)
context.make_current()
mujoco.MjrContext(mujoco.MjModel.from_xml_string("<mujoco/>"), 100)
"""


class Found(NamedTuple):
    """Which OpenGL can draw here: its name, or why there is none."""

    name: str | None
    why: str = ""


@functools.cache
def _found() -> Found:
    return choose(os.environ.get("MUJOCO_GL", ""), probe)


def choose(wanted: str, works: Callable[[str], str | None]) -> Found:
    """Return the first OpenGL that works: `wanted` alone (a value of `MUJOCO_GL`), or EGL before OSMesa.

    Args:
        works: Name -> None, or why it does not work.
    """
    asked = wanted.strip().lower()
    if asked not in _MODULES and asked not in _UNDECIDED:
        return Found(None, f"MUJOCO_GL={wanted} switches rendering off; unset it")
    said = []
    for name in (asked,) if asked in _MODULES else _BY_PLATFORM.get(sys.platform, ("glfw",)):
        why = works(name)
        if why is None:
            return Found(name)
        said.append(f"{name}: {why}")
    others = f"; or unset MUJOCO_GL (now {wanted!r})" if asked in _MODULES else ""
    return Found(None, f"none works here ({'; '.join(said)}); {_HINT}{others}")


def probe(name: str) -> str | None:
    """Try an OpenGL in a process of its own, which it may take down; return why it does not work, or None."""
    code = _PROBE.format(module=_MODULES[name])
    try:
        with tempfile.TemporaryDirectory() as folder:  # mujoco writes MUJOCO_LOG.TXT where it fails
            done = subprocess.run(  # noqa: S603 - our own interpreter and a constant
                [sys.executable, "-c", code],
                env=os.environ | {"MUJOCO_GL": name},
                cwd=folder,
                capture_output=True,
                check=False,
                timeout=_PROBE_TIMEOUT_S,
            )
    except subprocess.TimeoutExpired:
        return f"no answer within {_PROBE_TIMEOUT_S:g} s"
    if done.returncode == 0:
        return None
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else f"the process ended with {done.returncode}"


def unavailable() -> str | None:
    """Return why no pictures can be made here; None where they can. Probes once in a process, some seconds long."""
    with _LOCK:
        found = _found()
    return None if found.name else f"pictures need OpenGL without a display: {found.why}"


class _OpenGL(NamedTuple):
    """A context, and what MuJoCo keeps in it."""

    context: Any  # mujoco's GLContext, one class a backend
    buffers: mujoco.MjrContext


def _opened(mj: mujoco.MjModel, width: int, height: int) -> _OpenGL:
    why = unavailable()
    if why is not None:
        raise MissingExtra(why)
    with _LOCK:
        context = importlib.import_module(_MODULES[_found().name or ""]).GLContext(width, height)
        context.make_current()
        buffers = mujoco.MjrContext(mj, mujoco.mjtFontScale.mjFONTSCALE_100.value)
    mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, buffers)
    return _OpenGL(context, buffers)


def _free(gl: _OpenGL) -> None:
    gl.context.make_current()
    gl.buffers.free()
    gl.context.free()


# ------------------------------------------------------------------------------------- how it looks

_LOOK_AT, _DISTANCE_M = (0.47, 0.0, 0.08), 1.22
_AZIMUTH_DEG, _ELEVATION_DEG = 157.0, -38.0  # across from the robot, so that its arm hides nothing
_UP_TAN, _ACROSS_TAN = math.tan(math.radians(22.5)), 0.45  # half of what must be in view, at distance 1
_SAMPLES = 4
_SHADOW_PX = 1024  # on llvmpipe 2048 costs a third more for a whole picture
_TABLE_MIDDLE = (0.5, 0.0, 0.0)
_SUN, _FILL = (-0.1, -0.4, -1.0), (-0.6, 0.5, -0.6)  # where they shine
# A narrow cone of shadow from far away; from nearer, or from all directions at once, flat faces shade themselves in dots.
_SUN_M, _LIT_DEG, _SHADED_DEG = 4.0, 75.0, 12.0
_FLOOR_HALF_M = 7.0  # as far as the camera sees; one without end is put where the camera was at the last picture
_FLOOR_RGB, _TABLE_RGB = (0.80, 0.83, 0.86), (0.80, 0.70, 0.56)
_INSIDE = 0.72  # of a bowl's colour is left on its floor
_OVERLAP = 1.03  # links of one thickness would flicker where they meet


class Painted(NamedTuple):
    """A model as it looks, and the buffer its shapes are listed in."""

    things: tuple[Thing, ...]
    mj: mujoco.MjModel
    shapes: mujoco.MjvScene


def painted(model: Model, things: Sequence[Thing]) -> Painted:
    """Colour a copy of the model: the model itself is shared with other tables."""
    mj = copy.copy(model.mj)
    _colour(mj, model, things)
    _light(mj)
    mj.vis.quality.offsamples, mj.vis.quality.shadowsize = _SAMPLES, _SHADOW_PX
    mj.stat.extent = 1.0  # lengths of `vis.map` are multiples of it
    mj.vis.map.znear, mj.vis.map.zfar = 0.05, 12.0
    return Painted(tuple(things), mj, mujoco.MjvScene(mj, maxgeom=mj.ngeom + 16))


def _colour(mj: mujoco.MjModel, model: Model, things: Sequence[Thing]) -> None:
    floor, first_link = model.table - 1, model.table + 2
    mj.geom_size[floor, :2] = _FLOOR_HALF_M
    mj.geom_rgba[floor, :3], mj.geom_rgba[model.table, :3] = _FLOOR_RGB, _TABLE_RGB
    mj.geom_size[first_link : first_link + arm.N_JOINTS : 2, 0] *= _OVERLAP
    for index, thing in enumerate(things):
        first, *others = (geom for geom, owner in enumerate(model.objects) if owner == index)
        colour = np.array(COLOURS[thing.colour])
        mj.geom_rgba[first, :3] = colour * (_INSIDE if thing.kind == "bowl" else 1.0)
        mj.geom_rgba[others, :3] = colour


def _light(mj: mujoco.MjModel) -> None:
    """One lamp that casts shadows, a weak one from the side, and light from everywhere."""
    mj.vis.headlight.ambient, mj.vis.headlight.diffuse, mj.vis.headlight.specular = [0.38] * 3, [0.22] * 3, [0.05] * 3
    mj.light_type[:] = mujoco.mjtLightType.mjLIGHT_SPOT.value
    mj.light_cutoff[:], mj.light_exponent[:], mj.light_attenuation[:] = _LIT_DEG, 0.0, (1.0, 0.0, 0.0)
    mj.vis.map.shadowscale = _SHADED_DEG / _LIT_DEG
    mj.light_diffuse[:], mj.light_specular[:] = [[0.5] * 3, [0.16] * 3], [[0.1] * 3, [0.0] * 3]


def _turn_lights(shapes: mujoco.MjvScene) -> None:
    """Put the lights where they belong: the state has them where the simulated model, not its copy, says."""
    lights = [light for light in shapes.lights[: shapes.nlight] if not light.headlight]
    for light, towards in zip(lights, (_SUN, _FILL), strict=True):
        direction = np.array(towards) / np.linalg.norm(towards)
        light.dir, light.pos = direction, np.array(_TABLE_MIDDLE) - _SUN_M * direction


def _viewpoint() -> mujoco.MjvCamera:
    camera = mujoco.MjvCamera()
    camera.lookat, camera.distance = _LOOK_AT, _DISTANCE_M
    camera.azimuth, camera.elevation = _AZIMUTH_DEG, _ELEVATION_DEG
    return camera


# ------------------------------------------------------------------------------------- pictures


class Camera:
    """One OpenGL context that takes pictures of one size, of any table; used and closed on one thread.

    Raises: MissingExtra: there is no OpenGL here; says what to install.
    """

    def __init__(self, table: Painted, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._rect = mujoco.MjrRect(0, 0, width, height)
        self._option, self._viewpoint = mujoco.MjvOption(), _viewpoint()
        # height of the view, in degrees, that shows all there is to see in a narrow picture too
        self._fovy_deg = math.degrees(2 * math.atan(max(_UP_TAN, _ACROSS_TAN * height / width)))
        table.mj.vis.global_.offwidth, table.mj.vis.global_.offheight = width, height
        # of the model it takes sizes and qualities, which are the same for every table
        self._gl = _opened(table.mj, width, height)
        # a forgotten camera must not free its buffers while the context of another one is current
        self._free = weakref.finalize(self, _free, self._gl)
        # at the end of the process EGL's display is gone before this would run; OSMesa complains of what is left open
        self._free.atexit = _found().name == "osmesa"

    def picture(self, table: Painted, data: mujoco.MjData) -> Pixels:
        """Take a picture of a state; writes nothing to it. Equal states give equal pictures on one machine.

        Returns: shape (height, width, 3), RGB.
        """
        table.mj.vis.global_.fovy = self._fovy_deg
        everything = mujoco.mjtCatBit.mjCAT_ALL.value
        mujoco.mjv_updateScene(table.mj, data, self._option, None, self._viewpoint, everything, table.shapes)
        _turn_lights(table.shapes)
        pixels = np.empty((self.height, self.width, 3), np.uint8)
        self._gl.context.make_current()  # many environments may share a thread
        mujoco.mjr_render(self._rect, table.shapes, self._gl.buffers)
        mujoco.mjr_readPixels(pixels, None, self._rect, self._gl.buffers)
        return np.ascontiguousarray(pixels[::-1])

    def close(self) -> None:
        """Give the context back; once is enough."""
        self._free()


class _Film(NamedTuple):
    sink: Sink
    fps: float
    width: int
    height: int


class Studio:
    """All the pictures of one environment: cameras by size, the table as it is painted now, and the film."""

    def __init__(self) -> None:
        self._cameras: dict[tuple[int, int], Camera] = {}
        self._table: Painted | None = None
        self._film: _Film | None = None

    def picture(self, rig: Rig, things: Sequence[Thing], width: int, height: int) -> Pixels:
        """Take a picture of the present state, of shape (height, width, 3)."""
        if self._table is None or self._table.things != tuple(things):
            self._table = painted(rig.model, things)
        camera = self._cameras.get((width, height))
        if camera is None:
            camera = self._cameras[width, height] = Camera(self._table, width, height)
        return camera.picture(self._table, rig.data)

    def image(self, rig: Rig, things: Sequence[Thing]) -> bytes:
        """Return the picture that goes into an observation: a PNG file of `IMAGE_PX` squared."""
        return png(self.picture(rig, things, IMAGE_PX, IMAGE_PX))

    def film(self, sink: Sink | None, *, fps: float, width: int, height: int) -> None:
        """Say where frames go from now on; see `trajgen.protocols.Filmed`. Takes effect with the next `watch`."""
        if not (0 < fps < math.inf and width > 0 and height > 0):
            raise ValueError(f"film: expected fps, width and height above 0, found {fps}, {width} and {height}")
        self._film = None if sink is None else _Film(sink, fps, width, height)

    def watch(self, rig: Rig, things: Sequence[Thing]) -> None:
        """Have the rig call back after every tick, if a film is made: the first frame is taken at the next one."""
        film = self._film
        if film is None:
            rig.watch = None
            return
        started, taken = rig.data.time, 0

        def frames() -> None:
            nonlocal taken
            due = math.floor((rig.data.time - started) * film.fps + 1e-6) + 1 - taken
            taken += due
            if due:
                pixels = self.picture(rig, things, film.width, film.height)
                for _ in range(due):  # several where a tick is longer than a frame
                    film.sink(pixels)

        rig.watch = frames

    def last(self, rig: Rig, things: Sequence[Thing]) -> None:
        """Film the state that a call or a reset left, if a film is made."""
        if self._film is not None:
            self._film.sink(self.picture(rig, things, self._film.width, self._film.height))

    def close(self) -> None:
        """Close every camera; a later picture opens a new one."""
        for camera in self._cameras.values():
            camera.close()
        self._cameras, self._table = {}, None


def png(pixels: Pixels) -> bytes:
    """Return a picture as a PNG file."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
