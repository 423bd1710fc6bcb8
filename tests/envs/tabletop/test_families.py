"""An instruction says all that its goal is about, and no table with one instruction has two goals."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabletops import drawn_tasks
from trajgen.errors import ConfigError
from trajgen.splits import split_of
from trajgen_envs.tabletop import families, goals, tasks
from trajgen_envs.tabletop.families import FAMILIES, SIZES
from trajgen_envs.tabletop.goals import AllOf, Apart, Clear, Mismatched, Tower
from trajgen_envs.tabletop.tasks import TabletopOptions
from trajgen_envs.tabletop.world import PLACES, TABLE, radius

SEEDS = st.integers(0, 10**6)


def _parties(goal):
    """Return the names of things and places a goal is about: what is moved, and where to."""
    if isinstance(goal, AllOf):
        return {part.name for part in goal.parts}, {part.target for part in goal.parts}
    if isinstance(goal, Mismatched):
        return set(goal.blocks), set(goal.bowls)
    if isinstance(goal, Clear):
        return set(goal.names), {goal.place}
    return set(goal.blocks), {goal.place} - {None} if isinstance(goal, Tower) else set()


def _covered(text, things):
    """Return the names that a text says, itself or as all of a kind."""
    said = {t.name for t in things if re.search(rf"\b{t.name}\b", text)}
    for kind in ("block", "bowl"):
        if re.search(rf"\bthe {kind}s\b|\bin {kind}s\b", text):
            said |= {t.name for t in things if t.kind == kind}
    return said | {place for place in PLACES if place in text}


@st.composite
def draws(draw):
    family = draw(st.sampled_from(FAMILIES))
    size = SIZES[family]
    length, n = draw(st.integers(size.least, size.most)), draw(st.integers(3, 8))
    return family, families.draw(np.random.default_rng(draw(SEEDS)), family, length, n, draw(st.integers(0, 4)))


@settings(max_examples=500, deadline=None)
@given(draws())
def test_the_text_says_everything_the_goal_is_about(drawn):
    family, (things, goal, text, *_) = drawn
    moved, targets = _parties(goal)
    everything = {thing.name for thing in things}
    if family == "clear_area":  # "nothing may be left there"
        assert moved == everything
        moved = set()
    missing = (moved | targets) - _covered(text, things)
    assert not missing, f"{text!r} does not say {missing}"


@settings(max_examples=500, deadline=None)
@given(draws())
def test_all_the_blocks_means_every_block_on_the_table(drawn):
    family, (things, goal, text, *_) = drawn
    if re.search(r"\bthe blocks\b", text):
        assert _parties(goal)[0] >= {thing.name for thing in things if thing.kind == "block"}
    if family == "sort_by_kind":
        assert _parties(goal)[0] == {thing.name for thing in things if thing.kind != "can"}


def _meaning(goal):
    """Return what a goal demands, in no particular order."""
    if isinstance(goal, AllOf):
        return goal.parts
    moved, targets = _parties(goal)
    return [type(goal).__name__, *moved, *targets]


@pytest.mark.parametrize("family", FAMILIES)
def test_one_text_on_one_table_has_one_goal(family):
    meant: dict[object, object] = {}
    n = 0
    for seed, length in itertools.product(range(150), range(SIZES[family].least, SIZES[family].most + 1)):
        drawn = families.draw(np.random.default_rng(seed), family, length, 3, 0)
        # three colours only, so that tables meet each other again
        few = {colour: "abc"[i % 3] for i, colour in enumerate(sorted({t.colour for t in drawn.things}))}
        key = frozenset((t.kind, few[t.colour]) for t in drawn.things), _recoloured(drawn.text, few)
        if len(key[0]) < len(drawn.things):
            continue  # two things would be alike
        goal = sorted(_recoloured(repr(part), few) for part in _meaning(drawn.goal))
        n += meant.setdefault(key, goal) == goal
        assert meant[key] == goal, key
    assert n


def _recoloured(text, few):
    return re.sub("|".join(few), lambda m: few[m[0]], text)


@settings(max_examples=300, deadline=None)
@given(draws())
def test_no_two_things_of_a_table_are_alike_and_an_instruction_begins_and_ends_like_one(drawn):
    _, (things, _, text, *_) = drawn
    assert len(set(things)) == len(things)
    assert re.fullmatch(r"[A-Z][^\n]*\.", text)


@settings(deadline=None)
@given(st.sampled_from(FAMILIES), SEEDS, st.integers(3, 8), st.integers(0, 4))
def test_a_table_has_as_many_things_as_were_asked_for_or_as_the_task_needs(family, seed, n, distractors):
    drawn = families.draw(np.random.default_rng(seed), family, None, n, distractors)
    needed = len({name for party in _parties(drawn.goal) for name in party} - set(PLACES))
    extra = len(drawn.things) - distractors
    assert extra >= min(n, needed)
    assert family == "sort_by_kind" or extra >= n


@pytest.mark.parametrize("family", FAMILIES)
def test_a_length_that_does_not_fit_is_refused_with_those_that_do(family):
    least, most, _ = SIZES[family]
    for length in {least - 1, most + 1} - {0}:
        with pytest.raises(ConfigError, match=rf"expected {least} to {most} for {family}, found {length}"):
            families.draw(np.random.default_rng(0), family, length, 5, 0)


# ---- tasks


def _composed(seed, **options):
    return tasks.compose(np.random.default_rng(seed), TabletopOptions(**options))


@settings(deadline=None)
@given(drawn_tasks())
def test_things_lie_on_the_table_with_gaps_between_them(task):
    for thing, (x, y, *_) in zip(task.things, task.starts, strict=True):
        assert TABLE.holds(x, y, -radius(thing) * 0.75 + 1e-3)
    for (a, p), (b, q) in itertools.combinations(zip(task.things, task.starts, strict=True), 2):
        assert math.dist(p[:2], q[:2]) > radius(a) + radius(b) + 0.02


@settings(deadline=None)
@given(SEEDS, st.sampled_from(FAMILIES), st.integers(0, 4), st.floats(0, 0.05), st.booleans())
def test_noise_disturbance_and_what_can_be_seen_change_nothing_of_the_task(seed, family, shoves, noise, hidden):
    plain = _composed(seed, family=family)
    hard = _composed(
        seed,
        family=family,
        disturbance=shoves,
        pick_noise_m=noise,
        place_noise_m=noise,
        occlusion=hidden,
        look=hidden,
        ask=not hidden,
        arrays=hidden,
    )
    assert hard.key() == plain.key()
    assert hard.noise_seed == plain.noise_seed
    assert split_of(hard.key()) == split_of(plain.key())


@settings(deadline=None)
@given(SEEDS, st.sampled_from(FAMILIES))
def test_more_shoves_hold_all_the_fewer_ones(seed, family):
    shoves = [set(_composed(seed, family=family, disturbance=n).shoves) for n in range(5)]
    assert [len(s) for s in shoves] == [0, 1, 2, 3, 4]
    assert all(few < more for few, more in itertools.pairwise(shoves))


@settings(deadline=None)
@given(SEEDS, st.integers(1, 4))
def test_only_what_has_to_be_moved_is_shoved(seed, n):
    task = _composed(seed, disturbance=n)
    moved = _parties(task.goal)[0]
    assert all(task.things[shove.thing].name in moved for shove in task.shoves)


@settings(deadline=None)
@given(drawn_tasks())
def test_every_task_names_the_least_number_of_things_to_be_done(task):
    facts = task.goal.facts(tasks.start(task.things, task.starts))
    assert task.goal.n_needed > len(facts)
    assert not goals.holds(task.goal, tasks.start(task.things, task.starts))


def test_apart_is_a_goal_without_a_place():
    assert _parties(Apart(("red block",)))[1] == set()
