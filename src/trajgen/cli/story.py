"""One episode as an inner monologue that a person can read. Takes an `Episode`; reads no file and prints nothing.

All text of the record passes through `inert`: what a model or a task says cannot steer the terminal.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec
from rich.table import Table
from rich.text import Text

from trajgen.cli.output import one_line
from trajgen.words import ENDS, call_words, inert

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from trajgen.types import Episode, Feedback, ObservationRecord, Option, Step, TurnRecord

_LABEL = 10
_MAX_TEXT = 4_000  # a page that was read whole would drown the rest


def story(episode: Episode) -> Iterator[RenderableType]:
    """Yield the episode, part by part: who and what, the goal, each turn, the outcome."""
    yield Text(inert(_title(episode)), "bold")
    yield Text(inert(_subtitle(episode)), "dim")
    yield _block([*_goal(episode), *_prompt(episode), *_reset(episode), *_memory(episode)])
    steps: dict[int, list[Step]] = defaultdict(list)
    for step in episode.steps:
        steps[step.turn].append(step)
    for turn in episode.turns:
        yield Text()
        yield Text(f"turn {turn.turn + 1}{_by(turn)}", "bold cyan")
        yield _block(list(_turn(turn, steps[turn.turn])))
    yield Text()
    yield _block(list(_outcome(episode)))


def _title(episode: Episode) -> str:
    who = ", ".join(a.name for a in episode.agents)
    return f"{episode.episode_id[:12]}  {episode.task.env_id} x {who}"


def _subtitle(episode: Episode) -> str:
    task = episode.task
    parts = [f"split {task.split}"] if task.split else []
    parts.append(f"seed {task.seed}")
    parts += [f"sample {episode.sample}"] if episode.sample else []
    parts += [f"trial {episode.trial}"] if episode.trial else []
    options = msgspec.json.decode(task.options)
    parts += [f"{key}={value}" for key, value in options.items()] if isinstance(options, dict) else []
    return one_line(", ".join(parts))


Line = tuple[str, Text]


def _block(lines: Sequence[Line]) -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=_LABEL, no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for label, text in lines:
        grid.add_row(Text(f"  {label}"), text)
    return grid


def _cut(text: str) -> str:
    safe = inert(text.strip("\n"))
    return safe if len(safe) <= _MAX_TEXT else f"{safe[:_MAX_TEXT]}\n... {len(safe) - _MAX_TEXT:,} more characters"


def _goal(episode: Episode) -> Iterator[Line]:
    if episode.task.goal:  # an episode that failed before its reset was over has none
        yield "goal", Text(_cut(episode.task.goal))


def _prompt(episode: Episode) -> Iterator[Line]:
    names = ", ".join(t.name for t in episode.tools)
    if names:
        yield "tools", Text(_cut(names), "dim")


def _reset(episode: Episode) -> Iterator[Line]:
    seen = episode.reset.observation
    if seen.text.strip() == episode.task.goal.strip():  # the goal was told just above
        seen = msgspec.structs.replace(seen, text="")
    if seen.text or seen.images or seen.arrays:
        yield "sees", _observation(seen)
    yield from _feedback(episode.reset.feedback)


def _memory(episode: Episode) -> Iterator[Line]:
    if episode.memory_in:
        yield "recalls", Text(_cut(episode.memory_in))


def _by(turn: TurnRecord) -> str:
    parts = ([] if turn.role == "agent" else [turn.role]) + ([] if turn.by == "agent" else [f"by {turn.by}"])
    return inert(f" ({', '.join(parts)})") if parts else ""


def _turn(turn: TurnRecord, steps: Sequence[Step]) -> Iterator[Line]:
    for label, text, style in (
        ("reasons", turn.reasoning, "italic dim"),
        ("thinks", turn.text, "italic"),
        ("plans", turn.plan, "italic"),
    ):
        if text:
            yield label, Text(_cut(text), style)
    if turn.options:
        yield "weighs", Text("\n".join(map(_option, turn.options)), "dim")
    for imagined in turn.imagined:
        yield "imagines", Text(f"{_cut(imagined.calls)}\n-> {_cut(imagined.outcome)}", "dim")
    for step in steps:
        yield from _step(step)
    for call in turn.unexecuted:
        yield "skips", Text(inert(f"{call_words(call.tool, call.arguments)}: {call.why}"), "yellow")


def _option(option: Option) -> str:
    parts = [
        f"{n}={v:.3g}" for n, v in (("say", option.say), ("can", option.can), ("score", option.score)) if v is not None
    ]
    return one_line(f"{call_words(option.tool, option.arguments)}  {' '.join(parts)}")


def _step(step: Step) -> Iterator[Line]:
    if step.tool is None:
        yield "calls", Text("nothing", "yellow")
    else:
        yield "calls", Text(_cut(call_words(step.tool, step.arguments)), "green")
    if step.raw is not None and step.raw != step.arguments:
        yield "wrote", Text(_cut(step.raw), "yellow")
    if step.observation.text or step.observation.images or step.observation.arrays:
        yield "sees", _observation(step.observation)
    yield from _feedback(step.feedback)


def _observation(seen: ObservationRecord) -> Text:
    text = Text(_cut(seen.text))
    extras = [f"{len(seen.images)} images"] if seen.images else []
    extras += [f"array {inert(a.name)} {inert(a.dtype)} {a.shape}" for a in seen.arrays]
    if extras:
        text.append(f"{' ' if seen.text else ''}[{', '.join(extras)}]", "dim")
    return text


def _feedback(lines: Sequence[Feedback]) -> Iterator[Line]:
    """Yield what was told beside the observation; what the agent was not shown is marked, not only dimmed."""
    for line in lines:
        style = "dim" if not line.shown else "red" if line.channel == "error" else ""
        text = Text(f"[{line.channel}] {_cut(line.text)}", style)
        if not line.shown:
            text.append(" (not shown)", "dim")
        yield "hears" if line.shown else "", text


def _outcome(episode: Episode) -> Iterator[Line]:
    outcome, n = episode.outcome, len(episode.steps)
    word, style = {
        True: ("solved", "bold green"),
        False: ("not solved", "bold red"),
        None: ("success unknown", "bold"),
    }[outcome.success]
    if episode.failure is not None:
        word, style = "failed", "bold red"
    text = Text(word, style)
    text.append(f" after {n} step{'' if n == 1 else 's'}")
    if episode.oracle_steps is not None:
        text.append(f" (its oracle needs {episode.oracle_steps})")
    text.append(f", return {outcome.return_:.6g}")
    if episode.failure is None:
        text.append(f"; {ENDS[outcome.stop_reason]}")
    yield "outcome", text
    if episode.failure is not None:
        f = episode.failure
        yield "cause", Text(_cut(f"{f.boundary}: {f.type}: {f.message}"), "red")
    if episode.reflection:
        yield "learns", Text(_cut(episode.reflection))
