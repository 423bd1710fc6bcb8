"""Mistral's list of calls, and its newer form with one mark a call."""

import pytest

from trajgen.chat import Reply
from trajgen.replies.mistral import turn_of
from trajgen.spaces import tool

TOOLS = (tool("get", "", thing={"type": "string"}), tool("look", ""))


def turn(text, finish="stop"):
    return turn_of(Reply(text, finish_reason=finish), TOOLS)


def read(text):
    return [(c.tool, dict(c.arguments), c.problem) for c in turn(text).calls]


@pytest.mark.parametrize(
    "text",
    [
        '[TOOL_CALLS][{"name": "get", "arguments": {"thing": "cup"}, "id": "abc123def"}]',
        '[TOOL_CALLS] [{"name": "get", "arguments": {"thing": "cup"}}]</s>',
        '[TOOL_CALLS]{"name": "get", "arguments": {"thing": "cup"}}',
        '[TOOL_CALLS]get[ARGS]{"thing": "cup"}',
        '[TOOL_CALLS]get[CALL_ID]abc123def[ARGS]{"thing": "cup"}</s>',
        '[TOOL_CALLS]get{"thing": "cup"}',
        '[TOOL_CALLS]get[ARGS]"{\\"thing\\": \\"cup\\"}"',
    ],
)
def test_each_documented_form_is_read(text):
    assert read("I take it." + text) == [("get", {"thing": "cup"}, None)]
    assert turn("I take it." + text).text == "I take it."


def test_several_calls_in_both_forms():
    assert [
        c[0] for c in read('[TOOL_CALLS][{"name": "look", "arguments": {}}, {"name": "get", "arguments": {}}]')
    ] == [
        "look",
        "get",
    ]
    assert read('[TOOL_CALLS]look[ARGS]{}[TOOL_CALLS]get[ARGS]{"thing": "[TOOL_CALLS]"}') == [
        ("look", {}, None),
        ("get", {"thing": "[TOOL_CALLS]"}, None),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[TOOL_CALLS][{"name": "look", "arguments": {}}', "truncated"),
        ('[TOOL_CALLS][{"name": "look", "argu', "truncated"),
        ('[TOOL_CALLS]get[ARGS]{"thing": "c', "truncated"),
        ("[TOOL_CALLS]get[ARGS]", "truncated"),
        ("[TOOL_CALLS]get", "truncated"),
        ("[TOOL_CALLS]", "names no tool"),
        ('[TOOL_CALLS][ARGS]{"thing": "cup"}', "names no tool"),
        ("[TOOL_CALLS]get[ARGS]{'thing': 'cup'}", "not JSON"),
        ("[TOOL_CALLS]get[ARGS][1]", "must be a JSON object"),
        ('[TOOL_CALLS]get[ARGS]{"thing": NaN}', "NaN"),
        ('[TOOL_CALLS][{"name": "get", "arguments": {"a": 1, "a": 1}}]', "twice"),
    ],
)
def test_a_malformed_call_is_not_executed_and_says_why(text, said):
    ((_, arguments, problem),) = read(text)
    assert arguments == {}
    assert said in problem or (said == "names no tool" and "truncated" in problem)


def test_a_truncated_reply_executes_nothing():
    (call,) = turn("[TOOL_CALLS]look[ARGS]{}", "length").calls
    assert "truncated" in call.problem
