"""Film files: what was added is what a decoder gives back, for as long, and a film is whole or not there."""

from __future__ import annotations

import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from trajgen.errors import ConfigError, MissingExtra, StoreFault
from trajgen.film import encode
from trajgen.film.encode import FORMATS, chosen_format, writing

SIZE = (64, 48)
FPS = Fraction(15)


def picture(colour, square=None):
    found = Image.new("RGB", SIZE, colour)
    if square is not None:
        found.paste((255, 255, 255), (*square, square[0] + 9, square[1] + 9))
    return found


def write(path, format_, pictures, fps=FPS):
    with writing(path, format_, SIZE, fps) as film:
        for each, n_frames in pictures:
            film.add(each, n_frames)
    return film.n_frames


def decoded(path, fps=FPS):
    """Return every frame of a film, those that stand repeated."""
    if path.suffix == ".mp4":
        with av.open(str(path)) as container:
            return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    frames, until_ms = [], 0.0
    with Image.open(path) as film:
        for number in range(film.n_frames):
            film.seek(number)
            film.load()
            until_ms += film.info["duration"]
            frames += [np.asarray(film.convert("RGB"))] * (round(until_ms / 1000 * fps) - len(frames))
    return frames


FILM = [(picture("black"), 3), (picture("black", (5, 7)), 1), (picture("black", (31, 21)), 4), (picture("navy"), 2)]


@pytest.mark.parametrize("format_", FORMATS)
def test_a_decoder_gives_back_what_was_added(format_, tmp_path):
    path = tmp_path / f"film.{format_}"
    assert write(path, format_, FILM) == 10
    frames = decoded(path)
    wanted = [np.asarray(each) for each, n in FILM for _ in range(n)]
    assert len(frames) == len(wanted)
    for found, expected in zip(frames, wanted, strict=True):
        assert np.abs(found.astype(int) - expected.astype(int)).mean() < 6


@settings(max_examples=25, deadline=None, suppress_health_check=[*HealthCheck])
@given(
    st.lists(st.tuples(st.integers(0, 55), st.integers(0, 39), st.integers(1, 40)), min_size=1, max_size=8),
    st.sampled_from(["gif", "webp"]),
)
def test_pictures_that_change_anywhere_and_stand_for_any_time_come_back(tmp_path_factory, moves, format_):
    path = tmp_path_factory.mktemp("film") / f"film.{format_}"
    pictures = [(picture("black", (x, y)), n) for x, y, n in moves]
    write(path, format_, pictures)
    frames = decoded(path)
    assert len(frames) == sum(n for _, n in pictures)
    at = 0
    for each, n in pictures:
        assert np.abs(frames[at].astype(int) - np.asarray(each).astype(int)).mean() < 8
        at += n


@pytest.mark.parametrize("format_", FORMATS)
def test_the_same_pictures_give_the_same_file(format_, tmp_path):
    for name in ("a", "b"):
        write(tmp_path / name, format_, FILM)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("format_", FORMATS)
def test_an_odd_frame_rate_keeps_its_time(format_, tmp_path):
    fps = Fraction(7.3).limit_denominator(1_000)
    path = tmp_path / f"film.{format_}"
    write(path, format_, [(picture("black", (i % 50, 0)), 1) for i in range(73)], fps)
    if format_ == "mp4":
        with av.open(str(path)) as container:
            assert float(container.duration / av.time_base) == pytest.approx(10, abs=0.2)
    assert len(decoded(path, fps)) == 73


def test_an_mp4_can_be_shown_while_it_loads_and_everywhere(tmp_path):
    write(tmp_path / "film.mp4", "mp4", FILM)
    content = (tmp_path / "film.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    with av.open(str(tmp_path / "film.mp4")) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"


@pytest.mark.parametrize("format_", FORMATS)
def test_a_film_that_is_not_finished_leaves_nothing_and_the_old_one_stays(format_, tmp_path):
    path = tmp_path / "film"
    path.write_bytes(b"the old one")
    with pytest.raises(ZeroDivisionError):
        write(path, format_, ((picture("red"), 1 // n) for n in (1, 0)))
    assert [p.name for p in tmp_path.iterdir()] == ["film"]
    assert path.read_bytes() == b"the old one"


KILLED = """
import sys, time
from fractions import Fraction
from pathlib import Path
from PIL import Image
from trajgen.film.encode import writing
with writing(Path(sys.argv[1]), sys.argv[2], (64, 48), Fraction(15)) as film:
    for n in range(10**9):
        film.add(Image.new("RGB", (64, 48), (n % 255, 0, 0)))
        print(n, flush=True)
"""


@pytest.mark.parametrize("format_", FORMATS)
def test_a_kill_leaves_no_half_film_under_its_name(format_, tmp_path):
    path = tmp_path / "film.x"
    process = subprocess.Popen([sys.executable, "-c", KILLED, path, format_], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == b"0"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not path.exists()


LONG = """
import resource, sys
from fractions import Fraction
from pathlib import Path
from PIL import Image
from trajgen.film.encode import writing
def most_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
with writing(Path(sys.argv[1]), sys.argv[2], (640, 480), Fraction(15)) as film:
    for n in range(160):
        film.add(Image.new("RGB", (640, 480), (n % 255, 0, 0)))
        if n == 60:  # more than an encoder looks ahead
            before = most_mb()
print(most_mb() - before)
"""


@pytest.mark.parametrize("format_", FORMATS)
def test_a_long_film_takes_no_more_memory_than_a_short_one(format_, tmp_path):
    said = subprocess.run(
        [sys.executable, "-c", LONG, tmp_path / "film", format_], capture_output=True, text=True, check=True
    )
    held_mb = 100 * 640 * 480 * 3 / 2**20  # were every frame held
    assert float(said.stdout) < held_mb / 4


def test_a_disk_that_fails_is_the_disks_fault(tmp_path):
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no way to make a disk fail here")
    film = encode.Film(encode._encoder(tmp_path / "x.gif", "gif", SIZE, FPS))
    film._encoder._file.close()
    film._encoder._file = full.open("wb", buffering=0)
    film.add(picture("red"))
    with pytest.raises(StoreFault, match="No space"):
        film.add(picture("blue"))
    film._encoder._file.close()


def test_the_format_is_that_of_the_name_or_what_can_be_had(tmp_path, monkeypatch):
    assert chosen_format(tmp_path / "a.GIF", None) == "gif"
    assert chosen_format(tmp_path / "film", "webp") == "webp"
    assert chosen_format(None, None) == "mp4"
    monkeypatch.setattr(encode, "_is_installed", lambda module: module != "av")
    assert chosen_format(None, None) == "webp"


def test_a_name_that_says_something_else_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="names a gif file"):
        chosen_format(tmp_path / "a.gif", "mp4")
    with pytest.raises(ConfigError, match=r"ends in \.mp4, \.webp or \.gif.*did you mean 'mp4'"):
        chosen_format(tmp_path / "a.mp3", None)


def test_a_missing_package_names_its_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(encode, "_is_installed", lambda module: module == "PIL")
    with pytest.raises(MissingExtra, match=r"'trajgen\[video\]'.*--format webp"):
        chosen_format(tmp_path / "a.mp4", None)
    monkeypatch.setattr(encode, "_is_installed", lambda module: False)
    with pytest.raises(MissingExtra, match=r"'trajgen\[pictures\]'"):
        chosen_format(None, None)


def test_a_folder_is_no_film(tmp_path):
    with pytest.raises(ConfigError, match="found a folder"), writing(tmp_path, "gif", SIZE, FPS):
        pass
    with pytest.raises(ConfigError, match="no folder"), writing(tmp_path / "no" / "a.gif", "gif", SIZE, FPS):
        pass
