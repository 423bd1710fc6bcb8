"""What the adapter says of minigrid's environments is what the agent's own view holds."""

import pytest

pytest.importorskip("minigrid")

import gymnasium
import numpy as np

from trajgen.types import ToolCall
from trajgen.wrappers.making import make
from trajgen_envs.minigrid_tasks.adapter import MiniGridAdapter


def act(env, action):
    return env.step(ToolCall("act", {"action": action}))


def last_line(observation):
    return observation.text.splitlines()[-1]


def test_the_mission_and_the_steps_there_are_stand_in_the_first_text():
    first = make("BabyAI-GoToRedBall-v0").reset(seed=0)[0].text
    assert first.startswith("Your mission: go to the red ball. You have 64 steps;")


def test_an_empty_room_is_crossed_by_words():
    env = make("MiniGrid-Empty-5x5-v0")
    first, info = env.reset(seed=0)
    assert last_line(first) == (
        "You face east. You carry nothing. Ahead: 2 free cells, then a wall. To the left: 0 free cells, then a wall. "
        "To the right: 2 free cells, then a wall. You see: green goal 2 ahead and 2 to the right."
    )
    assert info == {"success": False}
    for action in ("forward", "forward", "turn_right"):
        observation = act(env, action)[0]
    assert observation.text.startswith("You face south.")
    assert observation.text.endswith("You see: green goal 2 ahead.")
    act(env, "forward")
    _, reward, terminated, _, info = act(env, "forward")
    assert reward > 0.9
    assert (terminated, info) == (True, {"success": True})
    assert env.describe("scene") == "The goal is reached."


def test_a_key_is_carried_and_opens_the_door_of_its_colour():
    env = make("MiniGrid-DoorKey-5x5-v0")
    assert "yellow key 1 to the right; locked yellow door 1 ahead and 1 to the left" in env.reset(seed=3)[0].text
    assert act(env, "turn_right")[0].text.endswith("You see: yellow key 1 ahead.")
    assert "You carry a yellow key." in act(env, "pick_up")[0].text
    act(env, "turn_left")
    act(env, "turn_left")
    act(env, "forward")
    assert "Ahead: 0 free cells, then a locked yellow door." in act(env, "turn_right")[0].text
    assert "open yellow door" in act(env, "toggle")[0].text


@pytest.mark.parametrize("env_id", ["MiniGrid-Empty-Random-6x6-v0", "BabyAI-GoToLocal-v0"])
def test_what_is_told_is_a_function_of_what_is_seen(env_id):
    env = make(env_id)
    env.action_space.seed(0)
    told = {}
    for seed in range(10):
        observation = env.reset(seed=seed)[0]
        for _ in range(20):
            seen = tuple(observation.arrays[name].tobytes() for name in ("direction", "image"))
            assert told.setdefault(seen, last_line(observation)) == last_line(observation)
            observation, _, terminated, truncated, _ = env.step(env.action_space.sample())
            if terminated or truncated:
                break
    assert len(told) > 20


def test_what_is_in_a_box_is_in_the_digest():
    env = make("MiniGrid-ObstructedMaze-1Dlh-v0")
    env.reset(seed=0)
    before = env.state_digest()
    (box,) = [thing for thing in env.foreign.unwrapped.grid.grid if thing is not None and thing.type == "box"]
    box.contains = None
    assert env.state_digest() != before


def test_rejected_draws_of_a_mission_are_not_printed(capsys):
    env = make("BabyAI-GoToObjMazeOpen-v0")
    from minigrid.envs.babyai.core import roomgrid_level

    rejections = []
    silent = vars(roomgrid_level)["print"]
    vars(roomgrid_level)["print"] = lambda *words: (rejections.append(words), silent(*words))
    try:
        for seed in range(30):
            env.reset(seed=seed)
    finally:
        vars(roomgrid_level)["print"] = silent
    assert rejections, "no seed below 30 shows what is tested"
    assert capsys.readouterr().out == ""


def test_a_strangers_environment_is_none_of_its_business():
    env = gymnasium.make("CartPole-v1").unwrapped
    adapter = MiniGridAdapter()
    assert [ask(env) for ask in (adapter.action_names, adapter.goal, adapter.state, adapter.snapshot)] == [None] * 4
    assert adapter.observation_text(env, np.zeros(4)) is None
    assert adapter.solved(env, 1.0, terminated=True) is None
