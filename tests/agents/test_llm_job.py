"""A whole job with a model behind a real socket: the record reads back as what was sent, faults and cassettes included."""

import gymnasium
import pytest

from jobs import digests_of, episodes_of, play
from trajgen.messages import episode_messages
from trajgen.testing.fakes import COUNTER_ID
from trajgen.testing.server import calling, cut, garbage, serve, status

ANSWERS = [
    calling("add", '{"n": 3}', "I add."),
    calling("add", '{"n": NaN}'),
    "just text",
    calling(None, "{}"),
    calling("jump", '{"n": 1}'),
    calling("add", '{"n": 2}'),
    calling("submit", ""),
]


def model(request):
    return ANSWERS[sum(m["role"] == "assistant" for m in request["messages"]) % len(ANSWERS)]


@pytest.fixture(autouse=True)
def counter_registered():
    if COUNTER_ID not in gymnasium.registry:
        gymnasium.register(COUNTER_ID, entry_point="trajgen.testing.fakes:CounterEnv")


def job(backend):
    entry = {"env": COUNTER_ID, "options": {"target": 5}, "seeds": "0:4", "agent": {"name": "llm", "backend": "b"}}
    return {"name": "llm", "workers": 0, "concurrency": 4, "backend": {"b": backend}, "entry": [entry]}


def openai(server):
    return {"kind": "openai", "base_url": server.base_url, "model": "m"}


FAULTS = [
    status(503, retry_after_s=0),
    status(429, retry_after_s=0),
    cut(),
    garbage(b"<html>"),
    garbage(b'{"error": "x"}'),
]


def test_stored_episodes_read_back_as_the_messages_that_were_sent(tmp_path):
    with serve(model) as server:
        report = play(tmp_path / "run", job(openai(server)))
    assert (report.committed, report.failed) == (4, 0)
    for episode in episodes_of(tmp_path / "run"):
        assert episode.outcome.success
        sent = []
        for call in episode.model_calls:
            sent = [*sent[: call.n_kept], *call.messages_new]
        assert episode_messages(episode)[:-2] == sent
        assert len(episode.turns) == len(ANSWERS)


@pytest.mark.parametrize("fault", FAULTS)
def test_the_providers_faults_leave_no_trace_in_the_data(tmp_path, fault):
    with serve(model) as server:
        play(tmp_path / "calm", job(openai(server)))
    with serve(model, faults=lambda n: fault if n % 9 == 0 else None) as server:
        report = play(tmp_path / "stormy", job(openai(server)))
        assert server.n_requests > 4 * len(ANSWERS)
    assert report.failed == 0
    assert digests_of(tmp_path / "stormy") == digests_of(tmp_path / "calm")


def test_a_malformed_message_is_feedback_and_the_episode_goes_on(tmp_path):
    bad_message = garbage(b'{"choices": [{"message": {"tool_calls": {}}}]}')
    with serve(model, faults=[bad_message] * 4) as server:
        play(tmp_path / "run", job(openai(server)))
    episodes = episodes_of(tmp_path / "run")
    assert all(e.failure is None and e.outcome.stop_reason == "terminated" for e in episodes)
    bad = [(e, c.turn) for e in episodes for c in e.model_calls if c.error_kind == "bad_message"]
    assert len(bad) == 4
    for episode, turn in bad:
        (step,) = [s for s in episode.steps if s.turn == turn]
        assert any("bad_message" in f.text and f.shown for f in step.feedback)


def test_a_cassette_plays_the_same_episodes_without_the_model(tmp_path):
    with serve(model) as server:
        inner = openai(server)
        tape = {"kind": "cassette", "path": str(tmp_path / "tape.jsonl"), "backend": inner}
        play(tmp_path / "recorded", job(tape | {"mode": "auto"}))
        assert server.n_requests == 4 * len(ANSWERS)
    report = play(tmp_path / "replayed", job(tape | {"mode": "replay"}))
    assert report.committed == 4
    assert digests_of(tmp_path / "replayed") == digests_of(tmp_path / "recorded")
