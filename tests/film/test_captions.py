"""Pictures: captions stay in their place whatever they hold, and what is told can be seen in its colour."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from trajgen.errors import ConfigError
from trajgen.film import monologue
from trajgen.film.captions import _PAPER, _STAGE, _TONES, Page, _dimmed, plan
from trajgen.film.lettering import Lettering
from trajgen.film.monologue import Card, Ending, Paragraph, Titles

TITLES = Titles("Put the red block into the bowl.", "test/Env-v0 x llm, seed 3", 12)
HOSTILE = "\x1b[31mred\x1b]0;t\x07 \u202ereversed\u2066 \u200b\x9b\x00 \r \ud83d \ufdfa\N{COMBINING ACUTE ACCENT}"
SIZES = [(1120, 560), (320, 240), (480, 640), (1280, 720), (640, 1136)]


def page(size=(1120, 560), **more):
    return Page(plan(*size), TITLES, **more)


def pixels(picture, box=None):
    return np.asarray(picture if box is None else picture.crop(tuple(box))).reshape(-1, 3)


def has(colour, picture, box):
    return bool((pixels(picture, box) == colour).all(axis=1).any())


def card(*texts, **more):
    return Card(2, tuple(Paragraph("sees", text, "observation", **more) for text in texts))


@pytest.mark.parametrize("size", SIZES)
def test_nothing_covers_the_scene(size):
    where = page(size)
    hostile = card(*["W" * 500, "word " * 400, monologue._tidy(HOSTILE), "\n" * 90] * 4)
    sheet = where.sheet(hostile, [hostile] * 9, ending=Ending("solved", "solved"), warning="w" * 900)
    assert sheet.size == size
    assert (pixels(sheet, where.plan.scene) == _STAGE).all()
    assert (pixels(sheet, where.plan.captions)[-size[0] :] == _PAPER).mean() > 0.5, "the lowest lines are free"


@pytest.mark.parametrize("size", SIZES)
def test_the_places_fill_the_film_and_do_not_overlap(size):
    where = plan(*size)
    covered = np.zeros((size[1], size[0]), int)
    for box in (where.head, where.scene, where.captions):
        covered[box.top : box.bottom, box.left : box.right] += 1
    assert (covered == 1).all()
    assert where.scene.width % 2 == 0 == where.scene.height % 2


def test_beside_captions_the_scene_has_the_size_a_simulator_is_asked_for_by_default():
    scene = plan(1120, 560).scene
    assert (scene.width, scene.height) == (640, 480)


@settings(max_examples=40, deadline=None, suppress_health_check=[*HealthCheck])
@given(st.lists(st.text(max_size=200) | st.text(st.characters(min_codepoint=0x300), max_size=40), max_size=8))
def test_any_text_can_be_drawn(texts):
    where = page((320, 240))
    sheet = where.sheet(card(*map(monologue._tidy, texts)), [card(*map(monologue._tidy, texts))])
    assert (pixels(sheet, where.plan.scene) == _STAGE).all()


def test_the_text_of_a_whole_book_is_cut_before_it_costs_time():
    started = time.process_time()
    page().sheet(card(monologue._tidy("a word " * 1_000_000)))
    assert time.process_time() - started < 2


@pytest.mark.parametrize("tone", sorted(_TONES))
def test_every_tone_is_seen_in_its_colour_and_dimmed_where_it_was_not_shown(tone):
    where = page()
    bright = where.sheet(Card(0, (Paragraph("l", "HHHH", tone),)))
    dim = where.sheet(Card(0, (Paragraph("l", "HHHH", tone, dim=True),)))
    box = where.plan.captions
    assert has(_TONES[tone], bright, box)
    assert not has(_TONES[tone], dim, box)
    assert has(_dimmed(_TONES[tone]), dim, box)


def test_channels_differ_in_colour():
    channels = [_TONES[c] for c in ("success", "object", "scene", "progress", "error", "human", "simulation")]
    assert len(set(channels)) == len(channels)


def test_what_a_call_brings_is_not_told_before_but_keeps_its_place():
    where = page()
    told = Card(0, (Paragraph("calls", "go()", "call"), Paragraph("sees", "HHHH", "observation", late=True)))
    before, after = where.sheet(told, [card("old")], late=False), where.sheet(told, [card("old")])
    changed = np.argwhere((np.asarray(before) != np.asarray(after)).any(axis=2))
    assert len(changed)
    box = where.plan.captions
    assert (changed[:, 1] >= box.left).all()
    assert (changed[:, 0] < box.top + 4 * where.plan.text_px).all(), "what stands below has not moved"


def test_the_counter_the_goal_and_the_ending_stand_on_top():
    where = page()
    start, end = where.sheet(card("x")), where.sheet(card("x"), ending=Ending("solved", "solved"))
    assert not has(_TONES["solved"], start, where.plan.head)
    assert has(_TONES["solved"], end, where.plan.head)
    other = Page(plan(1120, 560), TITLES._replace(goal="Stack them.")).sheet(card("x"))
    assert (pixels(start, where.plan.head) != pixels(other, where.plan.head)).any()


def test_of_more_paragraphs_than_lines_the_rest_is_counted():
    where = page((320, 240))
    told = where._blocks([Paragraph("sees", str(i), "observation") for i in range(90)])
    assert told[-1][1][0].startswith("and ")
    assert told[-1][1][0] == f"and {90 - len(told) + 1} more"


def test_a_character_the_font_lacks_is_replaced_where_another_says_the_same():
    letters = Lettering(16)
    assert letters.drawable("a \N{EM DASH} b \N{RIGHTWARDS ARROW} \N{FULLWIDTH LATIN CAPITAL LETTER A}") == "a - b -> A"
    assert letters.drawable("e\N{COMBINING ACUTE ACCENT}\N{LATIN CAPITAL LETTER U WITH DIAERESIS}") == "eU"
    assert letters.lacked == set()


def test_a_character_that_cannot_be_replaced_is_noted():
    letters = Lettering(16)
    assert letters.drawable("\u4e2d!") == "\u4e2d!"
    assert letters.lacked == {"\u4e2d"}


@given(st.text(st.sampled_from("aW. m"), max_size=30))
def test_a_line_is_as_wide_as_it_is_measured(line):
    letters = Lettering(16)
    drawn = Image.new("L", (1_000, 30))
    letters.draw(ImageDraw.Draw(drawn), (5, 5), line, 255)
    box = drawn.getbbox() or (5, 0, 5, 0)
    assert box[0] >= 4
    assert box[2] <= 5 + letters.width(line) + 2, "no glyph reaches further than a rounding"


def test_a_scene_keeps_its_aspect_and_stands_in_the_middle():
    where = page()
    fitted = where.fitted(np.full((480, 480, 3), 200, np.uint8))
    assert fitted.size == (480, 480)
    whole = where.put(where.sheet(card("x")), where.fitted(np.full((100, 50, 3), 200, np.uint8)))
    found = np.argwhere((np.asarray(whole) == 200).all(axis=2))
    assert found[:, 0].min() == 80
    assert (found[:, 1].min(), found[:, 1].max()) == (200, 439)


def test_a_file_that_is_no_font_is_refused(tmp_path):
    (tmp_path / "x.ttf").write_text("no font")
    with pytest.raises(ConfigError, match=r"--font .*expected a TrueType"):
        page(font=tmp_path / "x.ttf")
