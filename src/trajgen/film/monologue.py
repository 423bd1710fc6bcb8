"""An episode as cards: what is told beside the pictures of the reset, of every step and of the end. Words only, no picture.

The layout is Inner Monologue's figure 1 (arXiv 2207.05608): thought, call, observation, then feedback by its channel.
Everything on a card is `inert`: a film is not a terminal, but its text is as hostile, and turned text misleads.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from trajgen.types import Channel
from trajgen.words import ENDS, call_words, inert

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from trajgen.types import Episode, Feedback, ObservationRecord, Option, Step, TurnRecord

_MAX_CHARS = 2_000  # more than a card of the largest film can hold
_SHOWN_OPTIONS = 3
_SECONDS_A_CHAR = 1 / 30  # silent reading, with an eye on the picture
_LEAST_S, _MOST_S, _END_S = 0.5, 4.0, 2.5

Tone = Channel | Literal["thought", "call", "observation", "skipped", "solved", "unsolved", "unknown"]


class Paragraph(NamedTuple):
    """One thing that is told.

    Attributes:
        tone: What it is, which decides its colour.
        dim: The agent was not shown it.
        late: It is known only once the call was executed.
        again: The card before told it in the same words.
    """

    label: str
    text: str
    tone: Tone
    dim: bool = False
    late: bool = False
    again: bool = False


class Card(NamedTuple):
    """What is told beside one step's pictures.

    Attributes:
        step: -1 is the reset; the number of steps is the end.
        paragraphs: Top to bottom; late ones last.
    """

    step: int
    paragraphs: tuple[Paragraph, ...]

    @property
    def thinks(self) -> bool:
        """Whether more than the call is told before it is executed."""
        return any(not p.late and p.tone != "call" for p in self.paragraphs)


class Titles(NamedTuple):
    """What is told in every picture."""

    goal: str
    source: str
    n_steps: int


class Ending(NamedTuple):
    """How the episode ended, in a word or two."""

    text: str
    tone: Tone


def titles(episode: Episode) -> Titles:
    """Return the goal, and in a line who plays what."""
    task = episode.task
    who = ", ".join(agent.name for agent in episode.agents)
    source = f"{task.env_id} x {who}, seed {task.seed}{f', {task.split}' if task.split else ''}"
    return Titles(_tidy(task.goal), _tidy(source), len(episode.steps))


def ending(episode: Episode) -> Ending:
    """Say how it ended."""
    if episode.failure is not None:
        return Ending("failed", "unsolved")
    if episode.outcome.success is None:
        return Ending("success unknown", "unknown")
    return Ending("solved", "solved") if episode.outcome.success else Ending("not solved", "unsolved")


def cards(episode: Episode) -> tuple[Card, ...]:
    """Return a card for the reset, for every step and for the end, in this order."""
    steps: dict[int, list[int]] = defaultdict(list)
    for number, step in enumerate(episode.steps):
        steps[step.turn].append(number)
    told: dict[int, list[Paragraph]] = defaultdict(list)
    told[-1] = list(_beginning(episode))
    at = len(episode.steps)
    for turn in reversed(episode.turns):  # one without a step is told with the step that follows it
        mine = steps[turn.turn]
        at = mine[0] if mine else at
        told[at] = [*_said(turn), *([] if mine else _skipped(turn)), *told[at]]
        if mine:
            told[mine[-1]] += _skipped(turn)
    for number, step in enumerate(episode.steps):
        early = [p for p in told[number] if not p.late]
        told[number] = [*early, *_step(step), *(p for p in told[number] if p.late)]
    told[len(episode.steps)] += _end(episode)
    return tuple(_numbered(told[number] for number in range(-1, len(episode.steps) + 1)))


def _numbered(told: Iterable[Sequence[Paragraph]]) -> Iterator[Card]:
    before: set[tuple[str, str]] = set()
    for number, paragraphs in enumerate(told, start=-1):
        yield Card(number, tuple(p._replace(again=(p.label, p.text) in before) for p in paragraphs))
        before = {(p.label, p.text) for p in paragraphs}


def early_s(card: Card) -> float:
    """Return how many seconds it takes to read what is told before the call is executed."""
    return _reading_s(p for p in card.paragraphs if not p.late)


def late_s(card: Card) -> float:
    """Return how many seconds it takes to read what the call brought."""
    return _reading_s(p for p in card.paragraphs if p.late)


def reading_s(card: Card) -> float:
    """Return how many seconds it takes to read all of a card."""
    return early_s(card) + late_s(card)


def _reading_s(paragraphs: Iterable[Paragraph]) -> float:
    # what nobody was shown is there to be looked up
    n_chars = sum(len(p.text) for p in paragraphs if not (p.dim or p.again))
    return min(max(n_chars * _SECONDS_A_CHAR, _LEAST_S), _MOST_S)


def end_s(card: Card) -> float:
    """Return for how many seconds the last card stands."""
    return max(reading_s(card), _END_S)


def _tidy(text: str) -> str:
    # cut first: what follows need not be made inert
    return inert(text[:_MAX_CHARS].strip()) + ("..." if len(text) > _MAX_CHARS else "")


def _beginning(episode: Episode) -> Iterator[Paragraph]:
    seen = episode.reset.observation
    if seen.text.strip() == episode.task.goal.strip():  # it stands on top of every picture
        seen = msgspec.structs.replace(seen, text="")
    if episode.memory_in:
        yield Paragraph("recalls", _tidy(episode.memory_in), "reflection")
    yield from _observation(seen)
    yield from _feedback(episode.reset.feedback)


def _said(turn: TurnRecord) -> Iterator[Paragraph]:
    for label, text in (("reasons", turn.reasoning), ("thinks", turn.text), ("plans", turn.plan)):
        if text and text.strip():
            yield Paragraph(label, _tidy(text), "thought")
    if turn.options:
        yield Paragraph("weighs", _options(turn.options), "thought")


def _options(options: Sequence[Option]) -> str:
    best = heapq.nlargest(_SHOWN_OPTIONS, options, key=lambda option: option.score or 0.0)  # the first of equal ones
    rest = len(options) - len(best)
    return _tidy("\n".join([*map(_option, best), *([f"and {rest} more"] if rest else [])]))


def _option(option: Option) -> str:
    weights = (("say", option.say), ("can", option.can), ("score", option.score))
    parts = [f"{name} {weight:.2g}" for name, weight in weights if weight is not None]
    return f"{call_words(option.tool, option.arguments)}: {', '.join(parts)}"


def _skipped(turn: TurnRecord) -> Iterator[Paragraph]:
    for call in turn.unexecuted:
        yield Paragraph("skips", _tidy(f"{call_words(call.tool, call.arguments)}: {call.why}"), "skipped", late=True)


def _step(step: Step) -> Iterator[Paragraph]:
    yield Paragraph("calls", "nothing" if step.tool is None else _tidy(call_words(step.tool, step.arguments)), "call")
    yield from _observation(step.observation)
    yield from _feedback(step.feedback)


def _observation(seen: ObservationRecord) -> Iterator[Paragraph]:
    parts = [_tidy(seen.text)] if seen.text.strip() else []
    if seen.images:
        parts.append(f"[{len(seen.images)} image{'' if len(seen.images) == 1 else 's'}]")
    if parts:
        yield Paragraph("sees", " ".join(parts), "observation", late=True)


def _feedback(lines: Sequence[Feedback]) -> Iterator[Paragraph]:
    for line in lines:
        text = _tidy(line.text) if line.shown else f"(not shown) {_tidy(line.text)}"
        yield Paragraph(line.channel, text, line.channel, dim=not line.shown, late=True)


def _end(episode: Episode) -> Iterator[Paragraph]:
    n, found = len(episode.steps), ending(episode)
    how = f"{found.text} after {n} step{'' if n == 1 else 's'}"
    if episode.failure is not None:
        failure = episode.failure
        yield Paragraph("outcome", how, found.tone)
        yield Paragraph("cause", _tidy(f"{failure.boundary}: {failure.type}: {failure.message}"), found.tone)
    else:
        reward = f"{episode.outcome.return_:.6g}"
        yield Paragraph("outcome", f"{how}, return {reward}; {ENDS[episode.outcome.stop_reason]}", found.tone)
    if episode.reflection:
        yield Paragraph("learns", _tidy(episode.reflection), "reflection")
