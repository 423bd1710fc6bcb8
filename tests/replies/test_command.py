"""Plain commands: by position, as a Python call, or for a text game the line itself."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trajgen.chat import Reply
from trajgen.replies.command import _words, turn_of
from trajgen.spaces import tool

TOOLS = (
    tool("put", "", thing={"type": "string"}, n={"type": "integer"}),
    tool("say", "", text={"type": "string"}),
    tool("look", ""),
)
GAME = (tool("command", "", text={"type": "string"}),)


def turn(text, finish="stop", tools=TOOLS):
    return turn_of(Reply(text, finish_reason=finish), tools)


def only(text, tools=TOOLS):
    (call,) = turn(text, tools=tools).calls
    return call


@pytest.mark.parametrize(
    ("line", "name", "arguments"),
    [
        ("look", "look", {}),
        ("> look", "look", {}),
        (">look", "look", {}),
        ("\n\n  look\n", "look", {}),
        ("put cup 3", "put", {"thing": "cup", "n": 3}),
        ("put 'red cup' 3", "put", {"thing": "red cup", "n": 3}),
        ('put "red \\"cup\\"" 3', "put", {"thing": 'red "cup"', "n": 3}),
        ("put 12 three", "put", {"thing": "12", "n": "three"}),
        ("put cup", "put", {"thing": "cup"}),
        ("say hello there", "say", {"text": "hello there"}),
        ("say I'm here", "say", {"text": "I'm here"}),
        ("say 'hello there'", "say", {"text": "hello there"}),
        ('put(thing="cup", n=3)', "put", {"thing": "cup", "n": 3}),
        ('put("cup",\n  3)', "put", {"thing": "cup", "n": 3}),
        ("look()", "look", {}),
        ("fly north", "fly", {}),
        ("fly(1)", "fly", {}),
    ],
)
def test_each_form_of_a_command_is_read(line, name, arguments):
    call = only(line)
    assert (call.tool, dict(call.arguments), call.problem) == (name, arguments, None)


def test_the_first_line_is_the_command_and_the_rest_is_text():
    found = turn("look\nI want to see the room.")
    assert found.calls[0].tool == "look"
    assert found.text == "I want to see the room."


@pytest.mark.parametrize("line", ["take lamp", "go north (quickly)", "say I'm \"here", "look", "wait(3)"])
def test_a_text_game_takes_the_whole_line(line):
    assert only(f"> {line}\n\nYou see", GAME).arguments == {"text": line}
    assert only(line, GAME).tool == "command"


def test_a_text_game_may_be_called_by_name():
    assert only('command(text="take lamp")', GAME).arguments == {"text": "take lamp"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("put 'cup 3", "a quote in"),
        ("put cup 3 4", "'4' is one value too many"),
        ("look around", "'around' is one value too many"),
        ("put(thing='cup'", "truncated"),
        ("put(thing=cup)", "not JSON"),
        ("put(1, 2, 3)", "one value too many"),
        ("look!", "did you mean 'look'"),
        ("say \ud800", "surrogate"),
    ],
)
def test_a_malformed_command_is_not_executed_and_says_why(line, said):
    assert said in only(line).problem


@pytest.mark.parametrize("text", ["", "  ", "\n", ">", "> \n"])
def test_a_blank_reply_calls_nothing(text):
    assert turn(text).calls == ()


def test_a_truncated_reply_executes_nothing():
    assert "truncated" in turn("look", "length").calls[0].problem


@given(st.text("ab \"'\\\t", max_size=12))
def test_words_are_those_of_a_shell(text):
    try:
        expected = shlex.split(text)
    except ValueError:
        expected = None
    assert _words(text, 100) == expected
