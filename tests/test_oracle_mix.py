"""Turns of the expert's mixed into an agent's episode: labelled, told to the agent as if it had made them, the same in
every run, and part of what an episode is."""

import gymnasium
import pytest

from jobs import counts, digests_of, episodes_of, play
from trajgen import config
from trajgen.cli import OK, main
from trajgen.driver import preflight
from trajgen.errors import ConfigError
from trajgen.messages import episode_messages
from trajgen.testing.fakes import COUNTER_ID
from trajgen.testing.server import serve


@pytest.fixture(autouse=True)
def counter_registered():
    if COUNTER_ID not in gymnasium.registry:
        gymnasium.register(COUNTER_ID, entry_point="trajgen.testing.fakes:CounterEnv")


def job(mix, agent="llm", url="http://127.0.0.1:9/v1", **keys):
    return {
        "workers": 0,
        "env": COUNTER_ID,
        "seeds": "0:3",
        "agent": {"name": agent, "backend": "model"},
        "backend": {"model": {"kind": "openai", "base_url": url, "model": "m"}},
        "oracle_mix": mix,
        **keys,
    }


def test_the_first_turns_are_the_experts_and_the_model_is_told_of_them_as_its_own(tmp_path):
    with serve(counts) as server:
        play(tmp_path / "run", job({"first": 2}, url=server.base_url))
    for episode in episodes_of(tmp_path / "run"):
        assert episode.outcome.success
        assert [turn.by for turn in episode.turns[:2]] == ["oracle", "oracle"]
        assert {turn.by for turn in episode.turns[2:]} == {"agent"}
        assert [call.turn for call in episode.model_calls] == list(range(2, len(episode.turns)))
        first = episode.model_calls[0].messages_new
        assert [m.role for m in first] == ["system", "user", "assistant", "tool", "assistant", "tool"]
        seen = []
        for call in episode.model_calls:
            seen = [*seen[: call.n_kept], *call.messages_new]
        assert seen == episode_messages(episode)[: len(seen)]


def test_a_share_is_drawn_from_the_episodes_id_and_replays(tmp_path):
    with serve(counts) as server:
        for name in ("one", "two"):
            play(tmp_path / name, job({"share": 0.5}, url=server.base_url, seeds="0:8"))
    by = [turn.by for episode in episodes_of(tmp_path / "one") for turn in episode.turns]
    assert 0.25 < by.count("oracle") / len(by) < 0.75
    assert len({tuple(turn.by for turn in e.turns[:6]) for e in episodes_of(tmp_path / "one")}) > 3
    assert digests_of(tmp_path / "one") == digests_of(tmp_path / "two")
    assert main(["verify", str(tmp_path / "one")]) == OK


@pytest.mark.parametrize("agent", ["react", "inner_monologue", "plan_execute", "reflexion"])
def test_every_agent_goes_on_from_what_the_expert_did(tmp_path, agent):
    def answer(request):
        return counts(request).replace("Action", "Robot action") if agent == "inner_monologue" else counts(request)

    with serve(answer) as server:
        play(tmp_path / "run", job({"first": 1, "share": 0.4}, agent, server.base_url))
    episodes = episodes_of(tmp_path / "run")
    assert all(e.failure is None and e.outcome.success for e in episodes), [e.failure for e in episodes]
    assert {turn.by for e in episodes for turn in e.turns} == {"agent", "oracle"}


def test_a_chooser_goes_on_too(tmp_path):
    data = job({"first": 2}, "chooser")
    data["backend"] = {"model": {"kind": "scripted", "replies": ["submit()"], "at_end": "repeat"}}
    play(tmp_path / "run", data)
    assert all(e.failure is None for e in episodes_of(tmp_path / "run"))


def test_the_mixture_is_part_of_the_id_and_no_mixture_leaves_it_alone():
    ids = {
        str(mix): config.parse(job(mix)).entries[0].key
        for mix in ({"first": 1}, {"first": 2}, {"share": 0.1}, {"first": 1, "share": 0.1})
    }
    without = job(None)
    del without["oracle_mix"]
    assert len({*ids.values(), config.parse(without).entries[0].key}) == 5


def test_what_cannot_be_mixed_is_refused_before_the_job_starts():
    with pytest.raises(ConfigError, match="CartPole-v1 has no oracle"):
        preflight(config.parse(job({"first": 1}, env="CartPole-v1")))
    for mix in ({}, {"first": 0}, {"share": 1.5}, {"firts": 1}, {"first": -1}):
        with pytest.raises(ConfigError, match="oracle_mix"):
            config.parse(job(mix))
