import gc
import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from trajgen.errors import MissingExtra
from trajgen.protocols import Filmed
from trajgen.types import ToolCall
from trajgen_envs.tabletop import camera
from trajgen_envs.tabletop.camera import Camera, Found, Studio
from trajgen_envs.tabletop.env import TabletopEnv
from trajgen_envs.tabletop.objects import COLOURS, Thing
from trajgen_envs.tabletop.rig import Rig
from trajgen_envs.tabletop.scene import compiled

THINGS = (Thing("block", "red"), Thing("bowl", "blue"), Thing("block", "green"))


@pytest.fixture
def gl():
    why = camera.unavailable()
    if why is not None:
        pytest.skip(why)


@pytest.fixture
def env():
    made = TabletopEnv(render_mode="rgb_array")
    yield made
    made.close()


def table(things=THINGS):
    rig = Rig(compiled(tuple(thing.kind for thing in things)))
    for index, first in enumerate(rig.model.qpos):
        rig.data.qpos[first : first + 7] = [0.4 + 0.13 * index, 0.0, 0.02, 1, 0, 0, 0]
    rig.wait(0.1)
    return rig


# ------------------------------------------------------------------------------------- which OpenGL


def only(*working):
    def works(name):
        assert name in {"egl", "osmesa", "glfw", "cgl"}, name
        return None if name in working else f"no {name} here"

    return works


@pytest.mark.skipif(sys.platform != "linux", reason="EGL and OSMesa are what Linux has")
def test_egl_comes_before_osmesa_and_osmesa_before_nothing():
    assert camera.choose("", only("egl", "osmesa")) == Found("egl")
    assert camera.choose("1", only("osmesa")) == Found("osmesa")
    assert camera.choose("", only("glfw")).name is None


def test_a_backend_somebody_chose_is_the_only_one_tried():
    assert camera.choose(" OSMesa", only("egl", "osmesa")) == Found("osmesa")
    found = camera.choose("osmesa", only("egl"))
    assert found.name is None
    assert "no osmesa here" in found.why
    assert "unset MUJOCO_GL (now 'osmesa')" in found.why


def test_where_nothing_works_it_says_why_and_what_to_install():
    found = camera.choose("", only())
    assert found.name is None
    assert "here" in found.why
    assert "apt-get install libegl1 libgl1-mesa-dri (or libosmesa6)" in found.why


@pytest.mark.parametrize("off", ["off", "0", "disable"])
def test_rendering_that_was_switched_off_is_not_tried(off):
    found = camera.choose(off, only("egl", "osmesa"))
    assert found == Found(None, f"MUJOCO_GL={off} switches rendering off; unset it")


def test_an_opengl_that_breaks_is_found_out_in_another_process(monkeypatch):
    monkeypatch.setitem(camera._MODULES, "egl", "mujoco.no_such_module")
    assert camera.probe("egl") == "ModuleNotFoundError: No module named 'mujoco.no_such_module'"


def test_without_opengl_a_picture_is_a_message_and_the_table_works(monkeypatch, env):
    monkeypatch.setattr(camera, "_found", lambda: Found(None, "nothing is installed"))
    env.reset(seed=0)
    with pytest.raises(MissingExtra, match="pictures need OpenGL without a display: nothing is installed"):
        env.render()
    with pytest.raises(MissingExtra):
        env.reset(seed=0, options={"images": True})


def test_an_environment_without_pictures_looks_for_no_opengl_and_sets_no_variable():
    code = """
import os, sys
before = dict(os.environ)
from trajgen_envs.tabletop.env import TabletopEnv
env = TabletopEnv(render_mode="rgb_array")
env.film(print)
env.film(None)
env.reset(seed=0)
env.close()
assert dict(os.environ) == before
assert not {"OpenGL", "PIL"} & set(sys.modules)
"""
    environ = {name: value for name, value in os.environ.items() if name not in {"MUJOCO_GL", "PYOPENGL_PLATFORM"}}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


# ------------------------------------------------------------------------------------- frames, without OpenGL


class NumberedStudio(Studio):
    """A studio whose pictures carry the simulated time, in ms, and which checks what it is asked for."""

    def picture(self, rig, things, width, height):
        assert tuple(things) == THINGS
        assert (width, height) == (4, 2)
        return np.full((height, width, 3), round(1000 * rig.data.time))


@pytest.mark.parametrize(("fps", "seconds"), [(15, 2.0), (25, 1.0), (7.5, 4.0), (100, 0.5), (0.5, 4.0)])
def test_there_are_so_many_frames_a_simulated_second(fps, seconds):
    studio, rig, frames = NumberedStudio(), table(), []
    studio.film(frames.append, fps=fps, width=4, height=2)
    studio.watch(rig, THINGS)
    rig.wait(seconds)
    # both ends are in it, as with fence posts
    assert len(frames) == int(seconds * fps) + 1
    assert all(frame.shape == (2, 4, 3) for frame in frames)


def test_a_frame_is_taken_at_the_first_tick_that_is_due():
    studio, rig, frames = NumberedStudio(), table(), []
    studio.film(frames.append, fps=15, width=4, height=2)
    studio.watch(rig, THINGS)
    rig.wait(0.2)
    assert [int(frame[0, 0, 0]) - 100 for frame in frames] == [20, 80, 140, 200]


def test_a_film_ends_when_it_is_told_to():
    studio, rig, frames = NumberedStudio(), table(), []
    studio.film(frames.append, fps=15, width=4, height=2)
    studio.watch(rig, THINGS)
    rig.wait(0.1)
    studio.film(None, fps=15, width=4, height=2)
    studio.watch(rig, THINGS)
    before = len(frames)
    rig.wait(0.5)
    assert before
    assert len(frames) == before


@pytest.mark.parametrize("wrong", [{"fps": 0}, {"fps": float("inf")}, {"width": 0}, {"height": -1}])
def test_a_film_of_no_size_or_speed_is_refused(env, wrong):
    with pytest.raises(ValueError, match="film: expected fps, width and height above 0"):
        env.film(print, **wrong)


# ------------------------------------------------------------------------------------- pictures


def test_render_gives_pixels_where_a_render_mode_was_asked_for(gl, env):
    env.reset(seed=1)
    pixels = env.render()
    assert (pixels.shape, pixels.dtype) == ((480, 640, 3), np.uint8)
    assert pixels.std() > 10
    silent = TabletopEnv()
    silent.reset(seed=1)
    assert silent.render() is None


def test_equal_states_give_equal_pictures_and_others_do_not(gl, env):
    env.reset(seed=1)
    first, saved = env.render(), env.snapshot()
    env.step(next(env.oracle()))
    assert (env.render() != first).any()
    env.restore(saved)
    assert (env.render() == first).all()
    other = TabletopEnv(render_mode="rgb_array")
    other.reset(seed=1)
    assert (other.render() == first).all()
    other.close()


def test_a_camera_that_has_seen_other_tables_sees_this_one_as_a_new_one_does(gl, env):
    env.reset(seed=2, options={"objects": 8, "distractors": 2})
    env.render()
    env.reset(seed=1)
    new = TabletopEnv(render_mode="rgb_array")
    new.reset(seed=1)
    assert (env.render() == new.render()).all()
    new.close()


def test_an_image_is_one_png_in_every_observation_if_asked_for(gl, env):
    seen, _ = env.reset(seed=1)
    assert seen.images == ()
    seen, _ = env.reset(seed=1, options={"images": True})
    calls = [next(env.oracle()), ToolCall("pick", {"object": "no such thing"})]
    for observation in [seen, *(env.step(call)[0] for call in calls)]:
        assert env.observation_space.contains(observation)
        [image] = observation.images
        with Image.open(io.BytesIO(image)) as opened:
            assert (opened.format, opened.mode, opened.size) == ("PNG", "RGB", (camera.IMAGE_PX, camera.IMAGE_PX))
            pixels = np.asarray(opened)
    assert (pixels == env._studio.picture(env.table.rig, env.task.things, camera.IMAGE_PX, camera.IMAGE_PX)).all()


def test_pictures_and_films_change_nothing_of_what_happens(gl, env):
    def digests(played, options):
        played.reset(seed=3, options={"pick_noise_m": 0.008, "disturbance": 1, **options})
        yield played.state_digest()
        for call in played.oracle():
            done = played.step(call)[2]
            yield played.state_digest()
            if done:
                return

    plain = list(digests(TabletopEnv(), {}))
    frames = []
    assert isinstance(env, TabletopEnv)
    assert callable(getattr(env, next(name for name in vars(Filmed) if not name.startswith("_"))))
    env.film(frames.append, fps=2, width=64, height=48)
    assert list(digests(env, {"images": True})) == plain
    assert len(frames) > len(plain)
    assert {frame.shape for frame in frames} == {(48, 64, 3)}


def test_a_film_begins_anew_with_a_restored_state(gl, env):
    env.reset(seed=1)
    saved, call = env.snapshot(), next(env.oracle())
    films = []
    for _ in range(2):
        films.append([])
        env.film(films[-1].append, fps=5, width=64, height=48)
        env.restore(saved)
        env.step(call)
    assert len(films[0]) == len(films[1]) > 3
    assert all((a == b).all() for a, b in zip(*films, strict=True))


@pytest.mark.parametrize("colour", COLOURS)
def test_things_have_the_colour_of_their_name_and_the_shared_model_has_not(colour):
    things = (Thing("block", colour), Thing("bowl", colour))
    model = compiled(("block", "bowl"))
    before = model.mj.geom_rgba.copy()
    found = camera.painted(model, things).mj.geom_rgba
    block, floor, *walls = (geom for geom, owner in enumerate(model.objects) if owner >= 0)
    assert np.allclose(found[[block, *walls], :3], COLOURS[colour], atol=1e-6)
    assert (found[floor, :3] < found[block, :3]).all()
    assert (model.mj.geom_rgba == before).all()


def test_a_red_block_is_seen_as_red(gl):
    def n_red(colour):
        things = (Thing("block", colour),)
        studio = Studio()
        pixels = studio.picture(table(things), things, 160, 120).astype(int)
        studio.close()
        return int((pixels[..., 0] > 2 * pixels[..., 1:].max(axis=-1)).sum())

    assert n_red("red") > 10
    assert n_red("blue") == 0


def test_what_lies_at_the_edge_of_the_table_is_in_a_square_picture_too(gl):
    things, studio = (Thing("block", "red"),), Studio()
    rig = table(things)
    for x, y in ((0.3, -0.3), (0.3, 0.3), (0.7, -0.3), (0.7, 0.3)):
        first = rig.model.qpos[0]
        rig.data.qpos[first : first + 7] = [x, y, 0.02, 1, 0, 0, 0]
        rig.wait(0.02)
        for size in ((120, 120), (160, 120), (160, 90)):
            pixels = studio.picture(rig, things, *size).astype(int)
            red = pixels[..., 0] > 2 * pixels[..., 1:].max(axis=-1)
            assert red.sum() > 10, (x, y, size)
            edges = np.concatenate([red[0], red[-1], red[:, 0], red[:, -1]])
            assert not edges.any(), (x, y, size)
    studio.close()


def test_a_forgotten_camera_does_not_spoil_another_one(gl):
    rig = table()
    painted = camera.painted(rig.model, THINGS)
    kept = Camera(painted, 64, 48)
    before = kept.picture(painted, rig.data)
    forgotten = Camera(painted, 64, 48)
    forgotten.picture(painted, rig.data)
    kept.picture(painted, rig.data)  # whose context is current now
    del forgotten
    gc.collect()
    assert (kept.picture(painted, rig.data) == before).all()
    kept.close()


def test_closing_twice_is_as_good_as_once_and_a_later_picture_opens_a_new_camera(gl, env):
    env.reset(seed=1)
    before = env.render()
    env.close()
    env.close()
    assert (env.render() == before).all()


def test_environments_on_other_threads_take_the_same_pictures_at_once(gl, env):
    def taken(seed):
        own = TabletopEnv(render_mode="rgb_array")
        own.reset(seed=seed)
        pictures = [own.render() for _ in range(3)]
        own.close()
        return pictures

    env.reset(seed=1)
    before = env.render()
    with ThreadPoolExecutor(2) as pool:
        for pictures in pool.map(taken, [1] * 4):
            assert all((picture == before).all() for picture in pictures)
