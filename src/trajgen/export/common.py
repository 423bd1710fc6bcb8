"""What every exporter does alike: which episodes it takes, whose messages it writes, and what it counts.

    admit       not a failed episode, nor one that did not succeed where only successes are wanted; its feedback as chosen
    converse    an episode -> chat messages, as the record tells it or as a model was really sent them
    Ledger      episodes in and out, left out by reason, and what the format could not carry

Knows no format. Reads records; writes nothing but the folder an export goes to.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec
from msgspec import Struct, field

from trajgen.errors import ConfigError, boundary
from trajgen.export import rendering
from trajgen.messages import episode_messages
from trajgen.protocols import ExportReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from trajgen.chat import Message
    from trajgen.types import Episode, Feedback, ModelCall

ACT = "act"  # the purpose of the exchanges in which a model chose what to do
_OPENING = 2  # system and first user message


class Choice(Struct, frozen=True, kw_only=True):
    """Options that every exporter has.

    Attributes:
        as_: `canonical`: the messages that the record tells, alike for every agent. `seen`: what a model was really
            sent, where one played; else canonical.
        only: `success`: leave out episodes that did not reach their goal, or whose environment cannot tell.
        feedback: Passive channels to show instead of those that the agent was shown, where that is honest: see
            `trajgen.export.rendering`. None leaves each line as it was.
    """

    as_: Literal["canonical", "seen"] = field(default="canonical", name="as")
    only: Literal["all", "success"] = "all"
    feedback: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse what is no choice.

        Raises:
            ConfigError: an unknown channel, or a choice for messages that were really sent.
        """
        if self.feedback is None:
            return
        if self.as_ == "seen":
            raise ConfigError(
                "as, feedback: expected one of both: --as seen gives the messages as a model was sent them, --feedback "
                "gives them anew with other lines shown; leave one out"
            )
        rendering.check_channels(self.feedback)


class Unfit(Exception):
    """Why one episode cannot be exported. Counted by its text, so the text names no episode."""


class Loss(NamedTuple):
    """One thing a format cannot carry.

    Attributes:
        what: Its plural, with where the rest of it went; follows a number.
        count: How many an episode has.
    """

    what: str
    count: Callable[[Episode], int]


class Ledger:
    """Counts one export.

    Args:
        losses: What the format cannot carry, in the order of the report.
    """

    def __init__(self, losses: Sequence[Loss]) -> None:
        self._losses = losses
        self._lost: Counter[str] = Counter()
        self._rejected: Counter[str] = Counter()
        self.n_out = 0

    def take(self, episode: Episode) -> None:
        """Count an episode that was written, and what was lost of it."""
        self.n_out += 1
        for loss in self._losses:
            self._lost[loss.what] += loss.count(episode)

    def leave_out(self, reason: Unfit) -> None:
        """Count an episode that was not written."""
        self._rejected[str(reason)] += 1

    def report(self, files: tuple[Path, ...], how_to_load: str) -> ExportReport:
        """Return the counts; of losses only those that happened."""
        rejected = dict(sorted(self._rejected.items()))
        lines = tuple(f"{self._lost[loss.what]:,} {loss.what}" for loss in self._losses if self._lost[loss.what])
        return ExportReport(self.n_out + sum(rejected.values()), self.n_out, rejected, lines, files, how_to_load)


def admit(episode: Episode, choice: Choice) -> Episode:
    """Let through what may be exported, its lines marked as shown or not as they are to be rendered.

    Raises:
        Unfit: the episode failed, or is no success where only successes are wanted, or the agent acted on other
            feedback than is to be shown.
    """
    if episode.failure is not None:
        raise Unfit(f"failed ({episode.failure.boundary})")
    if choice.only == "success" and not episode.outcome.success:
        cannot_tell = episode.outcome.success is None
        raise Unfit("success unknown: the environment cannot tell" if cannot_tell else "no success")
    if choice.feedback is None:
        return episode
    if (why := rendering.dishonesty(episode, choice.feedback)) is not None:
        raise Unfit(why)
    return rendering.rendered(episode, choice.feedback)


def converse(episode: Episode, role: str, choice: Choice) -> list[Message]:
    """Return the chat of one role.

    What was really sent is the prompt of its last exchange, followed by the record from that turn on: the reply to it
    and what came of that.
    """
    calls = list(_acts(episode, role)) if choice.as_ == "seen" else []
    if not calls:
        return episode_messages(episode, role=role)
    sent: list[Message] = []
    for call in calls:
        sent = [*sent[: call.n_kept], *call.messages_new]
    last = calls[-1].turn
    rest = msgspec.structs.replace(
        episode,
        turns=tuple(t for t in episode.turns if t.turn >= last),
        steps=tuple(s for s in episode.steps if s.turn >= last),
    )
    return [*sent, *episode_messages(rest, role=role)[_OPENING:]]


def _acts(episode: Episode, role: str) -> Iterator[ModelCall]:
    return (c for c in episode.model_calls if c.role == role and c.purpose == ACT)


def new_folder(out: Path) -> Path:
    """Make the folder of an export.

    Raises:
        ConfigError: there is a file, or a folder that holds something.
        StoreFault: it cannot be made.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"out: expected an empty or new folder, found the file {out}; give another --out")
    with boundary("store"):
        out.mkdir(parents=True, exist_ok=True)
        held = sorted(p.name for p in out.iterdir())
    if held:
        raise ConfigError(
            f"out: expected an empty or new folder, found {len(held)} entries in {out}, such as {held[0]!r}; "
            "give another --out, or remove it first"
        )
    return out


# ------------------------------------------------------------------------------------- what gets lost


def _feedback(episode: Episode) -> Iterator[Feedback]:
    yield from episode.reset.feedback
    for step in episode.steps:
        yield from step.feedback


def _rewritten(episode: Episode) -> int:
    """Return 1 where a later prompt of some role does not begin with the whole of the one before."""
    for agent in episode.agents:
        length = 0
        for call in _acts(episode, agent.role):
            if call.n_kept < length:
                return 1
            length = call.n_kept + len(call.messages_new)
    return 0


def _observations(episode: Episode, of: Literal["images", "arrays"]) -> int:
    seen = [episode.reset.observation, *(s.observation for s in episode.steps)]
    return sum(len(getattr(o, of)) for o in seen)


def _digests(episode: Episode) -> Iterator[bytes | None]:
    yield episode.reset.state_digest
    for step in episode.steps:
        yield step.state_digest


def _written_otherwise(episode: Episode) -> int:
    raw = sum(s.raw is not None for s in episode.steps)
    return raw + sum(u.raw is not None for t in episode.turns for u in t.unexecuted)


HIDDEN_FEEDBACK = Loss("feedback lines that are not shown", lambda e: sum(not f.shown for f in _feedback(e)))
REWARDS = Loss("rewards, one a step (their sum is kept)", lambda e: len(e.steps))
DIGESTS = Loss("state digests", lambda e: sum(d is not None for d in _digests(e)))
IMAGES = Loss("images in observations", lambda e: _observations(e, "images"))
ARRAYS = Loss("arrays in observations", lambda e: _observations(e, "arrays"))
RAW_ARGUMENTS = Loss(
    "calls' arguments in a model's own characters (they are given as they were read)", _written_otherwise
)
TOKENS = Loss(
    "model calls' token ids and logprobs",
    lambda e: sum(c.token_ids is not None or c.logprobs is not None for c in e.model_calls),
)
DELIBERATION = Loss(
    "turns' plans, weighed options and imagined calls",
    lambda e: sum(bool(t.plan or t.options or t.imagined) for t in e.turns),
)
WEIGHTS = Loss(
    "turns' labels and loss weights (all count alike)",
    lambda e: sum(t.label is not None or t.loss_weight is not None for t in e.turns),
)
PERTURBED = Loss(
    "turns' mark that they were perturbed on purpose (they look like all others)",
    lambda e: sum(t.by == "perturbed" for t in e.turns),
)
REWRITTEN = Loss("episodes' earlier prompts, rewritten midway (only the last is given)", _rewritten)
