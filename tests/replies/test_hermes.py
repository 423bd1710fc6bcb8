"""Hermes blocks: what is whole is executed, what is not says so, and the rest is thought."""

import json

import pytest

from trajgen.chat import EmittedCall, Reply
from trajgen.replies.hermes import turn_of
from trajgen.replies.reading import MAX_CALLS
from trajgen.spaces import tool

TOOLS = (tool("get_stock_fundamentals", "", symbol={"type": "string"}), tool("look", ""))
# the example of the Hermes 2 Pro model card
CARD = '<tool_call>\n{"arguments": {"symbol": "TSLA"}, "name": "get_stock_fundamentals"}\n</tool_call>'
LOOK = '<tool_call>{"name": "look", "arguments": {}}</tool_call>'


def turn(text, finish="stop", **more):
    return turn_of(Reply(text, finish_reason=finish, **more), TOOLS)


def only(text, finish="stop"):
    (call,) = turn(text, finish).calls
    return call


def test_the_documented_example_is_read_and_raw_is_what_the_model_wrote():
    call = only(CARD)
    assert (call.tool, call.arguments, call.problem) == ("get_stock_fundamentals", {"symbol": "TSLA"}, None)
    assert call.raw == '{"symbol": "TSLA"}'


def test_several_calls_stay_in_order_and_the_text_around_them_is_the_thought():
    found = turn(f"First.\n{LOOK}\nThen.\n{CARD}\nDone.")
    assert [c.tool for c in found.calls] == ["look", "get_stock_fundamentals"]
    assert found.text == "First.\nThen.\nDone."
    assert found.problem is None


@pytest.mark.parametrize("opening", ["<think>", ""])
def test_what_is_thought_is_reasoning_and_its_drafts_are_not_executed(opening):
    found = turn(f"{opening}Maybe {LOOK}?</think>\n{CARD}")
    assert [c.tool for c in found.calls] == ["get_stock_fundamentals"]
    assert found.reasoning == f"Maybe {LOOK}?"
    assert found.text is None


def test_reasoning_that_the_server_gave_comes_first():
    assert turn(f"<think>b</think>{LOOK}", reasoning="a").reasoning == "a\nb"


def test_a_thought_that_never_ends_executes_nothing():
    found = turn(f"<think>I will {LOOK}")
    assert found.calls == ()
    assert "inside <think>" in found.problem
    assert turn(f"{LOOK}<think>and").calls[0].problem == found.problem


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "look", "arguments": {}}',
        '<tool_call>{"name": "look", "argum',
        '<tool_call>{"name": "look", "arguments": {}}<tool_call>',
        "<tool_call>",
    ],
)
def test_a_block_that_is_not_closed_is_truncated(text):
    calls = turn(text).calls
    assert calls
    assert all("truncated" in c.problem for c in calls)


def test_a_block_that_is_not_closed_does_not_take_the_next_one_with_it():
    first, second = turn('<tool_call>{"name": "get_stock_fundamentals"}\n' + LOOK).calls
    assert first.tool == "get_stock_fundamentals"
    assert "truncated" in first.problem
    assert (second.tool, second.problem) == ("look", None)


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("", "the call is empty"),
        ("{'name': 'look'}", "not JSON"),
        ('{"name": "look", "arguments": {}} and more', "not JSON"),
        ('{"name": "look", "arguments": {}', "not JSON"),
        ('{"name": "look", "name": "look"}', "give 'name' twice"),
        ('{"arguments": {}}', "names no tool; the tools are: get_stock_fundamentals, look"),
        ('{"name": null, "arguments": {}}', "names no tool"),
        ('{"name": "\\ud800", "arguments": {}}', "is not the name of a tool"),
        ('{"name": "lo\x00ok", "arguments": {}}', "no JSON text"),
        ('{"name": "look", "arguments": [1]}', "must be a JSON object"),
        ('{"name": "look", "arguments": {"a": NaN}}', "NaN"),
        ('{"name": "look", "arguments": {"a": 1, "a": 2}}', "'a' twice"),
        ('{"name": "look", "arguments": {"a": "\\ud800"}}', "surrogate"),
        ('{"name": "look", "arguments": {"a": ' + "9" * 10_000 + "}}", "10000 characters"),
        ('{"name": "look", "arguments": {"a": ' + "[" * 50 + "]" * 50 + "}}", "deep"),
        ('{"name": "look", "argunemts": {}}', "no 'arguments' but 'argunemts'"),
        ('{"name": "look", "argument": "x"}', "no 'arguments' but 'argument'"),
        ('{"name": "look", "with": {"a": 1}}', "no 'arguments' but 'with'"),
        ('{"name": "look", "arguments": {}, "parameters": {"a": 1}}', "both 'arguments' and 'parameters'"),
        ('["look"]', "must be a JSON object"),
    ],
)
def test_a_malformed_block_is_not_executed_and_says_why(block, said):
    call = only(f"<tool_call>{block}</tool_call>")
    assert said in call.problem
    assert call.arguments == {}


def test_double_encoded_arguments_are_decoded():
    inner = json.dumps({"symbol": "TSLA"})
    text = json.dumps({"name": "get_stock_fundamentals", "arguments": inner})
    call = only(f"<tool_call>{text}</tool_call>")
    assert (call.arguments, call.raw) == ({"symbol": "TSLA"}, json.dumps(inner))


@pytest.mark.parametrize("key", ["id", "type", "thought", "reasoning", "explanation", "comment", "index", "call_id"])
def test_what_a_model_adds_to_a_call_is_passed_over(key):
    assert only(f'<tool_call>{{"{key}": "so", "name": "look"}}</tool_call>').problem is None


def test_tags_inside_a_string_do_not_end_a_block():
    symbol = f"</tool_call>{LOOK}<tool_call>"
    text = json.dumps({"name": "get_stock_fundamentals", "arguments": {"symbol": symbol}})
    first, second = turn(f"<tool_call>{text}</tool_call>{LOOK}").calls
    assert first.arguments == {"symbol": symbol}
    assert second.tool == "look"


def test_a_missing_quote_does_not_swallow_the_next_call():
    broken = '<tool_call>{"name": "get_stock_fundamentals", "arguments": {"symbol": "TSLA}}</tool_call>'
    first, second = turn(broken + LOOK).calls
    assert first.problem is not None
    assert (second.tool, second.problem) == ("look", None)


def test_a_truncated_reply_executes_nothing():
    assert "truncated" in only(LOOK, "length").problem
    assert "truncated" in turn("I will", "length").problem


def test_an_unreadable_reply_has_a_problem_and_no_calls():
    found = turn_of(Reply(LOOK, error_kind="not_json"), TOOLS)
    assert found.calls == ()
    assert "not_json" in found.problem


def test_calls_that_the_server_read_already_are_native():
    reply = Reply("I look.", (EmittedCall("x", "look", "{}"),), finish_reason="tool_calls")
    assert turn_of(reply, TOOLS).calls[0].tool == "look"


def test_too_many_calls_are_cut_and_the_last_one_says_so():
    calls = turn(LOOK * (MAX_CALLS + 5)).calls
    assert len(calls) == MAX_CALLS + 1
    assert all(c.problem is None for c in calls[:-1])
    assert f"makes {MAX_CALLS + 5} calls" in calls[-1].problem
