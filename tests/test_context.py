"""A conversation that grew too long loses its oldest turns whole, says so, and stays one that servers take."""

import gymnasium
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import counts, episodes_of, play
from trajgen.backends.scripted import check_turn
from trajgen.chat import FunctionCall, Message
from trajgen.context import fitted
from trajgen.testing.fakes import COUNTER_ID
from trajgen.testing.server import serve

OPENING = [Message("system", "s" * 10), Message("user", "u" * 10)]


def turn(number, n_calls, size):
    calls = tuple(FunctionCall(f"call_{number}_{i}", "go", "{}") for i in range(n_calls))
    answers = [Message("tool", "t" * size, tool_call_id=call.id, name="go") for call in calls]
    return [Message("assistant", "a" * size, tool_calls=calls), *(answers or [Message("user", "c" * size)])]


TURNS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 50)), max_size=12)


def chars(messages):
    return sum(len(m.content) + sum(len(c.name) + len(c.arguments) for c in m.tool_calls) for m in messages)


@given(TURNS, st.integers(1, 1_500))
def test_what_is_sent_is_a_chat_with_the_goal_and_the_newest_turns(turns, max_chars):
    groups = [turn(i, *shape) for i, shape in enumerate(turns)]
    whole = [*OPENING, *(message for group in groups for message in group)]
    sent = fitted(whole, max_chars)
    check_turn(sent)
    assert sent[0] == OPENING[0]
    assert sent[1].content.startswith(OPENING[1].content)
    n_kept = sum(m.role == "assistant" for m in sent)
    assert sent[2:] == [message for group in groups[len(groups) - n_kept :] for message in group]
    if chars(whole) <= max_chars:
        assert sent == whole
    elif n_kept > 1:
        assert chars(OPENING) + chars(sent[2:]) <= max_chars
    if n_kept < len(groups):
        n_dropped = len(groups) - n_kept
        assert n_kept >= 1
        assert f"{n_dropped} turn" in sent[1].content
        # one turn more would not have fitted
        more = groups[n_dropped - 1]
        assert chars(OPENING) + chars(sent[2:]) + chars(more) > max_chars


def test_without_a_limit_all_is_sent():
    whole = [*OPENING, *turn(0, 1, 10_000), *turn(1, 1, 10_000)]
    assert fitted(whole, None) == whole


@pytest.mark.parametrize("agent", ["llm", "react", "plan_execute"])
def test_an_agent_keeps_to_its_budget_and_the_record_shows_what_was_sent(tmp_path, agent):
    if COUNTER_ID not in gymnasium.registry:
        gymnasium.register(COUNTER_ID, entry_point="trajgen.testing.fakes:CounterEnv")
    job = {
        "workers": 0,
        "env": COUNTER_ID,
        "seeds": "0:2",
        "agent": {"name": agent, "backend": "model", "context_chars": 2_000},
    }
    with serve(counts) as server:
        job["backend"] = {"model": {"kind": "openai", "base_url": server.base_url, "model": "m"}}
        play(tmp_path / "run", job)
        sizes = [sum(len(m["content"] or "") for m in request["messages"]) for request in server.requests]
    episodes = episodes_of(tmp_path / "run")
    assert all(e.outcome.success for e in episodes)
    assert max(sizes) < 2_500  # the note and the plan come on top
    told = [message.content for e in episodes for call in e.model_calls for message in call.messages_new]
    assert any("left out here" in text for text in told)
