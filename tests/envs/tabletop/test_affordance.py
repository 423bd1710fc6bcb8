"""The analytic `can` is a probability that falls with noise, and 0 for what cannot be begun."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabletops import bowl_pose, littered, pose, table
from trajgen.types import ToolCall
from trajgen_envs.tabletop import affordance, intents
from trajgen_envs.tabletop.env import TabletopEnv
from trajgen_envs.tabletop.intents import Belief
from trajgen_envs.tabletop.tasks import TabletopOptions

NOISES = (0.0, 0.005, 0.01, 0.02, 0.05)
TWO = table({"red block": pose(0.5, 0.0), "green bowl": bowl_pose(0.6, 0.2)})
PICK = ToolCall("pick", {"object": "red block"})
PLACE = ToolCall("place", {"target": "green bowl", "relation": "in"})


def _can(call, world=TWO, unseen=(), **options):
    return affordance.analytic(call, Belief(world, unseen), TabletopOptions(**options))


@settings(deadline=None)
@given(littered(), st.sampled_from(NOISES), st.data())
def test_it_is_a_probability_and_0_exactly_for_what_cannot_be_begun(now, noise, data):
    held = data.draw(st.integers(-1, len(now.things) - 1))
    belief = Belief(now._replace(held=held))
    options = TabletopOptions(pick_noise_m=noise, place_noise_m=noise)
    legal = set(intents.legal(belief, look=True, everything=False))
    for call in {*legal, *intents._grounded(now)}:
        can = affordance.analytic(call, belief, options)
        assert 0 <= can <= 1
        if call not in legal:
            assert can == 0


@pytest.mark.parametrize("call", [PICK, PLACE])
def test_the_more_noise_the_less_likely(call):
    world = TWO if call is PICK else TWO._replace(held=0)
    cans = [_can(call, world, pick_noise_m=noise, place_noise_m=noise) for noise in NOISES]
    assert cans[0] == 1
    assert all(more > less for more, less in itertools.pairwise(cans))


def test_what_is_not_in_view_is_full_or_out_of_reach_cannot_be_picked():
    assert _can(PICK) == 1
    assert _can(PICK, unseen=[0]) == 0
    assert _can(PICK, TWO._replace(held=1)) == 0
    assert _can(PICK, table({"red block": pose(0.84, 0.4), "green bowl": bowl_pose(0.6, 0.2)})) == 0


def test_a_tilted_thing_is_worse_to_grip_than_a_flat_one():
    tilted = table({"red block": pose(0.5, 0.0, up=0.8), "green bowl": bowl_pose(0.6, 0.2)})
    assert 0 < _can(PICK, tilted) < _can(PICK)


def test_an_empty_cup_places_nothing():
    assert _can(PLACE) == 0
    assert _can(PLACE, TWO._replace(held=0)) == 1


@settings(deadline=None)
@given(st.floats(0.001, 0.05), st.floats(0.001, 0.05))
def test_within_is_rayleighs_law(radius_m, noise_m):
    drawn = np.random.default_rng(0).normal(0, noise_m, (4_000, 2))
    share = float((np.hypot(*drawn.T) <= radius_m).mean())
    assert affordance.within(radius_m, noise_m) == pytest.approx(share, abs=4 * math.sqrt(0.25 / 4_000))


def test_what_it_says_of_picks_is_what_happens_to_them():
    env, noise = TabletopEnv(), 0.012
    worked, said = [], []
    for seed in range(30):
        env.reset(seed=seed, options={"family": "one_place", "pick_noise_m": noise})
        call = ToolCall("pick", {"object": env.task.things[0].name})
        said.append(env.can(call))
        env.step(call)
        worked.append(env.table.world().held == 0)
    assert float(np.mean(said)) == pytest.approx(float(np.mean(worked)), abs=0.2)
