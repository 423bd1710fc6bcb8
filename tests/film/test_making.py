"""Films of episodes: what is in them, that they are the same each time, and what stops one."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from msgspec.structs import replace

from film.fakes import DOT, FIELD, DrawnField, FilmedField
from film.test_encode import decoded
from test_rollout import played
from trajgen.errors import TrajgenError, UserError
from trajgen.film import monologue
from trajgen.film.captions import plan
from trajgen.film.making import Diverged, Look, make_film
from trajgen.ids import content_digest
from trajgen.types import Failure, ObservationRecord, Reset
from trajgen.verify import verify

SMALL = (560, 280)
LOOK = Look("mp4", size=SMALL)
SCENE = plan(*SMALL).scene


def film_of(episode, tmp_path, look=LOOK, **more):
    path = tmp_path / f"film.{look.format_}"
    made = make_film(episode, path, look, **more)
    frames = decoded(path, Fraction(look.fps))
    assert len(frames) == made.n_frames
    assert made.n_bytes == path.stat().st_size
    assert made.seconds == pytest.approx(made.n_frames / look.fps)
    return made, frames


def squares(frames):
    """Return where the dot is in each frame, in squares; None where there is no scene yet."""
    found = []
    for frame in frames:
        scene = frame[SCENE.top : SCENE.bottom, SCENE.left : SCENE.right].astype(int)
        lit = np.argwhere((np.abs(scene - DOT) < 60).all(axis=2))
        side = SCENE.width // FIELD
        found.append(lit[:, 1].min() / (SCENE.width - side) * (FIELD - 1) if len(lit) else None)
    return found


def runs(values):
    """Drop repetitions."""
    return [v for i, v in enumerate(values) if i == 0 or v != values[i - 1]]


def test_a_filmed_call_is_seen_while_it_is_executed(filmed, tmp_path):
    made, frames = film_of(filmed, tmp_path)
    seen = runs([None if s is None else round(s, 1) for s in squares(frames)])
    assert [s for s in (2.0, 5.0, 6.0, 7.0) if s in seen] == [2.0, 5.0, 6.0, 7.0]
    between = [s for s in seen if s is not None and 2.1 < s < 4.9]
    assert len(between) >= 3, "the dot is seen on its way"
    assert made.n_matched == len(filmed.steps) + 1
    assert made.divergence is None


def test_captions_are_never_empty_and_change_with_the_steps(filmed, tmp_path):
    _, frames = film_of(filmed, tmp_path)
    box = plan(*SMALL).captions
    panels = [f[box.top : box.bottom, box.left : box.right] for f in frames]
    assert all(panel.max() > 120 for panel in panels[20:])
    told = [panel for i, panel in enumerate(panels) if i == 0 or np.abs(panel.astype(int) - panels[i - 1]).max() > 90]
    assert len(told) >= 2 * len(filmed.steps)


def test_where_pictures_come_after_calls_there_is_one_for_each(drawn, tmp_path):
    made, frames = film_of(drawn, tmp_path)
    seen = runs([round(s) for s in squares(frames) if s is not None])
    assert seen == [2, 5, 6, 7]
    assert made.n_matched == len(drawn.steps) + 1


@pytest.mark.parametrize("format_", ["mp4", "webp", "gif"])
def test_the_same_episode_gives_the_same_frames(filmed, tmp_path, format_):
    look = LOOK._replace(format_=format_)
    first, again = (film_of(filmed, tmp_path, look)[1] for _ in range(2))
    assert all(map(np.array_equal, first, again))


def test_filming_changes_nothing_of_what_is_stored(filmed, tmp_path):
    before = content_digest(filmed)
    film_of(filmed, tmp_path)
    assert content_digest(filmed) == before
    assert verify(filmed).status == "replays"


def test_a_higher_frame_rate_gives_more_frames_of_the_same_time(filmed, tmp_path):
    slow, _ = film_of(filmed, tmp_path)
    fast, _ = film_of(filmed, tmp_path, LOOK._replace(fps=30.0))
    assert fast.n_frames == pytest.approx(2 * slow.n_frames, rel=0.05)
    assert fast.seconds == pytest.approx(slow.seconds, rel=0.05)


def test_a_thousand_steps_do_not_make_an_hour(drawn, tmp_path):
    long = replace(drawn, steps=(drawn.steps[3], drawn.steps[1]) * 150)
    made, _ = film_of(long, tmp_path, Look("webp", size=(320, 240), fps=4.0), anyway=True)
    assert 120 < made.seconds < 240 < sum(map(monologue.reading_s, monologue.cards(long)))


# ------------------------------------------------------------------------------------- what stops a film


def test_a_replay_that_goes_apart_stops_at_its_step_and_leaves_no_film(filmed, tmp_path, monkeypatch):
    monkeypatch.setattr(FilmedField, "drift", 0.25)
    with pytest.raises(Diverged) as stopped:
        make_film(filmed, tmp_path / "film.mp4", LOOK)
    assert stopped.value.verdict == verify(filmed)
    assert list(tmp_path.iterdir()) == []


def test_anyway_a_replay_that_goes_apart_is_filmed_and_says_so(filmed, tmp_path, monkeypatch):
    _, honest = film_of(filmed, tmp_path)
    monkeypatch.setattr(FilmedField, "drift", 0.25)
    made, frames = film_of(filmed, tmp_path, anyway=True)
    assert made.divergence == verify(filmed)
    head = slice(0, SCENE.top)
    red = [((f[head, :, 0].astype(int) - f[head, :, 2]) > 90).sum() for f in (frames[-1], honest[-1])]
    assert red[0] > red[1] + 20


def test_an_environment_without_pictures_is_refused(blind, tmp_path):
    with pytest.raises(UserError, match="film-test/Blind-v0 has no pictures"):
        make_film(blind, tmp_path / "film.mp4", LOOK)
    assert list(tmp_path.iterdir()) == []


def test_what_an_environment_says_when_it_cannot_draw_reaches_the_user(filmed, drawn, tmp_path, monkeypatch):
    monkeypatch.setattr(FilmedField, "refuses", "no EGL device; install libegl1")
    with pytest.raises(UserError, match="RuntimeError: no EGL device; install libegl1"):
        make_film(filmed, tmp_path / "film.mp4", LOOK)
    monkeypatch.setattr(DrawnField, "raises_at", 3)
    with pytest.raises(UserError, match="OSError: no device to draw on"):
        make_film(drawn, tmp_path / "film.mp4", LOOK)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_picture_is_the_environments_fault(drawn, tmp_path, monkeypatch):
    monkeypatch.setattr(DrawnField, "paints", np.float32)
    with pytest.raises(UserError, match="expected a picture as an array of uint8, found an array of float32"):
        make_film(drawn, tmp_path / "film.mp4", LOOK)


def test_an_episode_that_never_began_has_nothing_to_film(filmed, tmp_path):
    failure = Failure("env", "OSError", "no window")
    task = replace(filmed.task, goal="")
    nothing = Reset(ObservationRecord(""))
    empty = replace(filmed, task=task, tools=(), turns=(), steps=(), reset=nothing, oracle_steps=None, failure=failure)
    with pytest.raises(UserError, match="ended before its first observation"):
        make_film(empty, tmp_path / "film.mp4", LOOK)


def test_an_episode_that_ended_its_process_is_executed_only_if_asked(filmed, tmp_path):
    crashed = replace(filmed, failure=Failure("env", "Crash", "signal 11"))
    with pytest.raises(UserError, match="--anyway"):
        make_film(crashed, tmp_path / "film.mp4", LOOK)
    made, _ = film_of(crashed, tmp_path, anyway=True)
    assert made.n_matched == 7


def test_the_environment_is_closed_and_no_longer_filmed_whatever_happened(filmed, tmp_path, monkeypatch):
    closed = []
    monkeypatch.setattr(FilmedField, "close", lambda env: closed.append(env.sink))
    film_of(filmed, tmp_path)
    monkeypatch.setattr(FilmedField, "drift", 0.25)
    with pytest.raises(TrajgenError):
        make_film(filmed, tmp_path / "film.mp4", LOOK)
    assert len(closed) == 2
    assert closed[0] is None


# ------------------------------------------------------------------------------------- real simulators

PROBE = """
import gymnasium
env = gymnasium.make("InvertedPendulum-v5", render_mode="rgb_array")
env.reset(seed=0)
assert env.render().max() > 0
env.close()
"""


@pytest.fixture(scope="module")
def gl():
    """MuJoCo can draw here; asked in another process, since a context that fails may end one."""
    said = subprocess.run(
        [sys.executable, "-c", PROBE],
        env={**os.environ, "MUJOCO_GL": "egl"},
        capture_output=True,
        text=True,
        check=False,
    )
    if said.returncode != 0:
        pytest.skip(f"MuJoCo has no OpenGL here: {said.stderr.strip().splitlines()[-1]}")


@pytest.mark.parametrize("env", ["InvertedPendulum-v5", "Reacher-v5"])
def test_a_mujoco_task_is_filmed_and_replays_to_the_bit_while_it_is(env, gl, tmp_path, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "egl")
    episode = played({"env": env, "agent": "random", "budget": {"max_steps": 6}}, seed=1)
    made, frames = film_of(episode, tmp_path)
    assert made.n_matched == len(episode.steps) + 1
    scenes = {f[SCENE.top : SCENE.bottom, SCENE.left : SCENE.right].tobytes() for f in frames}
    assert len(scenes) >= len(episode.steps)


def test_drawing_without_a_screen_leaves_the_process_as_it_was(drawn, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(DrawnField, "close", lambda env: seen.append(os.environ.get("MUJOCO_GL")))
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL"):
        monkeypatch.delenv(name, raising=False)
    film_of(drawn, tmp_path)
    assert seen == [None, "egl"]
    assert "MUJOCO_GL" not in os.environ
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    film_of(drawn, tmp_path)
    assert seen[2:] == ["osmesa", "osmesa"]


def test_a_grid_world_is_filmed(tmp_path):
    episode = played({"env": "MiniGrid-Empty-5x5-v0", "agent": "random", "budget": {"max_steps": 4}}, seed=1)
    made, _ = film_of(episode, tmp_path)
    assert made.n_matched == len(episode.steps) + 1
