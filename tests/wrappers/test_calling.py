"""A foreign action space becomes arguments, and arguments an action, to the bit."""

import json
import math

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trajgen.errors import ConfigError
from trajgen.spaces import ToolSpace, tool
from trajgen.types import ToolCall, to_json
from trajgen.wrappers.calling import MAX_ARGUMENTS, Unfit, action_reader


def played(space, arguments, names=None):
    """Read arguments as after a store: through JSON and the schema."""
    reader = action_reader(space, names)
    tools = ToolSpace([tool("act", "", **reader.properties)])
    stored = json.loads(to_json(arguments))
    assert tools.problem(ToolCall("act", stored)) is None
    return reader.read(stored)


def drawn(space, n=20):
    """Draw calls as the random agent does, and read those that are actions."""
    reader = action_reader(space)
    tools = ToolSpace([tool("act", "", **reader.properties)], seed=0)
    return [reader.read(tools.sample().arguments) for _ in range(n)]


def test_a_discrete_action_is_named_where_names_are_known():
    assert action_reader(spaces.Discrete(2, start=3), ["left", "right"]).properties == {
        "action": {"type": "string", "enum": ["left", "right"]}
    }
    assert played(spaces.Discrete(2, start=3), {"action": "right"}, ["left", "right"]) == 4


def test_a_discrete_action_without_names_is_a_whole_number_in_its_range():
    assert action_reader(spaces.Discrete(5, start=-2)).properties["action"] == {
        "type": "integer",
        "minimum": -2,
        "maximum": 2,
    }
    assert played(spaces.Discrete(5, start=-2), {"action": -2}) == -2


def test_names_of_another_length_are_refused():
    with pytest.raises(ValueError, match="expected 3 action names, found 2"):
        action_reader(spaces.Discrete(3), ["a", "b"])


def test_two_actions_of_one_name_are_refused():
    with pytest.raises(ValueError, match="share a name"):
        action_reader(spaces.Discrete(2), ["a", "a"])


def test_every_component_of_a_small_box_is_one_argument_with_its_own_range():
    space = spaces.Box(np.array([-1, 0], np.float32), np.array([1, np.inf], np.float32))
    assert action_reader(space, ["hip torque", "knee torque"]).properties == {
        "hip_torque": {"type": "number", "minimum": -1.0, "maximum": 1.0},
        "knee_torque": {"type": "number", "minimum": 0.0},
    }


def test_bounds_are_written_short_and_still_mean_the_true_bound():
    space = spaces.Box(-0.4, 0.7, (1,), np.float32)
    assert action_reader(space).properties["action"] == {"type": "number", "minimum": -0.4, "maximum": 0.7}
    assert space.contains(played(space, {"action": 0.7}))
    assert space.contains(played(space, {"action": -0.4}))


def test_a_large_box_is_one_list_of_fixed_length():
    space = spaces.Box(0, 255, (4, 4, 3), np.uint8)
    schema = action_reader(space).properties["action"]
    assert (schema["minItems"], schema["maxItems"]) == (48, 48)
    assert schema["items"] == {"type": "integer", "minimum": 0, "maximum": 255}
    values = list(range(48))
    np.testing.assert_array_equal(
        played(space, {"action": values}), np.arange(48, dtype=np.uint8).reshape(4, 4, 3), strict=True
    )


def test_a_large_box_of_uneven_bounds_refuses_what_only_the_schema_allows():
    low = np.zeros(MAX_ARGUMENTS + 1)
    high = np.ones(MAX_ARGUMENTS + 1)
    high[0] = 5
    reader = action_reader(spaces.Box(low, high, dtype=np.float64))
    assert reader.properties["action"]["items"]["maximum"] == 5
    assert reader.read({"action": [5.0] + [1.0] * MAX_ARGUMENTS})[0] == 5
    with pytest.raises(Unfit, match="not in the action space"):
        reader.read({"action": [5.0] * (MAX_ARGUMENTS + 1)})


@pytest.mark.parametrize("number", [1e300, 10**400, -(10**39)])
def test_a_number_the_dtype_cannot_hold_is_refused_and_never_becomes_infinite(number):
    reader = action_reader(spaces.Box(-np.inf, np.inf, (1,), np.float32))
    with pytest.raises(Unfit):
        reader.read({"action": number})


@pytest.mark.parametrize("number", [2**63, 1e300, -(2**70)])
def test_a_whole_number_the_dtype_cannot_hold_is_refused(number):
    info = np.iinfo(np.int64)
    with pytest.raises(Unfit):
        action_reader(spaces.Box(info.min, info.max, (1,), np.int64)).read({"action": number})


def test_multi_discrete_and_multi_binary_keep_their_own_ranges():
    space = spaces.MultiDiscrete([3, 2], start=[1, 0])
    assert [p["maximum"] for p in action_reader(space).properties.values()] == [3, 1]
    np.testing.assert_array_equal(played(space, {"action_0": 3, "action_1": 0}), np.array([3, 0]), strict=True)
    np.testing.assert_array_equal(
        played(spaces.MultiBinary(2), {"action_0": 1, "action_1": 0}), np.array([1, 0], np.int8), strict=True
    )


def test_nested_spaces_become_arguments_named_by_their_path():
    space = spaces.Dict(
        arm=spaces.Dict(grip=spaces.Discrete(2), reach=spaces.Box(-1, 1, (2,))),
        say=spaces.Text(5),
        pair=spaces.Tuple((spaces.Discrete(3), spaces.MultiBinary(1))),
    )
    assert sorted(action_reader(space).properties) == [
        "arm_grip",
        "arm_reach_0",
        "arm_reach_1",
        "pair_0",
        "pair_1",
        "say",
    ]
    action = played(
        space,
        {"arm_grip": 1, "arm_reach_0": 0.5, "arm_reach_1": -1, "pair_0": 2, "pair_1": 1, "say": "hello"},
    )
    assert space.contains(action)
    assert action["say"] == "hello"
    assert action["arm"]["reach"].tolist() == [0.5, -1.0]


def test_parts_whose_names_meet_get_different_arguments():
    space = spaces.Dict({"a": spaces.Dict({"b": spaces.Discrete(2)}), "a_b": spaces.Discrete(3)})
    assert list(action_reader(space).properties) == ["a_b", "a_b_2"]
    assert played(space, {"a_b": 1, "a_b_2": 2}) == {"a": {"b": 1}, "a_b": 2}


def test_names_no_server_accepts_are_cleaned():
    (name,) = action_reader(spaces.Dict({"left/right (m) " + "x" * 90: spaces.Discrete(2)})).properties
    assert name.startswith("left_right_m_x")
    assert len(name) == 64


def test_text_outside_its_characters_is_refused():
    reader = action_reader(spaces.Text(3, charset="abc"))
    assert reader.read({"action": "cab"}) == "cab"
    with pytest.raises(Unfit):
        reader.read({"action": "dog"})


def test_text_of_one_character_is_a_choice():
    assert action_reader(spaces.Text(1, charset="xo")).properties["action"]["enum"] == ["o", "x"]
    assert len(drawn(spaces.Text(1, charset="xo"))) == 20


@pytest.mark.parametrize(
    "space",
    [
        spaces.Sequence(spaces.Discrete(2)),
        spaces.Graph(spaces.Discrete(2), None),
        spaces.Dict(a=spaces.OneOf([spaces.Discrete(2)])),
    ],
    ids=["sequence", "graph", "oneof inside a dict"],
)
def test_a_space_without_a_fixed_number_of_parts_is_refused_with_what_to_do(space):
    with pytest.raises(ConfigError, match=r"My-v0: expected .* found (Sequence|Graph|OneOf).*wrap the environment"):
        action_reader(space, where="My-v0")


FLOATS = st.sampled_from([np.float16, np.float32, np.float64])


@st.composite
def boxes(draw):
    """Boxes of any finite, half-infinite or infinite bounds."""
    dtype = np.dtype(draw(st.one_of(FLOATS, st.sampled_from([np.int8, np.uint8, np.int32, np.int64, np.uint64]))))
    shape = draw(st.sampled_from([(), (1,), (3,), (2, 2), (40,)]))
    values = hnp.from_dtype(dtype, allow_nan=False, allow_infinity=dtype.kind == "f")
    # the bound of a half-infinite side may be any number, but no bound may be the wrong infinity
    a, b = (draw(hnp.arrays(dtype, shape, elements=values)) for _ in range(2))
    low, high = np.minimum(a, b), np.maximum(a, b)
    if dtype.kind == "f":
        low = np.where(low == np.inf, dtype.type(0), low)
        high = np.where(high == -np.inf, dtype.type(0), np.maximum(low, high))
        low = np.minimum(low, high)
    return spaces.Box(low, high, shape, dtype.type)


@given(boxes(), st.integers(0, 2**32 - 1))
def test_a_random_call_is_an_action_and_is_the_same_action_after_a_store(space, seed):
    reader = action_reader(space)
    tools = ToolSpace([tool("act", "", **reader.properties)], seed=seed)
    call = tools.sample()
    try:
        action = reader.read(call.arguments)
    except Unfit:
        # only where one list carries components of different or very far bounds
        assert math.prod(space.shape) > MAX_ARGUMENTS or not _near(space)
        return
    assert action in space
    assert action.dtype == space.dtype
    again = reader.read(json.loads(to_json(call.arguments)))
    assert again.tobytes() == action.tobytes()


def _near(space):
    """Say whether all bounds are ones a schema can hold."""
    bounds = np.concatenate([space.low.ravel(), space.high.ravel()])
    if bounds.dtype.kind == "f":
        return bool((np.abs(bounds.astype(float)) < min(float(np.finfo(bounds.dtype).max), 1e307) / 4).all())
    return all(abs(int(b)) < 2**62 for b in bounds)


@given(st.integers(1, 2**16 - 1), st.floats(-1, 1, width=64))
def test_any_number_inside_short_bounds_is_inside_the_box(bits, share):
    high = np.float32(np.frombuffer(np.array([bits << 15], np.uint32).tobytes(), np.float32)[0])
    if not np.isfinite(high) or high > 1e37:
        return
    space = spaces.Box(-high, high, (1,), np.float32)
    schema = action_reader(space).properties["action"]
    for number in (schema["minimum"], schema["maximum"], schema["maximum"] * share):
        assert action_reader(space).read({"action": number}) in space
