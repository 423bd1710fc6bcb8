"""Qwen3-Coder's tags: values are typed by the schema, and what is not closed is not guessed at."""

import pytest

from trajgen.chat import Reply
from trajgen.replies.qwen import turn_of
from trajgen.spaces import ToolSpace, tool
from trajgen.types import ToolCall

TOOLS = (
    tool(
        "put",
        "",
        thing={"type": "string"},
        n={"type": "integer"},
        x={"type": "number"},
        now={"type": "boolean"},
        where={"type": "object"},
        tags={"type": "array"},
    ),
    tool("ask", "", text={"type": "string"}),
    tool("maybe", "", n={"type": ["integer", "null"]}, w={"anyOf": [{"type": "string"}, {"type": "number"}]}),
)


def block(name, **values):
    inside = "".join(f"<parameter={k}>\n{v}\n</parameter>\n" for k, v in values.items())
    return f"<tool_call>\n<function={name}>\n{inside}</function>\n</tool_call>"


def turn(text, finish="stop"):
    return turn_of(Reply(text, finish_reason=finish), TOOLS)


def only(text):
    (call,) = turn(text).calls
    return call


def test_values_are_typed_by_the_schema():
    values = {"thing": "12", "n": "3", "x": "0.5", "now": "true", "where": '{"a": [1]}', "tags": "[1, 2]"}
    call = only("I put it.\n" + block("put", **values))
    assert call.problem is None
    assert call.arguments == {
        "thing": "12",
        "n": 3,
        "x": 0.5,
        "now": True,
        "where": {"a": [1]},
        "tags": [1, 2],
    }
    assert call.raw.startswith("<parameter=thing>")


def test_a_whole_number_is_a_number_and_python_words_are_read():
    assert only(block("put", x="3", now="False")).arguments == {"x": 3, "now": False}
    assert only(block("maybe", n="None", w="7")).arguments == {"n": None, "w": 7}
    assert only(block("maybe", n="null", w="seven")).arguments == {"n": None, "w": "seven"}


@pytest.mark.parametrize("value", ["three", "", "NaN", "9" * 10_000, "[" * 100, '1, "v": 2', '1}, {"v": 2'])
def test_what_is_not_of_its_type_stays_text_so_that_the_action_space_says_so(value):
    call = only(block("put", n=value))
    assert call.problem is None
    assert call.arguments == {"n": value}
    assert "'n'" in ToolSpace(TOOLS).problem(ToolCall("put", {"n": "three"})) or "required" in ToolSpace(TOOLS).problem(
        ToolCall("put", {"n": "three"})
    )


def test_one_line_break_around_a_value_is_not_part_of_it():
    assert only(block("ask", text="\n  a\n\nb ")).arguments == {"text": "\n  a\n\nb "}
    assert only("<function=ask><parameter=text>hi</parameter></function>").arguments == {"text": "hi"}


def test_several_blocks_with_and_without_their_wrapper():
    found = turn(f"One.\n{block('ask', text='a')}\n<function=ask><parameter=text>b</parameter></function>\nTwo.")
    assert [c.arguments for c in found.calls] == [{"text": "a"}, {"text": "b"}]
    assert found.text == "One.\nTwo."


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<tool_call><function=ask><parameter=text>hi", "truncated"),
        ("<tool_call><function=ask>", "truncated"),
        ("<function=ask><parameter=text>hi</function>", "'text' is not closed"),
        ("<function=put><parameter=thing>a<parameter=n>1</parameter></function>", "'thing' is not closed"),
        ("<function=ask>hi</function>", "outside of parameters"),
        ("<function=ask></parameter></function>", "outside of parameters"),
        ("<function=ask><parameter=text>a</parameter><parameter=text>b</parameter></function>", "'text' twice"),
        ("<function=ask><parameter=text>\ud800</parameter></function>", "surrogate"),
        ("<function=><parameter=text>a</parameter></function>", "names no tool"),
        ("<function=ask it><parameter=text>a</parameter></function>", "did you mean 'ask'"),
    ],
)
def test_a_malformed_block_is_not_executed_and_says_why(text, said):
    assert said in only(text).problem


def test_a_function_that_is_not_closed_does_not_take_the_next_one_with_it():
    first, second = turn("<function=ask><parameter=text>a\n" + block("ask", text="b")).calls
    assert "truncated" in first.problem
    assert (second.arguments, second.problem) == ({"text": "b"}, None)


def test_a_truncated_reply_executes_nothing():
    (call,) = turn(block("ask", text="a"), "length").calls
    assert "truncated" in call.problem
