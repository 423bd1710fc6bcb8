"""One stored episode -> one film: its calls are executed again, without the agent, and what comes is compared.

The times are the film's own: frames that come within a call run at the simulation's pace; what is told stands as long
as it takes to read. Knows no file format and draws nothing itself.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from trajgen.errors import EnvFault, TrajgenError, UserError
from trajgen.film import monologue
from trajgen.film.cameras import camera
from trajgen.film.encode import writing
from trajgen.verify import Verdict, ends_process, executed, was_reset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from trajgen.film.captions import Page
    from trajgen.film.encode import Film, Format
    from trajgen.film.monologue import Card
    from trajgen.types import Episode
    from trajgen.verify import Moment

_LONGEST_READING_S = 180.0  # of a whole film; longer ones are read faster
_WIDE = (1120, 560)  # beside captions, the scene has 640 x 480


class Diverged(TrajgenError):
    """The replay went apart from the record, so that its pictures would show another episode."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict)
        self.verdict = verdict


class Look(NamedTuple):
    """How a film looks.

    Attributes:
        fps: Frames a second, and a simulated second where the environment is filmed within its calls.
        size: Width and height in pixels; even.
        font: A TrueType file for the captions; None takes Pillow's own.
    """

    format_: Format
    fps: float = 15.0
    size: tuple[int, int] = _WIDE
    font: Path | None = None


class Made(NamedTuple):
    """What a film came to.

    Attributes:
        n_matched: State digests that were stored and are equal: of the reset and of each step.
        divergence: Where the replay went apart first; None where it did not.
        lacked: Characters that the font lacks, sorted.
    """

    n_frames: int
    seconds: float
    n_bytes: int
    n_matched: int
    divergence: Verdict | None
    lacked: str


def make_film(
    episode: Episode, out: Path, look: Look, *, anyway: bool = False, advance: Callable[[], None] = lambda: None
) -> Made:
    """Write the film of an episode. The same episode gives the same frames.

    Args:
        out: Replaced where it exists, once the film is whole.
        anyway: Go on where the replay goes apart from the record, and say so in the picture.
        advance: Called after the reset and after each step.

    Raises:
        Diverged: the replay went apart, and not `anyway`; there is no film.
        UserError: the environment has no pictures, cannot make them here, or raised.
        StoreFault: the disk failed.
    """
    _refuse(episode, anyway=anyway)
    from trajgen.film.captions import Page, plan

    fps = Fraction(look.fps).limit_denominator(1_000)
    page = Page(plan(*look.size), monologue.titles(episode), look.font)
    with writing(out, look.format_, look.size, fps) as film:
        reel = _Reel(episode, page, film, fps)
        try:
            divergence = _shoot(episode, reel, anyway=anyway, advance=advance)
        except EnvFault as fault:
            raise UserError(_fault_message(episode, fault)) from fault
        reel.end()
    lacked = "".join(sorted(page.letters.lacked))
    return Made(film.n_frames, float(film.n_frames / fps), out.stat().st_size, reel.n_matched, divergence, lacked)


def _refuse(episode: Episode, *, anyway: bool) -> None:
    if not was_reset(episode):
        raise UserError(f"episode {episode.episode_id} ended before its first observation: there is nothing to film")
    if ends_process(episode) and not anyway and episode.failure is not None:
        raise UserError(
            f"episode {episode.episode_id} ended its process ({episode.failure.type}), and may end this one; "
            "--anyway executes it all the same"
        )


def _fault_message(episode: Episode, fault: EnvFault) -> str:
    return (
        f"{episode.task.env_id} raised while episode {episode.episode_id[:12]} was filmed, "
        f"so there is no film: {fault.type}: {fault.message}"
    )


def _shoot(episode: Episode, reel: _Reel, *, anyway: bool, advance: Callable[[], None]) -> Verdict | None:
    """Execute the episode before the camera; return where it went apart first."""
    room, divergence = reel.page.plan.scene, None
    with camera(episode.task, reel.frame, fps=float(reel.fps), width=room.width, height=room.height) as taken:
        reel.runs = taken.runs
        for moment in executed(episode, taken.session):
            if moment.fault is not None and (not anyway or moment.step < 0):
                raise moment.fault
            if moment.differences and divergence is None:
                divergence = Verdict(episode.episode_id, "diverges", max(moment.step, 0), moment.differences[0])
                if not anyway:
                    raise Diverged(divergence)
                reel.warn(moment.step)
            if moment.landing is None:
                reel.before(moment.step)
                continue
            taken.shoot()
            reel.after(moment)
            advance()
    return divergence


class _Reel:
    """Scenes and cards -> the pictures of a film, one after another; holds one scene and one sheet."""

    def __init__(self, episode: Episode, page: Page, film: Film, fps: Fraction) -> None:
        self.page, self.fps, self._film = page, fps, film
        self.runs = False
        self.n_matched = 0
        self._episode = episode
        self._cards = monologue.cards(episode)
        self._pace = min(1.0, _LONGEST_READING_S / sum(map(monologue.reading_s, self._cards)))
        self._scene: Image.Image | None = None
        self._sheet: Image.Image | None = None
        self._warning: str | None = None

    def frame(self, frame: NDArray[np.uint8]) -> None:
        """Take a picture of the scene."""
        self._scene = self.page.fitted(frame)
        if self.runs and self._sheet is not None:
            self._film.add(self.page.put(self._sheet, self._scene))

    def warn(self, step: int) -> None:
        """Say from now on that this is another episode."""
        where = "the reset" if step < 0 else f"step {step + 1}"
        self._warning = f"from {where} on, this replay differs from the record, whose words these are"

    def before(self, step: int) -> None:
        """Tell what is known before a call is executed."""
        card = self._cards[step + 1]
        self._sheet = self.page.sheet(card, self._earlier(card), late=step < 0, warning=self._warning)
        # where pictures come only after calls, a call alone is told together with what it brought
        if step >= 0 and (self.runs or card.thinks):
            self._hold(monologue.early_s(card))

    def after(self, moment: Moment) -> None:
        """Tell what a call brought."""
        stored = self._episode.reset if moment.step < 0 else self._episode.steps[moment.step]
        if moment.landing is not None and stored.state_digest is not None:
            self.n_matched += stored.state_digest == moment.landing.digest
        card = self._cards[moment.step + 1]
        self._sheet = self.page.sheet(card, self._earlier(card), warning=self._warning)
        self._hold(monologue.late_s(card))

    def end(self) -> None:
        """Tell how the episode ended."""
        card = self._cards[-1]
        ending = monologue.ending(self._episode)
        self._sheet = self.page.sheet(card, self._earlier(card), ending=ending, warning=self._warning)
        self._hold(monologue.end_s(card), pace=1.0)

    def _earlier(self, card: Card) -> Iterator[Card]:
        return (self._cards[at] for at in range(card.step, -1, -1))  # a card's place is its step and one

    def _hold(self, seconds: float, pace: float | None = None) -> None:
        if self._sheet is not None:
            n_frames = round(seconds * (pace or self._pace) * self.fps)
            self._film.add(self.page.put(self._sheet, self._scene), max(n_frames, 1))
