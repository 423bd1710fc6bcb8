"""The agent that only weighs: it does what the model finds likeliest, never writes a malformed call, and keeps all it
weighed."""

import asyncio
import math
import re
from collections import Counter
from typing import ClassVar

import gymnasium
import numpy as np
import pytest

from jobs import episodes_of, play
from trajgen import config
from trajgen.backends.scripted import ScriptedBackend
from trajgen.driver import preflight
from trajgen.errors import ConfigError
from trajgen.messages import episode_messages
from trajgen.protocols import Aids, Opening
from trajgen.testing.contract import AgentContract
from trajgen.testing.drive import Drive
from trajgen.testing.fakes import COUNTER_ID
from trajgen.types import Observation, TaskBrief, ToolCall, as_written
from trajgen_agents.llm.chooser import ChooserAgent, ChooserConfig


@pytest.fixture(autouse=True)
def counter_registered():
    if COUNTER_ID not in gymnasium.registry:
        gymnasium.register(COUNTER_ID, entry_point="trajgen.testing.fakes:CounterEnv")


def sensible(messages, text):
    """Like what brings the counter nearer to its target: a model that can count."""
    target = int(re.search(r"Bring it to (\d+)", messages[1].content)[1])
    shown = int(re.findall(r"The counter shows (\d+)\.", " ".join(m.content for m in messages))[-1])
    change = re.fullmatch(r"(add|subtract)\(n=(\d+)\)", text)
    after = shown if change is None else shown + (1 if change[1] == "add" else -1) * int(change[2])
    return -(abs(target - after) + (0.5 if change else 0.0)) * len(text)


class TestChooser(AgentContract):
    agent = "chooser"
    options: ClassVar = {"target": 5}

    def backends(self):
        return {"backend": ScriptedBackend([], likes=sensible)}


def test_it_solves_what_the_model_can_weigh_and_keeps_all_options_the_best_first():
    drive = Drive(COUNTER_ID, ChooserAgent, backends={"backend": ScriptedBackend([], likes=sensible)}, max_steps=20)
    played = asyncio.run(drive.play())
    assert played.success
    for turn in played.turns:
        scores = [option.score for option in turn.options]
        assert scores == sorted(scores, reverse=True)
        done, best = turn.calls[0], turn.options[0]
        assert (best.tool, best.arguments) == (done.tool, as_written(done.arguments))


def chosen(logits, rng, **settings):
    class Model:
        async def score(self, messages, candidates):
            assert list(candidates) == [f"use(n={i})" for i in range(len(logits))]
            return logits

    agent = ChooserAgent(ChooserConfig(**settings), {"backend": Model()}, Aids())
    legal = [ToolCall("use", {"n": n}) for n in range(len(logits))]
    agent.reset(Opening(TaskBrief("e", "g", 9, 9), (), Observation("g"), (), legal, rng))
    return asyncio.run(agent.act()).calls[0].arguments["n"]


def test_long_calls_are_not_put_back_by_their_length_unless_asked():
    legal = [ToolCall("go", {}), ToolCall("walk_slowly_to", {"where": "the far end"})]

    class Model:
        async def score(self, messages, candidates):
            return [-2.0 * len(candidates[0]), -1.0 * len(candidates[1])]

    def first(per):
        agent = ChooserAgent(ChooserConfig(per=per), {"backend": Model()}, Aids())
        agent.reset(Opening(TaskBrief("e", "g", 9, 9), (), Observation("g"), (), legal, None))
        return asyncio.run(agent.act()).calls[0].tool

    assert first("character") == "walk_slowly_to"
    assert first("text") == "go"


def test_a_temperature_draws_by_likelihood_and_the_same_episode_draws_the_same():
    logits = [math.log(0.7), math.log(0.3), -math.inf]
    draws = Counter(chosen(logits, np.random.default_rng(seed), temperature=1.0, per="text") for seed in range(400))
    assert draws[2] == 0
    assert 220 < draws[0] < 340  # 280 +- 6 standard deviations of 9.2
    again = [chosen(logits, np.random.default_rng(7), temperature=1.0, per="text") for _ in range(3)]
    assert len(set(again)) == 1
    assert chosen([-math.inf] * 3, np.random.default_rng(0), temperature=1.0) in range(3)
    assert chosen([-math.inf] * 3, None) == 0


def test_a_stored_episode_reads_as_the_chat_the_model_weighed(tmp_path):
    job = {
        "workers": 0,
        "env": COUNTER_ID,
        "seeds": "0:2",
        "options": {"target": 5},
        "agent": {"name": "chooser", "backend": "model"},
        "backend": {"model": {"kind": "scripted", "replies": ["add(n=5)", "submit()"], "at_end": "repeat"}},
    }
    play(tmp_path / "run", job)
    episodes = episodes_of(tmp_path / "run")
    assert len(episodes) == 2
    for episode in episodes:
        assert episode.failure is None
        assert all(call.purpose == "score" for call in episode.model_calls)
        seen = []
        for call in episode.model_calls:
            seen = [*seen[: call.n_kept], *call.messages_new]
        assert seen == episode_messages(episode)[: len(seen)]


def test_an_environment_or_a_model_that_lacks_what_it_needs_is_refused_before_the_job_starts():
    class Model:
        async def generate(self, messages, tools, **how):
            raise AssertionError("never asked")

    agent = ChooserAgent(ChooserConfig(), {"backend": Model()}, Aids())
    with pytest.raises(ConfigError, match="has none there"):
        agent.reset(Opening(TaskBrief("Some-v0", "g", 9, 9), (), Observation("g"), (), None, None))
    job = config.parse(
        {
            "workers": 0,
            "env": COUNTER_ID,
            "seeds": "0:1",
            "agent": {"name": "chooser", "backend": "m"},
            "backend": {"m": {"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m"}},
        }
    )
    with pytest.raises(ConfigError, match="score"):
        preflight(job)
