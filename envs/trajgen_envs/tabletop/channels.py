"""What the passive channels say: sentences about the table, each with the predicate and the bodies it came from. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from trajgen.types import Line

if TYPE_CHECKING:
    from collections.abc import Collection

    from trajgen_envs.tabletop.goals import Goal
    from trajgen_envs.tabletop.world import World


class Verdict(Struct, frozen=True):
    """What came of the last call.

    Attributes:
        source: The predicate that decided it.
        why: What went wrong, in words; None where nothing did.
    """

    worked: bool
    source: str
    why: str | None = None


def success(verdict: Verdict | None) -> list[Line]:
    """Say whether the last skill worked, if there was one."""
    return (
        [] if verdict is None else [Line(f"The last skill {'worked' if verdict.worked else 'failed'}.", verdict.source)]
    )


def error(verdict: Verdict | None) -> list[Line]:
    """Say why it did not."""
    return [] if verdict is None or verdict.why is None else [Line(sentence(verdict.why), verdict.source)]


def objects(world: World, visible: Collection[int]) -> list[Line]:
    """Say what is in view, by name alone, and what is in the cup."""
    names = [world.name(i) for i in sorted(visible) if i != world.held and not world.fallen(i)]
    lines = [Line(f"In view: {', '.join(names) or 'nothing'}.", f"visible({', '.join(names)})")]
    if world.held >= 0:
        lines.append(Line(f"In the cup: {world.name(world.held)}.", f"held({world.name(world.held)})"))
    return lines


def scene(world: World, goal: Goal) -> list[Line]:
    """Say how many parts of the goal hold, and which."""
    facts = goal.facts(world)
    told = Line(f"{len(facts)} of {goal.n_needed} parts of the goal hold.", "goal()")
    return [told, *(Line(sentence(fact.text), fact.source) for fact in facts)]


def sentence(text: str) -> str:
    """Return a clause as a sentence."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
