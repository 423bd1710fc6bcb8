"""The scripted model plays by position and refuses what no server would take."""

import asyncio
import contextlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trajgen.backends.notation import arguments, parse
from trajgen.backends.scripted import ScriptedBackend, ScriptedConfig, ScriptError
from trajgen.chat import FunctionCall, Message, Reply
from trajgen.errors import ConfigError
from trajgen.spaces import tool
from trajgen.strict import convert
from trajgen.types import to_json

TOOLS = (
    tool("get", "Take.", thing={"type": "string"}, n={"type": "integer"}),
    tool("look", "Look."),
    tool("answer", "Answer.", value={"type": "integer"}),
)
CHAT = [Message("system", "s"), Message("user", "u")]


def generate(backend, messages=CHAT, tools=TOOLS):
    return asyncio.run(backend.generate(messages, tools))


def turn(n, ids=("a",)):
    """Return assistant turn n with calls, and their answers."""
    calls = tuple(FunctionCall(f"{i}{n}", "look", "{}") for i in ids)
    return [Message("assistant", "", tool_calls=calls), *[Message("tool", "ok", tool_call_id=c.id) for c in calls]]


def test_the_reply_is_a_function_of_the_messages_alone():
    backend = ScriptedBackend(["look()", "I have it. >> answer(3)"])
    later = [*CHAT, *turn(0)]
    for _ in range(2):
        assert generate(backend, later).calls[0].arguments == '{"value":3}'
        assert generate(backend).calls[0].name == "look"
    assert generate(backend, later).text == "I have it."


def test_after_the_last_reply_comes_an_error_or_the_beginning():
    later = [*CHAT, *turn(0)]
    with pytest.raises(ScriptError, match="1 replies"):
        generate(ScriptedBackend(["look()"]), later)
    assert generate(ScriptedBackend(["look()"], at_end="repeat"), later).calls[0].name == "look"


def test_replies_may_be_ready_made_or_come_from_a_function():
    ready = Reply("x", finish_reason="length")
    assert generate(ScriptedBackend([ready])) is ready
    assert generate(ScriptedBackend(lambda messages, _: f"answer({len(messages)})")).calls[0].arguments == '{"value":2}'


ILLEGAL = {
    "no message at all": [],
    "an assistant first": [Message("assistant", "a")],
    "system twice": [Message("system", "s"), *CHAT],
    "the model's own message last": [*CHAT, Message("assistant", "a")],
    "a call without an answer": [*CHAT, turn(0)[0]],
    "one of two calls without an answer": [*CHAT, *turn(0, "ab")[:-1]],
    "an answer to nobody": [*CHAT, Message("tool", "t", tool_call_id="x")],
    "an answer to another call": [*CHAT, turn(0)[0], Message("tool", "t", tool_call_id="x")],
    "the same answer twice": [*CHAT, *turn(0), turn(0)[1]],
    "an id used twice": [*CHAT, *turn(0), *turn(0)],
    "a user between call and answer": [*CHAT, turn(0)[0], Message("user", "u"), turn(0)[1]],
    "a user after an answer": [*CHAT, *turn(0), Message("user", "u")],
    "two users": [*CHAT, Message("user", "u")],
    "a call by a user": [Message("user", "u", tool_calls=(FunctionCall("a", "look", "{}"),))],
}


@pytest.mark.parametrize("what", ILLEGAL)
def test_an_illegal_chat_is_refused(what):
    with pytest.raises(ScriptError):
        generate(ScriptedBackend(["look()"] * 9), ILLEGAL[what])


def test_legal_chats_pass():
    said = [Message("assistant", "hm"), Message("user", "call a tool")]
    both = turn(2, "ab")
    generate(ScriptedBackend(["look()"] * 9), [*CHAT, *turn(0), *said, both[0], both[2], both[1]])
    generate(ScriptedBackend(["look()"]), CHAT[1:])


def test_without_tools_a_text_of_the_script_is_the_reply_itself():
    backend = ScriptedBackend(["Thought: I add.\nAction: add(n=3)"])
    reply = asyncio.run(backend.generate([Message("user", "go")], ()))
    assert reply.text == "Thought: I add.\nAction: add(n=3)"
    assert not reply.calls
    assert json.loads(reply.raw)["content"] == reply.text


def read(text):
    return [(c.tool, arguments(c, TOOLS)) for c in parse(text).calls]


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("get(cup)", [("get", {"thing": "cup"})]),
        ("get(7)", [("get", {"thing": "7"})]),
        ('get("a, b", 2)', [("get", {"thing": "a, b", "n": 2})]),
        ("get(n=2, red cup)", [("get", {"n": 2, "thing": "red cup"})]),
        ("look( ) ; answer( -3 )", [("look", {}), ("answer", {"value": -3})]),
        ('get(thing={"a": [1]}, n=true)', [("get", {"thing": '{"a": [1]}', "n": True})]),
        ("other(x=[1, 2], y=null)", [("other", {"x": [1, 2], "y": None})]),
        ("thinking >>", []),
    ],
)
def test_the_notation_reads_as_it_looks(text, calls):
    assert read(text) == calls


@pytest.mark.parametrize(
    "text", ["", "look", "get(", "get(a", "get(a))", "get(a) look()", "get(,)", '>> get("a)', "a >> b >> c"]
)
def test_a_slip_of_the_pen_is_an_error(text):
    with pytest.raises(ValueError, match="expected"):
        read(text)


def test_a_value_without_a_place_is_an_error():
    with pytest.raises(ScriptError, match="no argument is left"):
        generate(ScriptedBackend(["answer(1, 2)"]))
    with pytest.raises(ScriptError, match="did you mean 'answer'"):
        generate(ScriptedBackend(["answer_(1)"]))


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda v: st.lists(v) | st.dictionaries(st.text(), v),
    max_leaves=5,
)


@given(st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), _values, max_size=3))
def test_what_is_written_as_json_reads_back(given_arguments):
    text = f"tool({', '.join(f'{k}={to_json(v)}' for k, v in given_arguments.items())})"
    (call,) = parse(text).calls
    assert arguments(call, ()) == given_arguments


@given(st.text(alphabet='get(),;=>"[]{} a1\\'))
def test_any_text_is_read_or_refused_by_value_error(text):
    with contextlib.suppress(ValueError):
        parse(text)


def test_a_job_is_told_of_a_reply_it_cannot_read():
    with pytest.raises(ConfigError, match="expected"):
        convert({"replies": ["get("]}, ScriptedConfig, "backend.b")
    config = convert({"replies": ["look()"], "at_end": "repeat"}, ScriptedConfig, "backend.b")
    assert generate(ScriptedBackend(config)).calls[0].name == "look"
    assert msgspec.to_builtins(config) == {"replies": ["look()"], "at_end": "repeat"}
