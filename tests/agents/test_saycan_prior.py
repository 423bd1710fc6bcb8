"""What the script behind `saycan-prior` reads out of words, and what it wants next."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trajgen import registry
from trajgen.spaces import tool
from trajgen.types import Feedback, ToolCall
from trajgen_agents.saycan.agent import PriorConfig
from trajgen_agents.saycan.prior import Prior, Vocabulary, read, sentence, worked

TABLE = ["red block", "blue block", "red bowl", "blue bowl"]
PLACES = ["top left corner", "top right corner", "left side"]
TABLETOP = (
    tool("pick", "Pick.", object={"type": "string", "enum": TABLE}),
    tool(
        "place",
        "Put down.",
        target={"type": "string", "enum": [*TABLE, *PLACES]},
        relation={"type": "string", "enum": ["on", "in", "at", "left_of"]},
    ),
    tool(
        "push",
        "Push.",
        object={"type": "string", "enum": TABLE},
        direction={"type": "string", "enum": ["left", "back"]},
        distance_m={"type": "number"},
    ),
    tool("look", "Look."),
    tool("ask", "Ask.", question={"type": "string"}),
    tool("done", "Done."),
)
VOCABULARY = Vocabulary([*TABLE, *PLACES, "on", "in", "at", "left_of", "left", "back"])


def every_skill():
    for t in TABLETOP:
        properties = t.parameters["properties"]
        values = [p.get("enum") or ([0.1] if p["type"] == "number" else ["What next?"]) for p in properties.values()]
        for chosen in itertools.product(*values):
            yield ToolCall(t.name, dict(zip(properties, chosen, strict=True)))


ALL = list(every_skill())


def plans(goal, n, feedback=lambda call: ()):
    """Return the words of what the prior wants most, again and again; every skill works."""
    prior, said = Prior(goal, TABLETOP, ALL), []
    for _ in range(n):
        call = max(ALL, key=prior.fit)
        said.append(sentence(call, TABLETOP))
        prior.saw(call, feedback(call))
    return said


@pytest.mark.parametrize(
    ("instruction", "wants"),
    [
        ("Put the red block in the blue bowl.", [("red block", "in", "blue bowl")]),
        (
            "Put the red block in the red bowl and the blue block left of the blue bowl.",
            [("red block", "in", "red bowl"), ("blue block", "left of", "blue bowl")],
        ),
        (
            "Put the red block and the blue block at the left side.",
            [("red block", "at", "left side"), ("blue block", "at", "left side")],
        ),
        (
            "Put the blocks in the bowls of the same color.",
            [("red block", "in", "red bowl"), ("blue block", "in", "blue bowl")],
        ),
        (
            "Put the blocks in bowls of another color than their own.",
            [("red block", "in", "blue bowl"), ("blue block", "in", "red bowl")],
        ),
        (
            "Put the blocks in different corners.",
            [("red block", "in", "top left corner"), ("blue block", "in", "top right corner")],
        ),
        ("Stack all the blocks.", [("blue block", "on", "red block")]),
        (
            "Stack all the blocks at the top left corner.",
            [("red block", "at", "top left corner"), ("blue block", "on", "red block")],
        ),
        ("Stack, from the bottom to the top, the blue block and the red block.", [("red block", "on", "blue block")]),
        ("Pick up the red block.", [("red block",)]),
        ("Do something nice.", []),
    ],
)
def test_an_instruction_is_read_as_wants_in_the_order_of_mention(instruction, wants):
    assert read(instruction, VOCABULARY) == wants


def test_it_picks_before_it_places_goes_on_to_the_next_and_says_done():
    assert plans(
        "Put the red block in the blue bowl and the blue block in the red bowl.\nOn the table: red bowl.", 5
    ) == [
        "pick red block",
        "place blue bowl in",
        "pick blue block",
        "place red bowl in",
        "done",
    ]


def test_what_is_to_be_pushed_is_pushed():
    assert plans("Push the red block left.", 2) == ["push red block left 0.1", "done"]


def told(*lines):
    return tuple(Feedback(channel, text, shown=True) for channel, text in lines)


def test_a_failure_that_is_told_sends_it_back_to_the_beginning_of_its_want_and_one_that_is_not_does_not():
    failed = told(("success", "The last skill failed."))
    goal = "Put the red block in the red bowl."
    assert plans(goal, 3, lambda c: failed if c.tool == "place" else ())[2] == "pick red block"
    assert plans(goal, 3)[2] == "done"


def test_a_fact_of_the_scene_meets_a_want_and_opens_it_again_when_it_is_gone():
    prior = Prior("Put the red block in the red bowl.", TABLETOP, ALL)
    prior.heard(told(("scene", "The red block is not in the red bowl.")))
    assert max(ALL, key=prior.fit).tool == "pick"
    prior.heard(told(("scene", "1 of 1 parts hold."), ("scene", "The red block is in the red bowl.")))
    assert max(ALL, key=prior.fit).tool == "done"
    prior.heard(told(("scene", "0 of 1 parts hold.")))
    assert max(ALL, key=prior.fit).tool == "pick"


def test_where_what_is_wanted_is_impossible_a_look_is_wanted_more_than_what_nobody_asked_for():
    prior = Prior("Put the red block in the red bowl.", TABLETOP, ALL)
    asked_for = {"red block", "red bowl"}
    others = [c for c in ALL if not asked_for & set(c.arguments.values())]
    assert max(others, key=prior.fit).tool == "look"


def test_only_failures_that_are_told_count():
    assert worked(())
    assert worked(told(("success", "The last skill worked."), ("object", "No block.")))
    assert not worked(told(("success", "False")))
    assert not worked(told(("success", "The last skill worked."), ("error", "It slipped.")))


GOALS = st.lists(st.sampled_from([*TABLE, *PLACES, "blocks", "bowls", "corners", "in", "on", "and", ",", "stack", "x"]))


@settings(max_examples=60)
@given(st.one_of(GOALS.map(" ".join), st.text(max_size=60)), st.lists(st.tuples(st.sampled_from(ALL), st.booleans())))
def test_whatever_the_words_and_the_history_a_fit_is_a_number_from_0_to_1(goal, history):
    prior = Prior(goal, TABLETOP, ALL)
    for call, works in history:
        prior.saw(call, () if works else told(("error", "no")))
        assert all(0.0 <= prior.fit(c) <= 1.06 for c in ALL[::7])


def test_both_are_registered_and_say_what_they_need():
    assert registry.agent("saycan").needs == {"affordance", "legal", "score"}
    assert registry.agent("saycan-prior").needs == {"affordance", "legal"}
    assert registry.agent("saycan-prior").config is PriorConfig
