"""Constraints and tools as text and grammar; no engine is needed here."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trajgen.backends.grammar import as_text, choice_grammar, grammar_of, read_call, tools_schema, written
from trajgen.backends.local import LocalConfig
from trajgen.chat import FunctionCall, Message
from trajgen.errors import ConfigError
from trajgen.strict import convert
from trajgen.types import Tool

ADD = Tool("add", "Adds n.", {"type": "object", "properties": {"n": {"$ref": "#/$defs/n"}}, "$defs": {"n": {}}})
values = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text(), max_size=3)


@given(st.text(), st.dictionaries(st.text(), values))
def test_a_call_that_is_written_reads_back_as_it_was(name, arguments):
    raw = json.dumps(arguments, ensure_ascii=False)
    call = read_call(written(name, raw))
    assert (call.name, call.arguments) == (name, raw)
    assert written(call.name, call.arguments) == written(name, raw)


@given(st.text())
def test_a_text_that_is_no_call_is_none_and_never_an_error(text):
    assert read_call(text) is None
    assert read_call('{"name": "add", "arguments": ' + text) is None or text.strip().endswith("}")


@pytest.mark.parametrize(
    ("text", "grammar"),
    [
        ('say "hi"\\\n', r'root ::= "say \"hi\"\\\n"'),
        ("a\x07é\U0001f600]", r'root ::= "a\u0007\u00E9\U0001F600]"'),
    ],
)
def test_a_choice_is_escaped(text, grammar):
    assert choice_grammar([text]) == grammar


@pytest.mark.parametrize(
    "constraint",
    [
        {},
        {"choice": []},
        {"choice": "go"},
        {"choice": [""]},
        {"choice": ["\0"]},
        {"choice": ["\ud800"]},
        {"regex": 3},
        {"grammar": ""},
        {"json_schema": "{}"},
        {"chioce": ["a"]},
        {"regex": "a", "grammar": "b"},
    ],
)
def test_a_constraint_that_is_none_says_what_is_expected(constraint):
    with pytest.raises(ValueError, match=r"expected|no model can write"):
        grammar_of(constraint)


def test_a_slash_does_not_end_a_regular_expression():
    assert grammar_of({"regex": r"a/b\/c\\/"}) == "%llguidance {}\nstart: " + r"/a\/b\/c\\\//"


def test_references_follow_the_schema_of_a_tool():
    (schema,) = tools_schema([ADD])["anyOf"]
    assert schema["properties"]["arguments"]["properties"]["n"] == {"$ref": "#/anyOf/0/properties/arguments/$defs/n"}


def test_a_chat_without_tool_messages_says_the_same_in_turns():
    calls = tuple(FunctionCall(f"c{i}", "add", f'{{"n": {i}}}') for i in range(2))
    chat = [
        Message("user", "goal"),
        Message("assistant", "I add.", tool_calls=calls),
        Message("tool", "one", tool_call_id="c0"),
        Message("tool", "two", tool_call_id="c1"),
    ]
    system, user, assistant, answer = as_text(chat, [ADD])
    assert "add: Adds n." in system.content
    assert user == chat[0]
    assert assistant.content.splitlines() == ["I add.", *(written("add", c.arguments) for c in calls)]
    assert answer == Message("user", "one\ntwo")
    assert list(as_text(chat[:1], ())) == chat[:1]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"sampling": {"temprature": 1}}, "did you mean 'temperature'"),
        ({"sampling": {"seed": 1}}, "it takes temperature"),
        ({"n_ctx": 1}, "n_ctx"),
        ({"threads": 1}, "did you mean 'n_threads'"),
    ],
)
def test_a_slip_in_the_config_is_named(config, said):
    with pytest.raises(ConfigError, match=said):
        convert({"model": "m", **config}, LocalConfig, "backend.small")
