"""What can be read of an environment that nobody described."""

import enum

import numpy as np
import pytest
from gymnasium import spaces

from trajgen.wrappers.state import copied, fingerprint, put_back


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class World:
    """Anything with attributes."""

    def __init__(self, **attributes):
        vars(self).update(attributes)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 2),
        (0.0, -0.0),
        (1, 1.0),
        ("a", "b"),
        (None, 0),
        (2**80, 2**80 + 1),
        (np.float32(1), np.float64(1)),
        (np.zeros(2), np.zeros(3)),
        (np.zeros(2, np.int8), np.zeros(2, np.uint8)),
        ([1, [2]], [1, [3]]),
        ((1, 2), (12,)),
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {"b": 1}),
        (Colour.RED, Colour.BLUE),
        (np.random.default_rng(0), np.random.default_rng(1)),
    ],
)
def test_different_values_differ_and_equal_values_agree(one, other):
    assert fingerprint(World(x=one)) != fingerprint(World(x=other))
    assert fingerprint(World(x=one)) == fingerprint(World(x=one))


def test_the_order_of_attributes_does_not_matter_but_their_names_do():
    assert fingerprint(World(a=1, b=2)) == fingerprint(World(b=2, a=1))
    assert fingerprint(World(a=1, b=2)) != fingerprint(World(a=2, b=1))


@pytest.mark.parametrize(
    "attributes",
    [
        {"render_mode": "human"},
        {"window_surface": 3},
        {"clock": 9},
        {"spec": "x"},
        {"screen_width": 600},
        {"action_space": spaces.Discrete(2)},
        {"P": {0: {1: [(1.0, 2, 3.0)]}}},
        {"thing": object()},
        {"things": [1, object()]},
    ],
)
def test_pictures_spaces_tables_and_unreadable_objects_are_left_out(attributes):
    assert fingerprint(World(**attributes)) == fingerprint(World())


def test_an_endless_list_ends():
    endless = []
    endless.append(endless)
    assert fingerprint(World(x=endless)) == fingerprint(World())


def test_a_copy_can_be_put_back_many_times():
    world = World(place=[1, 2], rng=np.random.default_rng(0))
    saved = copied(world)
    draws = []
    for _ in range(2):
        world.place.append(3)
        world.later = True
        draws.append(world.rng.random())
        put_back(world, saved)
        assert world.place == [1, 2]
        assert not hasattr(world, "later")
    assert draws[0] == draws[1]


def test_objects_that_point_back_to_the_environment_go_on_doing_so():
    world = World(arm=World())
    world.arm.env = world
    put_back(world, copied(world))
    assert world.arm.env is world


def test_what_is_left_is_left():
    world = World(model=[1], x=1)
    saved = copied(world, "model")
    world.model.append(2)
    world.x = 5
    put_back(world, saved, "model")
    assert (world.model, world.x) == ([1, 2], 1)
