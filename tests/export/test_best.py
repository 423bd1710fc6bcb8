"""Best of n: of each task's samples the few best are exported, and the others are counted with the reason."""

import json
import random

import gymnasium
import pytest

from jobs import episodes_of, play
from trajgen.cli import OK, USER_ERROR, main
from trajgen.export.best import LEFT_OUT, best_of
from trajgen.testing.fakes import COUNTER_ID


@pytest.fixture
def run(tmp_path):
    """Four samples of three tasks by an agent that is lucky at times, and one by an expert."""
    if COUNTER_ID not in gymnasium.registry:
        gymnasium.register(COUNTER_ID, entry_point="trajgen.testing.fakes:CounterEnv")
    job = {
        "workers": 0,
        "budget": {"max_steps": 12},
        "entry": [
            {"env": COUNTER_ID, "seeds": "0:3", "samples": 4, "agent": "random"},
            {"env": COUNTER_ID, "seeds": "0:3", "agent": "oracle"},
        ],
    }
    play(tmp_path / "run", job)
    return tmp_path / "run"


def test_the_best_of_each_task_and_agent_is_kept_whatever_the_order(run):
    episodes = episodes_of(run)
    random.Random(0).shuffle(episodes)
    kept = best_of(episodes, 1)
    assert len(kept) == 6
    for episode in episodes:
        rivals = [e for e in episodes if (e.group_id, e.agents[0].name) == (episode.group_id, episode.agents[0].name)]
        best = min(rivals, key=lambda e: (not e.outcome.success, -e.outcome.return_, len(e.steps), e.sample))
        assert (episode.episode_id in kept) == (episode is best)
    assert best_of(episodes, 99) == {e.episode_id for e in episodes}


def test_the_command_exports_the_best_and_counts_the_others(run, capsys, tmp_path):
    words = ["export", str(run), "--to", "trl", "--out", str(tmp_path / "out"), "--best", "1", "--json"]
    assert main(words) == OK
    told = json.loads(capsys.readouterr().out)
    assert told["episodes_in"] == 15
    assert told["rejected"][LEFT_OUT] == 9
    assert told["rows_out"] + sum(told["rejected"].values()) == 15
    assert main([*words[:-2], "0"]) == USER_ERROR
    assert "--best: expected a whole number from 1" in capsys.readouterr().err
