"""The person beside the table tells the truth about it, whatever is asked."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabletops import BOWL_INSIDE_M, PaperTable, bowl_pose, drawn_tasks, littered, pose, table
from trajgen.types import ToolCall
from trajgen_envs.tabletop import goals, human, oracle
from trajgen_envs.tabletop.env import TabletopEnv
from trajgen_envs.tabletop.goals import AllOf, Related
from trajgen_envs.tabletop.world import PLACES

GOAL = AllOf((Related("red block", "in", "green bowl"), Related("blue block", "at", "top side")))
WHERE = {
    "red block": pose(0.4, 0.2),
    "blue block": pose(0.4, 0.2, 0.06),
    "pink block": pose(0.6, -0.2, BOWL_INSIDE_M),
    "green bowl": bowl_pose(0.6, -0.2),
}


@pytest.mark.parametrize(
    ("question", "text", "source"),
    [
        ("Where is the red block?", "The red block is at the bottom left corner.", "where(red block)"),
        ("WHERE is the BLUE  block", "The blue block is on the red block.", "where(blue block)"),
        ("where's the pink block?", "The pink block is in the green bowl.", "where(pink block)"),
        ("What is in the green bowl?", "The pink block is in the green bowl.", "upon(green bowl)"),
        ("Is anything on the blue block?", "Nothing is on the blue block.", "upon(blue block)"),
        ("Am I done?", "No: 0 of 2 things are as they should be.", "goal()"),
        ("Hello!", human._HELP, "help()"),
    ],
)
def test_it_answers_what_is_asked(question, text, source):
    line = human.answer(question, table(WHERE), GOAL)
    assert (line.text, line.source) == (text, source)


def test_what_next_begins_with_what_is_in_the_way():
    goal = AllOf((Related("red block", "in", "green bowl"),))
    line = human.answer("What next?", table(WHERE), goal)
    told = re.fullmatch(r"Put the blue block at the (.*)\.", line.text)
    assert told
    assert line.source == f"next(blue block, at, {told[1]})"


def test_while_the_cup_holds_something_that_comes_first():
    line = human.answer("what should I do now?", table(WHERE, held="blue block"), GOAL)
    assert (line.text, line.source) == ("Put down the blue block.", "held(blue block)")
    assert human.whereabouts(table(WHERE, held="blue block"), 1) == "The blue block is in the cup."


def test_what_has_fallen_is_said_to_have_fallen():
    now = table({**WHERE, "red block": pose(0.9, 0.0, -0.38)})
    assert human.answer("where is the red block?", now, GOAL).text == "The red block has fallen off the table."


@settings(deadline=None)
@given(littered(), st.data())
def test_whereabouts_are_true(now, data):
    index = data.draw(st.integers(0, len(now.things) - 1))
    told = re.fullmatch(
        r"The (?P<name>\w+ \w+) is (?P<how>on|in|at) the (?P<where>[\w ]+)\.", human.whereabouts(now, index)
    )
    assert told
    assert told["name"] == now.name(index)
    other = now.find(told["where"])
    if told["how"] == "at":
        assert now.at(index, told["where"])
    elif other >= 0:
        assert now.on(index, other) or now.inside(index, other)
    else:
        assert told["where"] == "table"
        assert not any(now.at(index, place) for place in PLACES)


@settings(deadline=None)
@given(littered(), st.data())
def test_what_is_upon_something_is_told_wholly(now, data):
    index = data.draw(st.integers(0, len(now.things) - 1))
    text = human.answer(f"what is on or in the {now.name(index)}?", now, GOAL).text
    lying = {now.name(i) for i in now.upon(index)}
    before = text.rpartition(" is ")[0].lower()
    assert {thing.name for thing in now.things if thing.name in before} == lying
    assert lying or before == "nothing"


@settings(deadline=None)
@given(drawn_tasks())
def test_whoever_does_what_it_says_next_gets_done(task):
    paper = PaperTable(task)
    for _ in range(oracle.MAX_CALLS):
        line = human.answer("what next?", paper.world, task.goal)
        told = re.fullmatch(r"Put the (\w+ \w+) (on|in|at|left of|right of|behind|in front of) the (.+)\.", line.text)
        if told is None:
            break
        assert human.answer("am I done?", paper.world, task.goal).text.startswith("No: ")
        paper.play(ToolCall("pick", {"object": told[1]}))
        paper.play(ToolCall("place", {"target": told[3], "relation": told[2]}))
    assert line.text == "Nothing: say that you are done."
    assert goals.holds(task.goal, paper.world)
    assert human.answer("am I done?", paper.world, task.goal).text == "Yes, all is as it should be."


@settings(deadline=None)
@given(littered(), st.text(max_size=60))
def test_any_question_gets_one_printable_line(now, question):
    line = human.answer(question, now, AllOf((Related(now.name(0), "at", "middle"),)))
    assert line.text.isprintable()
    assert re.fullmatch(r"\w+\(.*\)", line.source)


def test_the_answer_comes_on_the_human_channel_and_is_true_of_the_physics():
    env = TabletopEnv()
    env.reset(seed=3, options={"family": "one_bowl"})
    assert not env.describe("human")
    env.step(ToolCall("ask", {"question": "am I done?"}))
    assert env.describe("human")[0].text == "No: 0 of 2 things are as they should be."
    for call in env.oracle():
        if call.tool == "done":
            break
        env.step(call)
        assert not env.describe("human")
        env.step(ToolCall("ask", {"question": "am I done?"}))
        said = env.describe("human")[0].text
        assert said.startswith("Yes") == env.solved()
    assert said == "Yes, all is as it should be."


def test_it_sees_what_the_robot_does_not():
    env = TabletopEnv()
    env.reset(seed=4, options={"occlusion": True})
    now = env.table.world()
    hidden = [i for i in range(len(now.things)) if i not in env.table.visible()]
    assert hidden
    env.step(ToolCall("ask", {"question": f"where is the {now.name(hidden[0])}?"}))
    assert env.describe("human")[0].text == human.whereabouts(now, hidden[0])
