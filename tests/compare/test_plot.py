"""The picture of a comparison: that it is made, of which size, of what; how it looks was seen by eye."""

from __future__ import annotations

import itertools
import struct
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trajgen.compare.cells import cell
from trajgen.compare.comparison import Axis, Comparison
from trajgen.compare.keys import is_number
from trajgen.compare.plot import _broken, _figure, _place, check, draw
from trajgen.compare.rows import Row
from trajgen.errors import ConfigError, MissingExtra


def comparison(*axes: tuple[str, list[str]], n: int = 20, run: str = "dials") -> Comparison:
    found = tuple(Axis(key, tuple(values), all(map(is_number, values)), is_paired=True) for key, values in axes)
    cells = [
        cell(values, [Row(0, b"", s, 0, 0, False, s < 3 * i, 5, 1.0, 2) for s in range(n)])
        for i, values in enumerate(itertools.product(*(axis.values for axis in found)))
    ]
    return Comparison(run, found, tuple(cells), ())


def size_of(png: bytes) -> tuple[int, int]:
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", png[16:24])


CHANNELS = ("feedback", ["none", "object", "object+scene"])
NOISE = ("noise", ["0", "0.01", "0.02"])
LONG = ("family", [f"stack the blocks in the order number {i}" for i in range(14)])


@pytest.mark.parametrize("axes", [(CHANNELS,), (NOISE,), (CHANNELS, NOISE), (NOISE, CHANNELS), (CHANNELS, NOISE, LONG)])
def test_a_picture_is_1000_pixels_wide_whatever_is_compared(tmp_path, axes):
    draw(comparison(*axes), tmp_path / "plot.png")
    width, height = size_of((tmp_path / "plot.png").read_bytes())
    assert width == 1000
    assert height >= 600


def test_equal_comparisons_are_equal_pictures(tmp_path):
    for name in ("a.png", "b.png"):
        draw(comparison(CHANNELS, NOISE), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_points_stand_at_their_success_inside_of_their_interval():
    found = comparison(CHANNELS)
    (axes,) = _figure(found).axes
    (container,) = axes.containers
    points, _, (bars,) = container.lines
    assert list(points.get_ydata()) == [c.success for c in found.cells]
    assert [tuple(ends[:, 1]) for ends in bars.get_segments()] == [pytest.approx(c.success_95) for c in found.cells]
    assert axes.get_ylim() == (-0.02, 1.02)
    assert "n = 20" in axes.get_xticklabels()[0].get_text()
    assert axes.get_title() == "dials: success by feedback"


def test_numbers_are_joined_by_a_line_at_their_own_places_and_names_are_not():
    assert _place(comparison(NOISE).axes[0]).xs == (0.0, 0.01, 0.02)
    lines = [_figure(comparison(axis)).axes[0].containers[0].lines[0].get_linestyle() for axis in (NOISE, CHANNELS)]
    assert lines == ["-", "None"]


def test_numbers_too_close_to_be_read_stand_evenly_and_it_is_said():
    (axes,) = _figure(comparison(("noise", ["0", "0.001", "1"]))).axes
    assert list(axes.get_xticks()) == [0, 1, 2]
    assert axes.get_xlabel() == "noise (not to scale)"


def test_the_second_key_is_the_legend():
    figure = _figure(comparison(CHANNELS, NOISE))
    (legend,) = figure.legends
    assert legend.get_title().get_text() == "noise"
    assert [text.get_text() for text in legend.get_texts()] == ["0", "0.01", "0.02"]


def test_no_label_is_outside_of_the_picture(tmp_path):
    figure = _figure(comparison(LONG, CHANNELS, run="a run of a long name " * 3))
    figure.savefig(tmp_path / "laid_out.png")
    box = figure.get_tightbbox()
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= figure.get_figwidth()
    assert box.y1 <= figure.get_figheight()


def test_hostile_labels_are_drawn_as_they_are(tmp_path):
    draw(comparison((r"$\frac{", ["$x^", "\x1b[31m\u202e", "字", ""]), run="$$"), tmp_path / "plot.png")


@given(st.text(), st.integers(1, 30))
@settings(max_examples=200)
def test_a_broken_label_keeps_its_text_and_its_limit(text, limit):
    broken = _broken(text, limit)
    inert = "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
    assert broken.replace("\n", "").replace(" ", "") == inert.replace("$", r"\$").replace(" ", "")
    assert all(len(line.replace(r"\$", "$")) <= limit for line in broken.split("\n"))


def test_what_cannot_be_judged_is_not_drawn(tmp_path):
    axis = Axis("env", ("a",), is_numeric=False, is_paired=False)
    unknown = cell(["a"], [Row(0, b"", 0, 0, 0, False, None, 5, 1.0, 2)])
    with pytest.raises(ConfigError, match="of no episode it is known whether it succeeded"):
        draw(Comparison("run", (axis,), (unknown,), ()), tmp_path / "plot.png")
    draw(
        Comparison("run", (axis, axis), (cell(["a", "a"], [Row(0, b"", 0, 0, 0, False, True, 5, 1.0, 2)]),), ()),
        tmp_path / "p.png",
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("plot.jpg", r"expected the name of a PNG file, like plot\.png"),
        ("nowhere/plot.png", "found no folder .*nowhere"),
        ("folder.png", "found a folder"),
    ],
)
def test_a_file_that_cannot_be_drawn_is_refused_at_once(tmp_path, name, said):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ConfigError, match=said):
        check(tmp_path / name)


def test_without_matplotlib_it_says_which_extra_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r"pip install 'trajgen\[plot\]'"):
        check(tmp_path / "plot.png")


def test_neither_pyplot_nor_a_display_has_a_part_in_it(tmp_path):
    code = f"""
import sys
sys.path.insert(0, {str(__file__.rpartition("/compare/")[0])!r})
from pathlib import Path
from compare.test_plot import CHANNELS, comparison, draw
assert "matplotlib" not in sys.modules
draw(comparison(CHANNELS), Path("plot.png"))
assert "matplotlib.pyplot" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
