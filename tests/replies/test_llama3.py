"""Llama's three ways to write a call, and what its trained-in tools look like."""

import pytest

from trajgen.chat import Reply
from trajgen.replies.llama3 import turn_of
from trajgen.spaces import tool

TOOLS = (
    tool("get_weather", "", city={"type": "string"}, metric={"type": "boolean"}),
    tool("look", ""),
    tool("brave_search", "", query={"type": "string"}),
)


def turn(text, finish="stop"):
    return turn_of(Reply(text, finish_reason=finish), TOOLS)


def read(text):
    return [(c.tool, dict(c.arguments), c.problem) for c in turn(text).calls]


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "get_weather", "parameters": {"city": "Oslo"}}',
        '<|python_tag|>{"name": "get_weather", "parameters": {"city": "Oslo"}}<|eom_id|>',
        '{"name": "get_weather", "arguments": {"city": "Oslo"}}<|eot_id|>',
        '{"type": "function", "name": "get_weather", "parameters": {"city": "Oslo"}}',
        '<|python_tag|>{"parameters": {"city": "Oslo"}, "name": "get_weather"}',
        '<function=get_weather>{"city": "Oslo"}</function>',
        '[get_weather(city="Oslo")]',
        "<|python_start|>[get_weather(city='Oslo')]<|python_end|><|eot_id|>",
        '<|python_tag|>get_weather.call(city="Oslo")',
        '[get_weather("Oslo")]',
    ],
)
def test_each_documented_form_is_read(text):
    assert read(text) == [("get_weather", {"city": "Oslo"}, None)]


@pytest.mark.parametrize("between", ["; ", ";", "\n", " ", ", ", "<|eom_id|>"])
def test_several_objects_may_stand_one_after_another(between):
    one, two = '{"name": "look", "parameters": {}}', '{"name": "get_weather", "parameters": {"city": ";"}}'
    assert read(f"I look.{one}{between}{two}") == [("look", {}, None), ("get_weather", {"city": ";"}, None)]
    assert turn(f"I look.{one}{between}{two}").text == "I look."


def test_a_list_of_calls_holds_literals_of_every_kind():
    text = "[look(), get_weather(city='it\\'s \\u00e9', metric=True, a=[1, -2.5, None,], b={'k': (1, 2)}, c=\"\"), look( )]"
    assert [c[0] for c in read(text)] == ["look", "get_weather", "look"]
    assert read(text)[1][1] == {"city": "it's é", "metric": True, "a": [1, -2.5, None], "b": {"k": [1, 2]}, "c": ""}


@pytest.mark.parametrize(
    "value", ["__import__('os')", "city", "1 + 1", "lambda: 1", "f'x'", "[x for x in y]", "", "nan"]
)
def test_what_is_no_literal_is_refused(value):
    ((_, arguments, problem),) = read(f"[get_weather(city={value})]")
    assert arguments == {}
    assert "not JSON" in problem


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"name": "look", "parameters": {', "truncated"),
        ('<|python_tag|>{"name": "look", "parameters": {"a": "b', "truncated"),
        ('<function=look>{"a": 1}', "truncated"),
        ("[look(), get_weather(city='Oslo'", "truncated"),
        ("[look(), get_weather(city='Oslo')", "truncated"),
        ("[get_weather(city=[1))]", "truncated"),
        ("<|python_tag|>import os", "comes no call"),
        ("<|python_tag|>", "truncated"),
        ("<function=look>nothing</function>", "not JSON"),
        ("<function=>{}</function>", "names no tool"),
        ("[get_weather(city='a', city='b')]", "'city' twice"),
        ("[get_weather(1, 2, 3)]", "one value too many"),
        ("[get_weather(city='\ud800')]", "surrogate"),
        ('{"name": "look", "parameters": {"a": Infinity}}', "Infinity"),
        ('{"name": "look", "parameters": {}, "parameters": {}}', "twice"),
    ],
)
def test_a_malformed_call_is_not_executed_and_says_why(text, said):
    assert said in read(text)[-1][2]


def test_nothing_of_a_list_that_is_not_closed_is_executed():
    assert all(problem for _, _, problem in read("[look(), look()"))


def test_closing_tags_inside_a_string_do_not_end_a_function():
    text = '<function=get_weather>{"city": "</function>"}</function><function=look>{}</function>'
    assert read(text) == [("get_weather", {"city": "</function>"}, None), ("look", {}, None)]


def test_plain_text_is_a_turn_without_calls():
    assert turn("Hello [you](x) {there}").calls == ()


def test_a_truncated_reply_executes_nothing():
    (call,) = turn('{"name": "look", "parameters": {}}', "length").calls
    assert "truncated" in call.problem
