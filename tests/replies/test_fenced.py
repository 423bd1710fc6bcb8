"""JSON in a fence, or nothing but JSON."""

import json

import pytest

from trajgen.chat import Reply
from trajgen.replies.fenced import turn_of
from trajgen.spaces import tool

TOOLS = (tool("get", "", thing={"type": "string"}), tool("look", ""))


def turn(text, finish="stop"):
    return turn_of(Reply(text, finish_reason=finish), TOOLS)


def read(text):
    return [(c.tool, dict(c.arguments), c.problem) for c in turn(text).calls]


@pytest.mark.parametrize("name", ["tool", "name", "function", "action"])
@pytest.mark.parametrize("arguments", ["arguments", "parameters", "args", "input", "action_input"])
def test_every_pair_of_keys_is_read_fenced_and_bare(name, arguments):
    text = json.dumps({"thought": "hm", name: "get", arguments: {"thing": "cup"}})
    for form in (f"So:\n```json\n{text}\n```\n", f"```\n{text}```", text, f"```json\n[{text}]\n```", f"[{text}]"):
        assert read(form) == [("get", {"thing": "cup"}, None)]


def test_the_openai_form_is_read():
    text = '{"type": "function", "function": {"name": "get", "arguments": "{\\"thing\\": \\"cup\\"}"}}'
    assert read(text) == [("get", {"thing": "cup"}, None)]


def test_text_around_the_fence_is_the_thought_and_later_fences_are_not_executed():
    found = turn('I look.\n```json\n{"tool": "look"}\n```\nResult: a cup.\n```json\n{"tool": "get"}\n```')
    assert [c.tool for c in found.calls] == ["look"]
    assert found.text.startswith("I look.\nResult")


def test_fences_that_hold_no_call_are_passed_over():
    assert read(
        '```python\nprint(1)\n```\n```json\n{"a": 1}\n```\n```json\n[1, 2]\n```\n```\n{"tool": "look"}\n```'
    ) == [("look", {}, None)]
    assert turn('```json\n{"a": 1}\n```').calls == ()


def test_a_fence_inside_a_string_does_not_end_the_call():
    text = json.dumps({"tool": "get", "args": {"thing": "```\ncode\n```"}})
    assert read(f"```json\n{text}\n```") == [("get", {"thing": "```\ncode\n```"}, None)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('```json\n{"tool": "get", "args": {"thing": "cup"\n```', "truncated"),
        ('{"tool": "get", "args": {"th', "truncated"),
        ('```json\n[{"tool": "look"}\n```', "truncated"),
        ("```json\n{'tool': 'look'}\n```", "not JSON"),
        ('{"args": {}}', "names no tool"),
        ('{"tool": null, "args": {}}', "names no tool"),
        ('{"tool": "get", "args": ["cup"]}', "must be a JSON object"),
        ('{"tool": "get", "args": {"thing": NaN}}', "NaN"),
        ('{"tool": "get", "tool": "look"}', "twice"),
    ],
)
def test_a_malformed_call_is_not_executed_and_says_why(text, said):
    ((_, arguments, problem),) = read(text)
    assert arguments == {}
    assert said in problem


def test_a_truncated_reply_executes_nothing():
    assert "truncated" in turn('{"tool": "look"}', "length").calls[0].problem
