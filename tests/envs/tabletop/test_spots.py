"""A spot for a target and a relation has room, and what is put there stands in that relation."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tabletops import apart, bowl_pose, littered, pose, table
from trajgen.toolenv import Impossible
from trajgen_envs.tabletop import spots
from trajgen_envs.tabletop.spots import GAP_M, RELATIONS
from trajgen_envs.tabletop.world import BESIDE, PLACES, radius


def _found(now, moved, target, relation):
    try:
        return spots.find(now, moved, target, relation)
    except Impossible:
        assume(False)


def _room(now, moved):
    """Return the gap to the nearest neighbour, circles about their middles."""
    a = now.poses[moved]
    return min(
        apart(a, b) - radius(now.things[i]) - radius(now.things[moved]) for i, b in enumerate(now.poses) if i != moved
    )


@settings(deadline=None)
@given(littered(), st.sampled_from(sorted(PLACES)), st.data())
def test_a_spot_at_a_place_is_in_it_and_overlaps_no_neighbour(now, place, data):
    moved = data.draw(st.integers(0, len(now.things) - 1))
    now = now._replace(held=moved)
    put = spots.put(now, moved, _found(now, moved, place, "at"))
    assert put.at(moved, place)
    assert _room(put, moved) >= GAP_M - 1e-9


@settings(deadline=None)
@given(littered(), st.sampled_from(sorted(BESIDE)), st.data())
def test_a_spot_beside_a_thing_is_on_that_side_of_it_and_overlaps_no_neighbour(now, relation, data):
    moved, other = data.draw(st.permutations(range(len(now.things))))[:2]
    now = now._replace(held=moved)
    put = spots.put(now, moved, _found(now, moved, now.name(other), relation))
    assert put.beside(moved, other, relation)
    assert _room(put, moved) >= GAP_M - 1e-9


@settings(deadline=None)
@given(littered(), st.data())
def test_a_spot_on_or_in_a_thing_is_there(now, data):
    moved, other = data.draw(st.permutations(range(len(now.things))))[:2]
    assume(now.things[moved].kind != "bowl" and _room(now, other) > 0.02)
    now = now._replace(held=moved)
    relation = "in" if now.things[other].kind == "bowl" else "on"
    put = spots.put(now, moved, spots.find(now, moved, now.name(other), relation))
    assert put.inside(moved, other) if relation == "in" else put.on(moved, other)


@settings(deadline=None)
@given(littered(), st.data())
def test_any_target_and_relation_has_a_spot_or_is_impossible(now, data):
    moved = data.draw(st.integers(-1, len(now.things) - 1))
    target = data.draw(st.sampled_from([*PLACES, *(thing.name for thing in now.things)]))
    relation = data.draw(st.sampled_from(RELATIONS))
    with contextlib.suppress(Impossible):  # and nothing else
        assert spots.find(now._replace(held=moved), moved, target, relation).ground_m >= 0


BOTH = table({"red block": pose(0.5, 0.0), "green bowl": bowl_pose(0.4, -0.2)}, held="red block")


@pytest.mark.parametrize(
    ("target", "relation", "why"),
    [
        ("middle", "on", "'middle' is a place; expected 'at', found 'on'"),
        ("green bowl", "on", r"expected 'in' \(or a side\) for a bowl, found 'on'"),
        ("green bowl", "at", "expected 'in'"),
        ("red block", "on", "the red block is what the cup holds"),
    ],
)
def test_a_relation_that_does_not_fit_is_refused_with_the_one_that_does(target, relation, why):
    with pytest.raises(Impossible, match=why):
        spots.find(BOTH, 0, target, relation)


def test_nothing_is_put_beside_what_has_fallen():
    fallen = table({"red block": pose(0.5, 0.0), "blue block": pose(0.9, 0.0, -0.38)}, held="red block")
    with pytest.raises(Impossible, match="has fallen off the table"):
        spots.find(fallen, 0, "blue block", "on")


def test_a_full_place_has_no_room():
    bowls = {f"{c} bowl": bowl_pose(x, y) for c, x, y in [("red", 0.45, 0.0), ("blue", 0.55, 0.0), ("pink", 0.5, 0.09)]}
    full = table({**bowls, "red block": pose(0.35, 0.25)}, held="red block")
    with pytest.raises(Impossible, match="there is no room at the middle"):
        spots.find(full, 3, "middle", "at")
