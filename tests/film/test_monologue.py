"""Cards: a card for every step whatever a row holds, in the order of an inner monologue, and nothing that turns text."""

from __future__ import annotations

import unicodedata

from hypothesis import HealthCheck, given, settings
from msgspec.structs import replace

from tests.store.strategies import episodes
from trajgen.film import monologue
from trajgen.types import Failure, Option, TurnRecord, UnexecutedCall


def told(card):
    return [(p.label, p.text) for p in card.paragraphs]


def test_a_step_tells_thought_call_observation_and_every_channel_in_this_order(filmed):
    _, first, *_ = monologue.cards(filmed)
    assert told(first) == [
        ("thinks", "I look for the dot. It is on the left, so I go right."),
        ("calls", "move(by=3)"),
        ("sees", "The dot is on square 5."),
        ("success", "The last call worked."),
        ("scene", "2 squares to go."),
        ("progress", "(not shown) reward so far: 1"),
    ]
    assert [p.label for p in first.paragraphs if p.late] == ["sees", "success", "scene", "progress"]
    assert [p.label for p in first.paragraphs if p.dim] == ["progress"]


def test_there_is_a_card_for_the_reset_each_step_and_the_end(filmed):
    found = monologue.cards(filmed)
    assert [card.step for card in found] == [-1, 0, 1, 2, 3, 4, 5, 6]
    assert told(found[-1]) == [("outcome", "solved after 6 steps, return 3; the environment ended it")]


def test_the_goal_is_not_told_twice(filmed):
    reset, *_ = monologue.cards(filmed)
    assert "sees" not in dict(told(reset))
    assert monologue.titles(filmed).goal == filmed.task.goal


def test_a_turn_without_a_step_is_told_with_the_step_that_follows_it(filmed):
    turns = tuple(replace(t, turn=t.turn + 1) for t in filmed.turns)
    steps = tuple(replace(s, turn=s.turn + 1) for s in filmed.steps)
    skipped = UnexecutedCall("c", "move", '{"by":9}', None, "the episode was over")
    musing = TurnRecord(0, "agent", "agent", text="Let me think first.", unexecuted=(skipped,))
    _, first, *_ = monologue.cards(replace(filmed, turns=(musing, *turns), steps=steps))
    assert [label for label, _ in told(first)][:3] == ["thinks", "thinks", "calls"]
    assert told(first)[0] == ("thinks", "Let me think first.")
    assert ("skips", "move(by=9): the episode was over") in told(first)


def test_last_words_after_the_last_step_are_told_at_the_end(filmed):
    last = TurnRecord(99, "agent", "agent", text="I am done.")
    *_, end = monologue.cards(replace(filmed, turns=(*filmed.turns, last), reflection="Ask sooner."))
    assert [label for label, _ in told(end)] == ["thinks", "outcome", "learns"]


def test_the_best_options_are_told_with_their_weights(filmed):
    options = tuple(Option("move", f'{{"by":{by}}}', say=0.5, can=by / 3, score=by / 6) for by in range(4))
    turn = replace(filmed.turns[0], options=options)
    _, first, *_ = monologue.cards(replace(filmed, turns=(turn, *filmed.turns[1:])))
    weighed = dict(told(first))["weighs"].splitlines()
    assert weighed[0] == "move(by=3): say 0.5, can 1, score 0.5"
    assert weighed[-1] == "and 1 more"


def test_a_failed_episode_says_of_what(filmed):
    failed = replace(filmed, failure=Failure("env", "OSError", "the arm is gone"))
    assert monologue.ending(failed).text == "failed"
    assert ("cause", "env: OSError: the arm is gone") in told(monologue.cards(failed)[-1])


def test_what_was_not_shown_takes_no_time_to_read(filmed):
    _, first, *_ = monologue.cards(filmed)
    hidden = first._replace(paragraphs=tuple(p for p in first.paragraphs if not p.dim))
    assert monologue.late_s(first) == monologue.late_s(hidden) > 0


def test_what_was_told_just_before_takes_no_time_to_read_again(filmed):
    _, _, second, third, *_ = monologue.cards(filmed)  # two refusals in a row
    assert [p.label for p in third.paragraphs if p.again] == ["calls", "sees", "success", "scene", "progress", "error"]
    assert monologue.late_s(third) < monologue.late_s(second)


@settings(max_examples=60, deadline=None, suppress_health_check=[*HealthCheck])
@given(episodes())
def test_any_row_has_its_cards_and_no_character_that_is_dangerous(episode):
    found = monologue.cards(episode)
    assert len(found) == len(episode.steps) + 2
    texts = [p.text for card in found for p in card.paragraphs] + list(monologue.titles(episode)[:2])
    unsafe = {unicodedata.category(c) for text in texts for c in text if c != "\n"} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert not unsafe
    assert all(0 < monologue.early_s(card) <= 4 and 0 < monologue.late_s(card) <= 4 for card in found)
