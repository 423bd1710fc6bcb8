"""A person plays: what a model would be told is printed, what is typed is read as a reply, and the episode is kept."""

import io
from typing import ClassVar

import gymnasium
import pytest

from jobs import episodes_of
from trajgen.cli import OK, main
from trajgen.testing.contract import AgentContract
from trajgen.testing.drive import play
from trajgen.testing.fakes import COUNTER_ID
from trajgen_agents.human import agent
from trajgen_agents.human.agent import HumanAgent


@pytest.fixture(autouse=True)
def counter_registered():
    if COUNTER_ID not in gymnasium.registry:
        gymnasium.register(COUNTER_ID, entry_point="trajgen.testing.fakes:CounterEnv")


class TestHuman(AgentContract):
    agent = "human"
    options: ClassVar = {"target": 5}

    @pytest.fixture(autouse=True)
    def _typed(self, monkeypatch):
        class Typist(io.StringIO):
            def readline(self, *_):
                return "One more. >> add(1)\n"  # the same in every episode: one person has one keyboard

        monkeypatch.setattr("sys.stdin", Typist())


def played(monkeypatch, typed, **how):
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    return play(COUNTER_ID, HumanAgent, options={"target": 5}, **how)


def test_calls_can_be_typed_as_a_model_writes_them_or_as_words(monkeypatch, capsys):
    found = played(monkeypatch, "First three. >> add(n=3)\nadd 2\n\nsubmit\n")
    assert found.success
    assert [turn.text for turn in found.turns] == ["First three.", None, None]
    told = capsys.readouterr().err
    assert "The counter shows 0. Bring it to 5, then submit." in told
    assert "add(n: integer from 1 to 3): Add to the counter." in told
    assert "[scene] The counter shows 3." in told
    assert "The episode is over." in told


def test_what_is_for_the_person_alone_is_no_part_of_the_episode(monkeypatch, capsys):
    found = played(monkeypatch, ":legal\n:tools\nadd(3)\nsubmit()\n")
    assert [step.tool for step in found.steps] == ["add", "submit"]
    told = capsys.readouterr().err
    assert told.count("add(n: integer from 1 to 3)") == 2
    assert "add(n=2)" in told


def test_a_slip_of_the_fingers_is_told_like_a_models_and_costs_a_step(monkeypatch, capsys):
    found = played(monkeypatch, "ad(3)\nadd(3)\nadd(2)\nsubmit()\n")
    assert found.success
    assert len(found.steps) == 4
    assert "did you mean 'add'" in capsys.readouterr().err


@pytest.mark.parametrize("typed", ["add(1)\n:quit\nadd(1)\n", "add(1)\n"])
def test_quitting_and_the_end_of_the_input_stop_the_episode(monkeypatch, typed):
    found = played(monkeypatch, typed)
    assert len(found.steps) == 1
    assert found.turns[-1].stop


def test_what_the_world_says_does_no_harm_to_the_terminal(monkeypatch, capsys):
    agent._say("\x1b[2Jgone\u202e")
    assert capsys.readouterr().err == "\\x1b[2Jgone\\u202e\n"


def test_the_command_plays_one_task_and_stores_it(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("sys.stdin", io.StringIO("I add. >> add(3)\nadd 2\nsubmit()\n"))
    out = tmp_path / "run"
    assert main(["play", COUNTER_ID, "--seed", "3", "--options", "target=5", "--out", str(out)]) == OK
    (episode,) = episodes_of(out)
    assert episode.outcome.success
    assert episode.task.seed == 3
    assert episode.agents[0].name == "human"
    assert [turn.text for turn in episode.turns] == ["I add.", None, None]
    assert main(["verify", str(out)]) == OK
    assert main(["play", COUNTER_ID, "--seed", "3", "--options", "target=5", "--out", str(out)]) == OK
    assert "nothing is missing" in capsys.readouterr().out


def test_an_unknown_environment_is_named_with_the_nearest(capsys):
    assert main(["play", "trajgen/Tolbox-v0"]) == 2
    assert "trajgen/Toolbox-v0" in capsys.readouterr().err
