"""ReAct text: one action a turn, and nothing that the model made up after it."""

import pytest

from trajgen.chat import Reply
from trajgen.replies.react import turn_of
from trajgen.spaces import tool

TOOLS = (
    tool("Search", "", entity={"type": "string"}),
    tool("wait", "", n={"type": "integer"}),
    tool("put", "", thing={"type": "string"}, place={"type": "string"}),
    tool("look", ""),
)


def turn(text, finish="stop", tools=TOOLS):
    return turn_of(Reply(text, finish_reason=finish), tools)


def only(text):
    (call,) = turn(text).calls
    return call


# the first turn of figure 1 (1d) of the paper
PAPER = "Thought 1: I need to search Apple Remote and find the program.\nAction 1: Search[Apple Remote]"


def test_the_papers_own_example_is_read():
    found = turn(PAPER)
    assert found.text == "I need to search Apple Remote and find the program."
    assert found.calls[0].tool == "Search"
    assert found.calls[0].arguments == {"entity": "Apple Remote"}
    assert found.calls[0].raw == "Apple Remote"


def test_a_made_up_observation_and_all_after_it_is_cut_off():
    found = turn(f"{PAPER}\nObservation 1: The Apple Remote is ...\nThought 2: Next.\nAction 2: look[]")
    assert len(found.calls) == 1
    assert "Observation" not in found.text
    assert "Next" not in found.text
    assert turn("Observation: x\nAction: look[]").calls == ()


def test_only_the_first_action_is_read():
    assert [c.tool for c in turn("Action: look[]\nAction: wait[3]").calls] == ["look"]


@pytest.mark.parametrize(
    ("action", "tool_name", "arguments"),
    [
        ("Search[the [old] one]", "Search", {"entity": "the [old] one"}),
        ("look[]", "look", {}),
        ("look", "look", {}),
        ("wait[3]", "wait", {"n": 3}),
        ("wait[three]", "wait", {"n": "three"}),
        ("put[cup, shelf]", "put", {"thing": "cup", "place": "shelf"}),
        ("put(thing='cup', place=\"shelf\")", "put", {"thing": "cup", "place": "shelf"}),
        ("put('cup', 'shelf')", "put", {"thing": "cup", "place": "shelf"}),
        ('put[{"thing": "cup", "place": "shelf"}]', "put", {"thing": "cup", "place": "shelf"}),
        ('{"name": "wait", "arguments": {"n": 3}}', "wait", {"n": 3}),
        ('put\nAction Input: {"thing": "cup", "place": "shelf"}', "put", {"thing": "cup", "place": "shelf"}),
        ('put\nAction Input: {"thing": "cup"}\nThat is it.', "put", {"thing": "cup"}),
        ('put\nAction Input: ```json\n{"thing": "cup"}\n```', "put", {"thing": "cup"}),
        ('Search\nAction Input: "Apple Remote"', "Search", {"entity": "Apple Remote"}),
        ("Search\nAction Input: Apple Remote", "Search", {"entity": "Apple Remote"}),
        ("`wait`\nAction Input: 3", "wait", {"n": 3}),
        ("look\nAction Input:", "look", {}),
        ("nothing[x]", "nothing", {}),
    ],
)
def test_each_form_of_an_action_is_read(action, tool_name, arguments):
    call = only(f"Thought: hm\nAction: {action}")
    assert (call.tool, dict(call.arguments), call.problem) == (tool_name, arguments, None)


def test_labels_may_be_bold():
    assert only("**Thought:** hm\n**Action:** look\n**Action Input:** {}").tool == "look"


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ("Search[Apple", "truncated"),
        ("put(thing='cup'", "truncated"),
        ('put\nAction Input: {"thing": "cup"', "truncated"),
        ('put\nAction Input: {"thing": "cup"} and', "not JSON"),
        ("put\nAction Input: cup", "not JSON"),
        ("put[a, b, c]", "not JSON"),
        ("put(thing=cup)", "not JSON"),
        ('put\nAction Input: {"thing": NaN}', "NaN"),
        ('put\nAction Input: ["cup"]', "must be a JSON object"),
        ("look[around]", "takes no arguments"),
        ("pick up the cup", "is not the name of a tool"),
        ("", "names no tool"),
        ("Search[\ud800]", "surrogate"),
    ],
)
def test_a_malformed_action_is_not_executed_and_says_why(action, said):
    assert said in only(f"Thought: hm\nAction: {action}").problem


@pytest.mark.parametrize("end", ["Finish[42]", "Finish\nAction Input: 42", "finish(42)", "Finish[]"])
def test_finish_ends_the_episode_and_keeps_the_answer(end):
    found = turn(f"Thought: I know.\nAction: {end}")
    assert found.stop
    assert found.calls == ()
    assert found.text.startswith("I know.")
    assert "42" in found.text or end == "Finish[]"


def test_finish_is_a_call_where_there_is_such_a_tool():
    found = turn("Action: finish[42]", tools=[tool("finish", "", answer={"type": "string"})])
    assert not found.stop
    assert found.calls[0].arguments == {"answer": "42"}


def test_a_truncated_reply_neither_acts_nor_ends():
    assert "truncated" in turn(PAPER, "length").calls[0].problem
    found = turn("Action: Finish[42]", "length")
    assert not found.stop
    assert "truncated" in found.problem


def test_a_reply_without_an_action_is_text():
    found = turn("Thought: I wonder.")
    assert (found.text, found.calls, found.problem) == ("I wonder.", (), None)
