"""Cards -> pictures: where the goal, the scene and the captions stand, in which colours, and what is cut to fit.

Knows no episode, no environment and no film format.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from PIL import Image, ImageDraw

from trajgen.film.lettering import Lettering
from trajgen.film.monologue import Paragraph
from trajgen.film.wrapping import fair_shares, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from trajgen.film.monologue import Card, Ending, Titles, Tone

Colour = tuple[int, int, int]

_PAPER: Colour = (18, 21, 26)
_STAGE: Colour = (8, 9, 11)  # around a scene that does not fill its place
_RULE: Colour = (52, 58, 68)
_PLAIN: Colour = (240, 240, 236)
_QUIET: Colour = (140, 146, 156)
_DIMMED = 0.58  # of a colour; the rest is paper
# light forms of M. Okabe and K. Ito, Color Universal Design, 2008: told apart by the colour-blind, and on dark paper
_TONES: Mapping[Tone, Colour] = {
    "thought": (242, 226, 186),
    "call": (104, 222, 140),
    "observation": _PLAIN,
    "success": (110, 190, 245),
    "object": (240, 170, 60),
    "scene": (236, 160, 205),
    "progress": (176, 182, 192),
    "error": (255, 112, 96),
    "human": (244, 232, 92),
    "simulation": (96, 214, 196),
    "reflection": (190, 170, 255),
    "skipped": (214, 160, 96),
    "solved": (104, 222, 140),
    "unsolved": (255, 112, 96),
    "unknown": _QUIET,
}
_LINES_A_HEIGHT = 35  # a font's height is such a part of the film's
_HEAD = 5  # heights of the font over the scene
_SCENE_SHARE = 4 / 7  # of the width beside captions; 640 of 1120
_BELOW_SHARE = 0.55  # of the height above captions
_BESIDE_FROM = 1.25  # width / height
_SMALLEST_PX, _LARGEST_PX = 10, 60
_LABEL = 5.2  # heights of the font for the labels' column
_GOAL_LINES = 2


class Box(NamedTuple):
    """A rectangle in pixels; `right` and `bottom` are outside."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """In pixels."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """In pixels."""
        return self.bottom - self.top


class Plan(NamedTuple):
    """Where everything stands in a film of one size.

    Attributes:
        text_px: Height of the font.
        scene: The simulator's picture; captions never cover it.
    """

    width: int
    height: int
    text_px: int
    head: Box
    scene: Box
    captions: Box


def plan(width: int, height: int) -> Plan:
    """Put the captions beside the scene in a wide film, below it in a high one.

    Args:
        width, height: Of the whole film, in pixels; even.
    """
    beside = width >= _BESIDE_FROM * height
    text_px = min(max(round((height if beside else width * 0.6) / _LINES_A_HEIGHT), _SMALLEST_PX), _LARGEST_PX)
    head = Box(0, 0, width, _even(_HEAD * text_px))
    if beside:
        edge = _even(width * _SCENE_SHARE)
        scene, captions = Box(0, head.bottom, edge, height), Box(edge, head.bottom, width, height)
    else:
        edge = head.bottom + _even((height - head.bottom) * _BELOW_SHARE)
        scene, captions = Box(0, head.bottom, width, edge), Box(0, edge, width, height)
    return Plan(width, height, text_px, head, scene, captions)


def _even(pixels: float) -> int:
    return 2 * round(pixels / 2)


class Page:
    """Draws the pictures of one film.

    Args:
        font: As `Lettering` takes it.

    Raises:
        ConfigError: the file is no font.
    """

    def __init__(self, where: Plan, head: Titles, font: Path | None = None) -> None:
        self.plan = where
        self._titles = head
        self.letters = Lettering(where.text_px, font)
        self._pad = where.text_px // 2
        self._leading = round(where.text_px * 1.35)

    def fitted(self, frame: NDArray[np.uint8]) -> Image.Image:
        """Return a simulator's frame, of shape (height, width, 3), as large as its place allows, its aspect kept."""
        # a copy: simulators reuse their buffers
        picture = Image.fromarray(frame).copy()
        room = self.plan.scene
        scale = min(room.width / picture.width, room.height / picture.height)
        size = (max(round(picture.width * scale), 1), max(round(picture.height * scale), 1))
        return picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS)

    def put(self, sheet: Image.Image, scene: Image.Image | None) -> Image.Image:
        """Return a copy of a sheet with a fitted scene in its place."""
        whole = sheet.copy()
        if scene is not None:
            room = self.plan.scene
            left, top = room.left + (room.width - scene.width) // 2, room.top + (room.height - scene.height) // 2
            whole.paste(scene, (left, top))
        return whole

    def sheet(
        self,
        card: Card,
        earlier: Iterable[Card] = (),
        *,
        late: bool = True,
        ending: Ending | None = None,
        warning: str | None = None,
    ) -> Image.Image:
        """Return everything but the scene.

        Args:
            earlier: What was told before, the latest first; told below, dimmed, where there is room.
            late: Tell what is known only once the call was executed, too. Its place is kept free where it is not told.
            warning: Told on top, instead of who plays what.
        """
        sheet = Image.new("RGB", (self.plan.width, self.plan.height), _PAPER)
        draw = ImageDraw.Draw(sheet)
        room = self.plan.scene
        draw.rectangle((room.left, room.top, room.right - 1, room.bottom - 1), _STAGE)
        self._head(draw, card.step, ending, warning)
        # on a picture of their own, so that no glyph can reach the scene
        captions = Image.new("RGB", (self.plan.captions.width, self.plan.captions.height), _PAPER)
        below = self._captions(ImageDraw.Draw(captions), card.paragraphs, late=late)
        self._history(ImageDraw.Draw(captions), earlier, below)
        sheet.paste(captions, self.plan.captions[:2])
        return sheet

    # ---- the head

    def _head(self, draw: ImageDraw.ImageDraw, step: int, ending: Ending | None, warning: str | None) -> None:
        box, n_steps = self.plan.head, self._titles.n_steps
        counter = "start" if step < 0 else f"step {min(step + 1, n_steps)} of {n_steps}"
        right = box.right - self._pad
        widest = max(self.letters.width(counter), 0 if ending is None else self.letters.width(ending.text))
        self.letters.draw(draw, (right, self._pad), counter, _QUIET, to_left=True)
        if ending is not None:
            self.letters.draw(draw, (right, self._pad + self._leading), ending.text, _TONES[ending.tone], to_left=True)
        room = right - widest - 3 * self._pad
        top = self._pad
        for line in self._lines(" ".join(self._titles.goal.split()), room, _GOAL_LINES):
            self.letters.draw(draw, (self._pad, top), line, _PLAIN)
            top += self._leading
        told = self._titles.source if warning is None else warning
        colour = _QUIET if warning is None else _TONES["error"]
        for line in self._lines(told, box.width - 2 * self._pad, 1):
            self.letters.draw(draw, (self._pad, self._pad + _GOAL_LINES * self._leading), line, colour)
        self._bar(draw, (step + 1) / max(n_steps, 1))

    def _bar(self, draw: ImageDraw.ImageDraw, share: float) -> None:
        box = self.plan.head
        thick = max(self.plan.text_px // 8, 1)
        draw.rectangle((0, box.bottom - thick, box.right - 1, box.bottom - 1), _RULE)
        end = round(box.width * min(share, 1.0))
        if end > 0:
            draw.rectangle((0, box.bottom - thick, end - 1, box.bottom - 1), _QUIET)

    # ---- the captions

    def _captions(self, draw: ImageDraw.ImageDraw, paragraphs: Sequence[Paragraph], *, late: bool) -> int:
        """Draw a card's paragraphs; return where they end."""
        top = self._pad
        for paragraph, lines in self._blocks(paragraphs):
            if late or not paragraph.late:
                self._block(draw, top, paragraph, lines, dim=paragraph.dim)
            top += len(lines) * self._leading + self._gap
        return top

    def _block(
        self, draw: ImageDraw.ImageDraw, top: int, paragraph: Paragraph, lines: Sequence[str], *, dim: bool
    ) -> None:
        colour = _TONES[paragraph.tone]
        label = "".join(self._lines(paragraph.label, self._label_px - self._pad, 1))
        self.letters.draw(draw, (self._pad, top), label, _dimmed(colour))
        for number, line in enumerate(lines):
            where = (self._pad + self._label_px, top + number * self._leading)
            self.letters.draw(draw, where, line, _dimmed(colour) if dim else colour)

    def _history(self, draw: ImageDraw.ImageDraw, earlier: Iterable[Card], top: int) -> None:
        """Draw what was shown before, a line each, as far as there is room."""
        bottom = self.plan.captions.height - self._pad - self._leading
        for card in earlier:
            told = [p for p in card.paragraphs if not p.dim]
            if not told:
                continue
            if top + self._gap > bottom:
                return
            draw.line((self._pad, top, self.plan.captions.width - self._pad, top), _RULE)
            top += self._gap
            n_fitting = (bottom - top) // self._leading + 1
            for paragraph in told[:n_fitting]:
                self._block(draw, top, paragraph, self._lines(paragraph.text, self._text_width, 1), dim=True)
                top += self._leading
            top += self._gap

    @property
    def _label_px(self) -> int:
        return round(_LABEL * self.plan.text_px) + self._pad

    @property
    def _text_width(self) -> int:
        return self.plan.captions.width - self._label_px - 2 * self._pad

    @property
    def _gap(self) -> int:
        return self._leading // 4

    def _blocks(self, paragraphs: Sequence[Paragraph]) -> list[tuple[Paragraph, list[str]]]:
        """Wrap the paragraphs, and cut them so that all fit; each keeps a line at least while there is room."""
        room = self.plan.captions.height - 2 * self._pad
        most = room // self._leading
        lines = [self._lines(p.text, self._text_width, most + 1) for p in paragraphs]
        n_most = max(room // (self._leading + self._gap), 1)
        if len(paragraphs) > n_most:
            rest = Paragraph("", f"and {len(paragraphs) - n_most + 1} more", "unknown")
            return self._blocks([*paragraphs[: n_most - 1], rest])
        free = (room - len(lines) * self._gap) // self._leading
        shares = fair_shares([len(found) for found in lines], free)
        return [(p, self._lines(p.text, self._text_width, share)) for p, share in zip(paragraphs, shares, strict=True)]

    def _lines(self, text: str, width: float, most: int) -> list[str]:
        return wrapped(self.letters.drawable(text), width, most, self.letters.width)


def _dimmed(colour: Colour) -> Colour:
    red, green, blue = (round(_DIMMED * c + (1 - _DIMMED) * p) for c, p in zip(colour, _PAPER, strict=True))
    return red, green, blue
