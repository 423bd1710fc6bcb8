"""`trajgen render` from the command line to the file."""

from __future__ import annotations

import json

import pytest

from cli.calling import finished, spawn
from film import fakes
from film.fakes import FilmedField
from film.test_encode import decoded


@pytest.fixture
def run(cli, tmp_path):
    """A run of an episode each of an environment that is filmed, one that is drawn and one that is neither."""
    with fakes.registered():
        (tmp_path / "job.toml").write_text(
            f"""
            out = "fields"
            workers = 0
            seeds = "0:1"
            agent = {{ name = "llm", backend = "script" }}
            backend.script = {{ kind = "scripted", replies = {json.dumps(fakes.SCRIPT)} }}
            [[entry]]
            env = {json.dumps([fakes.FILMED, fakes.DRAWN, fakes.BLIND])}
            """
        )
        said = cli("run", "job.toml")
        assert said.code == 0, said.err
        yield "fields"


def small(cli, run, *words):
    return cli("render", run, *words, "--size", "320x240")


@pytest.mark.parametrize("episode", [0, 1])
def test_it_writes_a_film_and_says_what_it_wrote(cli, run, tmp_path, episode):
    said = small(cli, run, episode, "--out", "film.gif")
    assert said.code == 0, said.err
    frames = decoded(tmp_path / "film.gif")
    assert said.out.startswith("wrote film.gif: 320x240")
    assert f"{len(frames)} frames" in said.out
    assert "7 state digests equal" in said.out


def test_json_gives_the_figures_of_the_film(cli, run, tmp_path):
    said = small(cli, run, 0, "--fps", 10, "--json").json
    path = tmp_path / said["file"]
    assert path.name == f"{said['episode_id'][:8]}.mp4"
    assert (said["format"], said["width"], said["height"], said["fps"]) == ("mp4", 320, 240, 10)
    assert said["bytes"] == path.stat().st_size
    assert said["frames"] == len(decoded(path))
    assert said["seconds"] == pytest.approx(said["frames"] / 10)
    assert (said["steps"], said["matched_digests"], said["divergence"]) == (6, 7, None)


def test_an_environment_without_pictures_is_told_in_words_by_another_command(cli, run, tmp_path):
    said = small(cli, run, 2)
    assert said.code == 2
    assert "film-test/Blind-v0 has no pictures" in said.err
    assert "show fields" in said.err
    assert not [*tmp_path.glob("*.mp4"), *tmp_path.glob(".*part")]


def test_a_divergent_replay_exits_as_verify_does_and_names_the_step(cli, run, tmp_path, monkeypatch):
    monkeypatch.setattr(FilmedField, "drift", 0.25)
    said, verified = small(cli, run, 0, "--out", "film.gif"), cli("verify", run, 0)
    assert said.code == verified.code == 1
    first = verified.out.splitlines()[0]
    assert "diverges at step 1" in first
    assert first in said.err
    assert "--anyway" in said.err
    assert not (tmp_path / "film.gif").exists()
    anyway = small(cli, run, 0, "--out", "film.gif", "--anyway", "--json")
    assert anyway.code == 0
    assert anyway.json["divergence"]["step"] == 0
    assert first in small(cli, run, 0, "--out", "film.gif", "--anyway").err


def test_what_an_environment_raises_is_one_message(cli, run, monkeypatch):
    monkeypatch.setattr(FilmedField, "refuses", "no OpenGL\x1b[31m here")
    said = small(cli, run, 0)
    assert said.code == 2
    assert "RuntimeError: no OpenGL\\x1b[31m here" in said.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--size", "640"), "--size: expected WIDTHxHEIGHT of even numbers from 320x240 to 3840x2160, found '640'"),
        (("--size", "641x480"), "even numbers"),
        (("--size", "99999x480"), "to 3840x2160"),
        (("--fps", "0"), "--fps: expected a number from 1 to 50, found 0"),
        (("--fps", "nan"), "--fps"),
        (("--out", "a.avi"), "expected a name that ends in .mp4, .webp or .gif"),
        (("--out", "a.gif", "--format", "mp4"), "names a gif file"),
        (("--out", "no/a.gif"), "no folder no"),
        (("--font", "nothing.ttf"), "--font nothing.ttf: expected a TrueType"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_said_before_anything_is_played(cli, run, words, message):
    said = cli("render", run, 0, *words)
    assert said.code == 2
    assert message in said.err


def test_characters_the_font_lacks_are_named_and_another_font_has_them(cli, run, tmp_path, monkeypatch):
    monkeypatch.setattr("trajgen.film.monologue.ENDS", {"terminated": "\u0416\u0416!"})
    said = small(cli, run, 1, "--out", "film.gif")
    assert said.code == 0
    assert r"1 character of the captions stand as empty boxes, like '\u0416'" in said.err
    assert "--font FILE" in said.err


def test_an_unknown_episode_is_a_message(cli, run):
    said = cli("render", run, "zzz")
    assert said.code == 2
    assert "no episode 'zzz'" in said.err


def test_the_verb_explains_itself(cli):
    said = cli("render", "--help")
    assert said.code == 0
    for word in ("--out", "--format", "--fps", "--size", "--anyway", "mp4"):
        assert word in said.out


def test_a_real_process_prints_one_document_and_its_progress_apart(tmp_path, small_run):
    said = finished(spawn("render", small_run, "0", "--json", cwd=tmp_path))
    assert (said.code, said.out) == (2, "")
    assert "trajgen/Toolbox-v0 has no pictures" in said.err
