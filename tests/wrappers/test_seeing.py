"""A foreign observation becomes text and exact arrays."""

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trajgen.errors import ConfigError
from trajgen.wrappers.seeing import ObservationReader


def test_named_numbers_are_told_by_name_rounded_and_their_units_once():
    reader = ObservationReader(spaces.Box(-np.inf, np.inf, (2,), np.float64), ["height (m)", "speed (m/s)"])
    assert reader.meaning() == "- height (m), any number\n- speed (m/s), any number"
    seen = reader.read(np.array([1.23456789, -2.0]))
    assert seen.text == "height 1.235, speed -2"
    assert seen.arrays["observation"].tolist() == [1.23456789, -2.0]


def test_the_array_is_a_copy_that_the_simulator_cannot_change():
    buffer = np.zeros(2)
    seen = ObservationReader(spaces.Box(-1, 1, (2,), np.float64)).read(buffer)
    buffer += 1
    assert seen.arrays["observation"].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-1, 1, "from -1 to 1"),
        (0, np.inf, "at least 0"),
        (-np.inf, 2.5, "at most 2.5"),
        (-np.inf, np.inf, "any number"),
    ],
)
def test_ranges_are_said_in_words(low, high, said):
    assert said in ObservationReader(spaces.Box(low, high, (3,), np.float64)).meaning()


def test_different_ranges_are_said_one_by_one():
    space = spaces.Box(np.array([0, -1.0]), np.array([1, 1.0]), dtype=np.float64)
    assert ObservationReader(space).meaning() == "- observation: 2 numbers: 0, from 0 to 1; 1, from -1 to 1"


def test_nested_parts_are_told_and_kept_under_their_paths():
    space = spaces.Dict(
        where=spaces.Tuple((spaces.Discrete(4), spaces.MultiDiscrete([2, 3]))),
        note=spaces.Text(9),
        flags=spaces.MultiBinary(2),
    )
    reader = ObservationReader(space)
    seen = reader.read({"where": (3, np.array([1, 2])), "note": "ab", "flags": np.array([1, 0], np.int8)})
    assert sorted(seen.text.splitlines()) == ["flags: [1, 0]", "note: ab", "where.0: 3", "where.1: [1, 2]"]
    assert sorted(seen.arrays) == ["flags", "where.0", "where.1"]
    assert seen.strings == {"note": "ab"}
    assert "- where.0: a whole number from 0 to 3" in reader.meaning()
    assert "- where.1: 2 whole numbers: 0 to 1, 0 to 2" in reader.meaning()
    assert "- note: text" in reader.meaning()


def test_text_alone_is_told_as_it_is():
    assert ObservationReader(spaces.Text(99)).read("You wake up.").text == "You wake up."


def test_a_strangers_space_is_read_by_its_values():
    class Words(spaces.Space):
        pass

    seen = ObservationReader(spaces.Dict(mission=Words())).read({"mission": "go"})
    assert seen.text == "mission: go"


def test_an_image_is_one_line_and_the_exact_array():
    space = spaces.Box(0, 255, (96, 64, 3), np.uint8)
    image = np.zeros((96, 64, 3), np.uint8)
    image[..., 1] = 10
    seen = ObservationReader(space).read(image)
    assert seen.text == "observation: an image of 64 x 96 pixels, mean colour (0, 10, 0)"
    np.testing.assert_array_equal(seen.arrays["observation"], image, strict=True)


def test_a_long_array_is_summed_up():
    seen = ObservationReader(spaces.Box(-9, 9, (500,), np.float64)).read(np.arange(500) / 100)
    assert seen.text == "observation: 500 numbers from 0 to 4.99, mean 2.495"


def test_names_of_a_long_list_are_told_in_order_once():
    reader = ObservationReader(spaces.Box(-1, 1, (100,)), [f"part {i} (m)" for i in range(100)])
    assert "100 numbers, in this order: part 0 (m), part 1 (m)" in reader.meaning()
    assert "part" not in reader.read(np.zeros(100, np.float32)).text


def test_names_of_another_length_are_left_out():
    assert ObservationReader(spaces.Box(-1, 1, (2,)), ["only one"]).read(np.zeros(2)).text == "observation: [0, 0]"


@pytest.mark.parametrize("space", [spaces.Sequence(spaces.Discrete(2)), spaces.Graph(spaces.Discrete(2), None)])
def test_a_space_of_no_fixed_shape_is_refused_with_what_to_do(space):
    with pytest.raises(ConfigError, match=r"My-v0: expected an observation space of .*wrap the environment"):
        ObservationReader(space, where="My-v0")


@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.bool_]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=9),
    )
)
def test_any_array_is_told_in_under_4000_characters_and_kept_to_the_bit(array):
    dtype = np.float64 if array.dtype == np.float64 else np.float32
    seen = ObservationReader(spaces.Box(-np.inf, np.inf, array.shape, dtype)).read(array)
    assert len(seen.text) < 4_000
    assert seen.arrays["observation"].tobytes() == array.tobytes()
