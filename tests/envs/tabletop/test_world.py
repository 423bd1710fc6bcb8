"""Predicates hold within their stated tolerances and not outside, and what is in the cup is nowhere."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tabletops import BLOCK_M, bowl_pose, littered, pose, table
from trajgen_envs.tabletop import scene, world
from trajgen_envs.tabletop.objects import Thing
from trajgen_envs.tabletop.world import AT_M, BESIDE, BESIDE_ACROSS_M, BESIDE_MAX_M, IN_M, ON_HEIGHT_M, ON_M, PLACES

SURELY = 1e-6  # metres on either side of a tolerance that rounding may eat
ANGLES = st.floats(0, 2 * math.pi)
XS, YS = st.floats(0.30, 0.70), st.floats(-0.30, 0.30)
QUARTERS = [
    (1.0, 0.0, 0.0, 0.0),
    (math.sqrt(0.5), math.sqrt(0.5), 0.0, 0.0),
    (math.sqrt(0.5), 0.0, math.sqrt(0.5), 0.0),
    (0.0, 1.0, 0.0, 0.0),
    (0.0, 0.0, 1.0, 0.0),
    (math.sqrt(0.5), -math.sqrt(0.5), 0.0, 0.0),
    (math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5)),
]


def _times(p, q):
    (a, b, c, d), (e, f, g, h) = p, q
    return (
        a * e - b * f - c * g - d * h,
        a * f + b * e + c * h - d * g,
        a * g - b * h + c * e + d * f,
        a * h + b * g - c * f + d * e,
    )


def _clearly(value: float, bound: float) -> bool:
    assume(abs(value - bound) > SURELY)
    return value < bound


@settings(deadline=None)
@given(XS, YS, ANGLES, st.floats(0, 0.03), st.floats(-0.02, 0.02))
def test_on_holds_exactly_within_its_tolerances(x, y, angle, off_m, gap_m):
    upper = pose(x + off_m * math.cos(angle), y + off_m * math.sin(angle), 3 * BLOCK_M + gap_m)
    now = table({"red block": pose(x, y), "blue block": upper})
    assert now.on(1, 0) == (_clearly(off_m, ON_M) and _clearly(abs(gap_m), ON_HEIGHT_M))
    assert not now.on(0, 1)


@settings(deadline=None)
@given(XS, YS, ANGLES, st.floats(0, 0.08), st.floats(0.001, 0.2))
def test_inside_holds_from_the_floor_to_the_heap_within_the_rim(x, y, angle, off_m, height):
    block = pose(x + off_m * math.cos(angle), y + off_m * math.sin(angle), height)
    now = table({"red block": block, "green bowl": bowl_pose(x, y)})
    assert now.inside(0, 1) == (_clearly(off_m, IN_M) and _clearly(height, 0.12))
    assert not now.inside(1, 0)


def test_nothing_is_inside_a_bowl_that_lies_on_its_side():
    bowl = bowl_pose(0.5, 0.0)._replace(up=0.5)
    assert not table({"red block": pose(0.5, 0.0, 0.03), "green bowl": bowl}).inside(0, 1)


@settings(deadline=None)
@given(st.sampled_from(sorted(PLACES)), st.floats(0.2, 0.8), st.floats(-0.4, 0.4))
def test_at_holds_within_a_margin_of_the_place(place, x, y):
    area = PLACES[place]
    outside = max(area.x0 - x, x - area.x1, area.y0 - y, y - area.y1)
    assert table({"red block": pose(x, y)}).at(0, place) == _clearly(outside, AT_M)


@pytest.mark.parametrize("place", sorted(PLACES))
def test_what_has_fallen_is_at_no_place(place):
    now = table({"red block": pose(*PLACES[place].middle, scene.FLOOR_M + BLOCK_M)})
    assert now.fallen(0)
    assert not now.at(0, place)
    assert not now.on_table(0)


@settings(deadline=None)
@given(st.sampled_from(sorted(BESIDE)), st.floats(-0.05, 0.3), st.floats(-0.1, 0.1))
def test_beside_holds_within_its_tolerances_on_the_side_it_names(relation, gap_m, across_m):
    dx, dy = world.DIRECTIONS[BESIDE[relation]]
    away = gap_m + scene.BOWL_RIM_M + scene.BLOCK_HALF_M
    block = pose(0.5 + dx * away + dy * across_m, dy * away + dx * across_m)
    now = table({"red block": block, "green bowl": bowl_pose(0.5, 0.0)})
    near = not _clearly(gap_m, -0.01) and _clearly(gap_m, BESIDE_MAX_M)
    assert now.beside(0, 1, relation) == (near and _clearly(abs(across_m), BESIDE_ACROSS_M))


@settings(deadline=None)
@given(XS, YS, XS, YS, st.sampled_from([("left of", "right of"), ("behind", "in front of")]))
def test_beside_turns_round_with_the_two_it_relates(x, y, u, v, sides):
    now = table({"red block": pose(x, y), "blue block": pose(u, v)})
    for one, other in (sides, sides[::-1]):
        assert now.beside(0, 1, one) == now.beside(1, 0, other)


@settings(deadline=None)
@given(littered())
def test_no_two_things_stand_on_each_other_and_none_on_or_in_itself(now):
    n = range(len(now.things))
    assert not any(now.on(a, a) or now.inside(a, a) for a in n)
    assert not any(now.on(a, b) and now.on(b, a) for a, b in itertools.combinations(n, 2))
    assert not any(now.inside(a, b) and now.inside(b, a) for a, b in itertools.combinations(n, 2))


@settings(deadline=None)
@given(littered(), st.data())
def test_what_is_in_the_cup_is_nowhere(now, data):
    held, below = data.draw(st.permutations(range(len(now.things))))[:2]
    if now.things[held].kind != "bowl":  # let it be as it would on or in another thing, were it not held
        top, lid = now.poses[below], now.poses[held].lid
        poses = list(now.poses)
        poses[held] = poses[held]._replace(x=top.x, y=top.y, z=now.face(below) + lid)
        now = now._replace(poses=tuple(poses))
        assert now.on(held, below) or now.inside(held, below)
    lifted = now._replace(held=held)
    others = range(len(now.things))
    assert not any(lifted.on(held, b) or lifted.inside(held, b) for b in others)
    assert not any(lifted.beside(held, b, relation) for b in others for relation in BESIDE)
    assert not any(lifted.at(held, place) for place in PLACES)
    assert not lifted.on_table(held)
    assert all(held not in lifted.upon(b) for b in others)


@settings(deadline=None)
@given(st.sampled_from(QUARTERS), st.sampled_from(QUARTERS), st.floats(-math.pi, math.pi))
def test_a_block_has_one_pose_whichever_face_is_up(first, second, yaw):
    turned = (math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2))
    frame = (0.5, 0.1, 0.02, *_times(turned, _times(first, second)))
    (seen,) = world.look((Thing("block", "red"),), iter([frame]), -1).poses
    assert seen[:3] == (0.5, 0.1, 0.02)
    assert seen.up == pytest.approx(1.0)
    assert math.remainder(seen.yaw - yaw, math.pi / 2) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("turn", "up", "lid"), [(QUARTERS[0], 1.0, 0.03), (QUARTERS[1], 0.0, 0.02)])
def test_a_lying_can_is_flatter_than_a_standing_one(turn, up, lid):
    (seen,) = world.look((Thing("can", "red"),), iter([(0.5, 0.1, 0.03, *turn)]), -1).poses
    assert (seen.up, seen.lid) == (pytest.approx(up, abs=1e-9), lid)


def test_a_capsized_bowl_is_told_from_an_upright_one():
    upside_down = (0.5, 0.1, 0.04, *QUARTERS[3])
    assert world.look((Thing("bowl", "red"),), iter([upside_down]), -1).poses[0].up == pytest.approx(-1)


def test_of_a_heap_only_what_lies_directly_below_counts_as_below():
    now = table(
        {
            "green bowl": bowl_pose(0.5, 0.0),
            "red block": pose(0.5, 0.0, 0.026),
            "blue block": pose(0.5, 0.0, 0.066),
        }
    )
    assert list(now.upon(0)) == [1]
    assert list(now.upon(1)) == [2]
