"""Reflexion: a trial that failed leaves a lesson, the next trial is told it, and a success needs no further trial."""

from typing import ClassVar

import gymnasium
import pytest

from jobs import episodes_of, play
from trajgen.backends.scripted import ScriptedBackend
from trajgen.messages import SYSTEM_PROMPT
from trajgen.testing.contract import AgentContract
from trajgen.testing.fakes import COUNTER_ID
from trajgen.testing.server import calling, serve
from trajgen_agents.llm.agent import LESSON
from trajgen_agents.llm.reflexion import ReflexionAgent


@pytest.fixture(autouse=True)
def counter_registered():
    if COUNTER_ID not in gymnasium.registry:
        gymnasium.register(COUNTER_ID, entry_point="trajgen.testing.fakes:CounterEnv")


class TestReflexion(AgentContract):
    agent = "reflexion"
    options: ClassVar = {"target": 5}

    def backends(self):
        return {"backend": ScriptedBackend(["I add. >> add(3)", "add(2); submit()"])}


def job(server, **keys):
    return {
        "workers": 0,
        "env": COUNTER_ID,
        "seeds": "0:1",
        "options": {"target": 5},
        "trials": 4,
        "agent": {"name": "reflexion", "backend": "model", **keys},
        "backend": {"model": {"kind": "openai", "base_url": server.base_url, "model": "m"}},
    }


def learner(n_needed):
    """Submit too early until the prompt holds so many lessons; say a numbered lesson when asked for one."""
    lessons = iter(range(100))

    def answer(request):
        system, last = request["messages"][0]["content"], request["messages"][-1]["content"]
        if "The attempt is over" in last:
            assert "tools" not in request
            assert "the environment ended it" in last
            return f"Lesson {next(lessons)}:\nadd five first."
        if system.count("- Lesson") < n_needed:
            return calling("submit", {})
        n_said = sum(m["role"] == "assistant" for m in request["messages"])
        return [calling("add", {"n": 3}), calling("add", {"n": 2}), calling("submit", {})][n_said]

    return answer


def test_lessons_of_failed_trials_reach_the_next_and_a_success_ends_the_trials(tmp_path):
    with serve(learner(2)) as server:
        play(tmp_path / "run", job(server))
    trials = sorted(episodes_of(tmp_path / "run"), key=lambda e: e.trial)
    assert [e.outcome.success for e in trials] == [False, False, True]  # the fourth is not needed
    first, second, third = trials
    assert first.reflection == "- Lesson 0: add five first."
    assert second.memory_in == first.reflection
    assert second.reflection == third.memory_in == "- Lesson 0: add five first.\n- Lesson 1: add five first."
    assert third.agents[0].system_prompt.endswith(LESSON + third.memory_in)
    assert [c.purpose for c in first.model_calls] == ["act", "reflect"]


def test_only_the_newest_lessons_are_kept(tmp_path):
    with serve(learner(99)) as server:
        play(tmp_path / "run", job(server, n_lessons=2))
    last = max(episodes_of(tmp_path / "run"), key=lambda e: e.trial)
    assert last.memory_in == "- Lesson 1: add five first.\n- Lesson 2: add five first."


def test_a_model_without_a_lesson_leaves_the_old_ones(tmp_path):
    def answer(request):
        return "" if "So?" in request["messages"][-1]["content"] else calling("submit", {})

    with serve(answer) as server:
        play(tmp_path / "run", job(server, reflection="So? $ending"))
    assert all(e.reflection is None for e in episodes_of(tmp_path / "run"))


def test_its_prompts_shape_the_ids():
    text, *others = ReflexionAgent.prompts
    assert "$ending" in text
    assert others == [SYSTEM_PROMPT, LESSON]
