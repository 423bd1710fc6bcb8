"""Whatever a server returns becomes a turn; what cannot be executed says why."""

import json
import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trajgen.chat import EmittedCall, Reply
from trajgen.replies.arguments import MAX_DEPTH, _plain, _strict, parse_object
from trajgen.replies.native import turn_of
from trajgen.spaces import tool
from trajgen.types import Tool, to_json

GET = tool("get", "Take a thing.", thing={"type": "string"})
TOOLS = (GET, tool("look", "Look around."))


def turn(arguments: str, name: str | None = "get", finish: str | None = "tool_calls"):
    return turn_of(Reply("I look.", (EmittedCall("x", name, arguments),), finish_reason=finish), TOOLS)


def only_call(arguments: str, name: str | None = "get"):
    (call,) = turn(arguments, name).calls
    return call


def test_a_good_call_keeps_its_thought_arguments_and_raw_text():
    found = turn('{"thing":  "cup"}')
    assert found.text == "I look."
    assert found.problem is None
    assert found.calls[0].arguments == {"thing": "cup"}
    assert found.calls[0].raw == '{"thing":  "cup"}'
    assert found.calls[0].problem is None


@pytest.mark.parametrize("raw", ["", " ", "\n"])
def test_no_arguments_at_all_are_an_object_without_keys(raw):
    assert only_call(raw, "look").problem is None
    assert only_call(raw, "look").arguments == {}


def test_an_object_inside_a_json_string_is_taken_and_raw_shows_it():
    raw = json.dumps(json.dumps({"thing": "cup"}))
    call = only_call(raw)
    assert call.arguments == {"thing": "cup"}
    assert call.problem is None
    assert call.raw == raw
    assert parse_object(raw).decoded_twice


BAD = {
    "not JSON": ["{", "thing=cup", "{'thing': 'cup'}", '{"thing": "cup"} extra', "{,}", "\x00"],
    "NaN": ['{"thing": NaN}', '"{\\"thing\\": NaN}"'],
    "Infinity": ['{"thing": -Infinity}', '{"thing": Infinity}'],
    "twice": ['{"thing": 1, "thing": 2}', '{"a": {"b": 1, "b": 1}}'],
    "must be a JSON object": ["[1]", "3", "null", "true", '"cup"x'[:5] + '"', json.dumps(json.dumps([1]))],
    "deep": ['{"a":' * 40 + "1" + "}" * 40, "[" * 100_000, '{"a":' * 100_000],
    "characters": ['{"n": ' + "9" * 5_000 + "}", '{"n": -' + "1" * 20_000 + "}"],
    "too large": ['{"n": 1e999}'],
    "surrogate": ['{"thing": "\\ud800"}', '{"\\udfff": 1}', '{"thing": ["\ud83d"]}'],
}


@pytest.mark.parametrize(("word", "raw"), [(word, raw) for word, raws in BAD.items() for raw in raws])
def test_bad_arguments_are_never_executed_and_say_why(word, raw):
    call = only_call(raw)
    if word == "must be a JSON object" and raw.startswith('"cup'):
        word = "not JSON"  # text whose content is decoded once and is no JSON
    assert call.problem is not None
    assert word in call.problem
    assert len(call.problem) < 300
    assert call.arguments == {}
    assert call.raw


def test_a_problem_says_what_the_tool_takes():
    assert only_call("{").problem.endswith("it takes: thing")


def test_brackets_inside_text_do_not_count_as_depth():
    assert only_call(json.dumps({"thing": "[{" * 500})).problem is None


def test_depth_up_to_the_limit_is_read():
    depth = MAX_DEPTH - 1
    assert only_call('{"thing": ' + "[" * depth + "]" * depth + "}").problem is None


def test_exact_integers_beyond_64_bits_pass():
    assert only_call('{"n": 123456789012345678901234567890}').arguments == {"n": 123456789012345678901234567890}


@pytest.mark.parametrize("name", [None, "", "  "])
def test_a_call_without_a_name_lists_the_tools(name):
    call = only_call("{}", name)
    assert call.tool is None
    assert "get, look" in call.problem


@pytest.mark.parametrize("name", ["get the cup", "x" * 500, "g\x00et", "\ud800", "<script>"])
def test_a_name_no_server_would_take_back_is_not_kept(name):
    call = only_call("{}", name)
    assert call.tool is None
    assert "is not the name of a tool" in call.problem


def test_an_unknown_but_well_formed_name_is_left_to_the_action_space():
    assert only_call("{}", "gett") == msgspec.structs.replace(only_call("{}"), tool="gett")


def test_odd_names_pass_where_a_tool_has_them():
    odd = Tool("shop.buy item", "", {"type": "object"})
    reply = Reply(None, (EmittedCall(None, "shop.buy item", "{}"),))
    assert turn_of(reply, [odd]).calls[0].problem is None


@pytest.mark.parametrize("finish", ["length", "max_tokens", "content_filter"])
def test_a_truncated_reply_is_never_executed(finish):
    found = turn('{"thing": "cup"}', finish=finish)
    assert all("truncated" in c.problem for c in found.calls)
    assert "truncated" in turn_of(Reply("I beg", finish_reason=finish), TOOLS).problem


def test_an_unreadable_reply_has_a_problem_and_no_calls():
    found = turn_of(Reply(None, (EmittedCall("x", "get", "{}"),), error_kind="not_json"), TOOLS)
    assert found.calls == ()
    assert "not_json" in found.problem


def test_plain_text_is_a_turn_without_calls_or_problems():
    found = turn_of(Reply("hello", finish_reason="stop"), TOOLS)
    assert (found.text, found.calls, found.problem) == ("hello", (), None)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(), max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
_good = st.dictionaries(st.sampled_from(["thing", "a", "b"]), _json, max_size=3).map(json.dumps)
_hostile = st.sampled_from([raw for raws in BAD.values() for raw in raws if len(raw) < 10_000])


@st.composite
def _mutated(draw):
    text = draw(_good | _hostile)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text)))
        text = (
            text[:at]
            + draw(st.sampled_from(["", '"', "{", "}", "[", ",", "\\", "NaN", "\ud800", "\x00"]))
            + text[at + draw(st.integers(0, 2)) :]
        )
    return text


_emitted = st.builds(
    EmittedCall,
    id=st.none() | st.text(max_size=4),
    name=st.none() | st.sampled_from(["get", "look", "gte", ""]) | st.text(st.characters(), max_size=8),
    arguments=_mutated() | st.text(st.characters(), max_size=40),
)
_replies = st.builds(
    Reply,
    text=st.none() | st.text(st.characters(), max_size=20),
    calls=st.lists(_emitted, max_size=3).map(tuple),
    reasoning=st.none() | st.text(st.characters(), max_size=8),
    finish_reason=st.none() | st.sampled_from(["stop", "tool_calls", "length"]),
    error_kind=st.none() | st.none() | st.just("not_json"),
)


def _is_storable(value):
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(_is_storable(k) and _is_storable(v) for k, v in value.items())
    return all(map(_is_storable, value)) if isinstance(value, list) else True


@settings(max_examples=1_000, deadline=None)
@given(_replies)
def test_no_reply_raises_and_whatever_can_be_executed_can_be_stored(reply):
    found = turn_of(reply, TOOLS)
    msgspec.msgpack.encode([found.text, found.reasoning, found.problem, [c.raw for c in found.calls]])
    if reply.error_kind is not None:
        assert found.problem is not None
        return
    assert len(found.calls) == len(reply.calls)
    for call, emitted in zip(found.calls, reply.calls, strict=True):
        if call.problem is not None:
            assert call.arguments == {}
            continue
        assert emitted.name is not None
        assert _is_storable(call.arguments)
        assert msgspec.json.decode(to_json(call.arguments)) == call.arguments
        if emitted.arguments.strip():
            once = json.loads(emitted.arguments)
            assert call.arguments == (json.loads(once) if isinstance(once, str) else once)


@settings(max_examples=500, deadline=None)
@given(_mutated() | _good)
def test_the_quick_way_agrees_with_the_careful_one(raw):
    quick = _plain(raw) if raw else None
    if quick is not None:
        assert to_json(_strict(raw)) == to_json(quick)


def test_the_quick_way_is_the_usual_one():
    assert _plain('{"a": 3, "b": {"c": ["d", -1.5e3, true, null]}}') is not None
    assert _plain('{"a": 1, "a": 2}') is None
    assert _plain('{"a": 123456789012345678901}') is None


@settings(max_examples=300, deadline=None)
@given(_good)
def test_what_strict_json_allows_is_not_refused(raw):
    lenient = "NaN" in raw or "Infinity" in raw or "\\ud" in raw
    assert only_call(raw).problem is None or lenient
