"""The planner finds strategies through entry points, and tells them what is shown and no more."""

import sys

import gymnasium
import numpy as np
import pytest

from trajgen import registry
from trajgen.errors import UnknownName
from trajgen.protocols import Aids, Opening
from trajgen.testing.contract import AgentContract
from trajgen.testing.drive import play
from trajgen.testing.fakes import COUNTER_ID, CounterEnv
from trajgen.types import Feedback, Observation, ObservationRecord, Step, TaskBrief
from trajgen_agents.planner.agent import PlannerAgent

STRATEGY = '''
"""Plays the counter by what it is told."""
import re
from trajgen.types import Call, Turn

class Counting:
    def start(self, goal, tools, feedback, rng):
        self.now, self.target = map(int, re.findall(r"\\d+", goal))
        self.heard = list(feedback)
        self.rng = rng

    def next(self):
        away = self.target - self.now
        if away == 0:
            return Turn(text="It is right.", calls=(Call("submit"),))
        n = min(3, away)
        self.now += n
        thought = ("I add", "I count up by")[int(self.rng.integers(2))]
        return Turn(text=f"{thought} {n}.", calls=(Call("add", {"n": n}),), plan=f"{away} to go")

    def saw(self, step):
        self.heard += step.feedback
'''


@pytest.fixture
def strategy(tmp_path, monkeypatch):
    """Install a real distribution with a strategy for the counter."""
    (tmp_path / "counting_strategy.py").write_text(STRATEGY)
    info = tmp_path / "counting_strategy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: counting-strategy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[trajgen.planners]\n{COUNTER_ID} = counting_strategy:Counting\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry.plug_ins.cache_clear()
    yield
    sys.modules.pop("counting_strategy", None)
    monkeypatch.undo()
    registry.plug_ins.cache_clear()


@pytest.mark.usefixtures("strategy")
class TestPlanner(AgentContract):
    agent = PlannerAgent


def started(env_id, feedback=()):
    agent = PlannerAgent(PlannerAgent.config(), {}, Aids())
    agent.reset(
        Opening(
            TaskBrief(env_id, "g", 9, 9),
            CounterEnv.tools,
            Observation("The counter shows 1. Bring it to 4, then submit."),
            feedback=feedback,
            legal=None,
            rng=np.random.default_rng(0),
        )
    )
    return agent


@pytest.mark.usefixtures("strategy")
def test_it_solves_what_its_strategy_can():
    if COUNTER_ID not in gymnasium.registry:
        gymnasium.register(COUNTER_ID, entry_point="trajgen.testing.fakes:CounterEnv")
    played = play(COUNTER_ID, PlannerAgent)
    assert played.success
    assert played.turns[0].plan


@pytest.mark.usefixtures("strategy")
def test_a_strategy_hears_shown_lines_only():
    shown, hidden = Feedback("error", "told", shown=True), Feedback("scene", "kept", shown=False)
    agent = started(COUNTER_ID, (shown, hidden))
    step = Step(
        0, "c", "add", "{}", None, ObservationRecord("x"), 0.0, False, False, None, (hidden, shown), None, 0.0, 0.0
    )
    agent.observe(step, legal=None)
    assert agent._strategy.heard == [shown, shown]


@pytest.mark.usefixtures("strategy")
def test_a_module_before_the_id_makes_no_difference():
    assert started(f"some.module:{COUNTER_ID}")._strategy


def test_an_environment_without_a_strategy_is_refused_by_naming_those_that_have_one():
    with pytest.raises(UnknownName, match=r"no strategy for 'CartPole-v1'.*trajgen/Toolbox-v0"):
        started("CartPole-v1")
