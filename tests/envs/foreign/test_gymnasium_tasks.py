"""What the adapter says of gymnasium's own environments is true and is enough to play by."""

import subprocess
import sys

import gymnasium
import pytest

from trajgen import registry
from trajgen.types import ToolCall
from trajgen.wrappers.making import make
from trajgen_envs.gymnasium_tasks.adapter import GymnasiumAdapter
from trajgen_envs.gymnasium_tasks.tasks import TASKS


def act(env, **arguments):
    return env.step(ToolCall("act", arguments))


def names(env):
    (tool,) = env.action_space.tools
    properties = tool.parameters["properties"]
    return properties["action"]["enum"] if "enum" in properties.get("action", {}) else list(properties)


@pytest.mark.parametrize(
    ("env_id", "expected"),
    [
        ("CartPole-v1", ["push_left", "push_right"]),
        ("MountainCarContinuous-v0", ["force"]),
        ("FrozenLake-v1", ["left", "down", "right", "up"]),
        ("Taxi-v4", ["south", "north", "east", "west", "pick_up", "drop_off"]),
        ("Blackjack-v1", ["stick", "hit"]),
        ("InvertedPendulum-v5", ["slide"]),
        ("Reacher-v5", ["joint0", "joint1"]),
        ("HalfCheetah-v5", ["bthigh", "bshin", "bfoot", "fthigh", "fshin", "ffoot"]),
    ],
)
def test_actions_have_names(env_id, expected):
    if env_id.endswith("-v5"):
        pytest.importorskip("mujoco")
    assert names(make(env_id)) == expected


def test_pushing_right_moves_the_cart_right():
    env = make("CartPole-v1")
    before = env.reset(seed=0)[0].arrays["observation"]
    after = act(env, action="push_right")[0].arrays["observation"]
    assert after[1] > before[1]


def test_a_pendulum_of_mujoco_tells_its_joints_in_order():
    pytest.importorskip("mujoco")
    env = make("InvertedPendulum-v5")
    first = env.reset(seed=0)[0]
    data = env.foreign.unwrapped.data
    assert f"slider position {data.qpos[0]:.4g}, hinge angle {data.qpos[1]:.4g}" in first.text
    assert f"slider velocity {data.qvel[0]:.4g}, hinge angular velocity {data.qvel[1]:.4g}" in first.text


@pytest.mark.parametrize(
    ("env_id", "n_named"), [("HalfCheetah-v5", 17), ("Ant-v5", 105), ("Humanoid-v5", 348), ("Swimmer-v4", 8)]
)
def test_names_of_mujoco_observations_cover_them_all(env_id, n_named):
    pytest.importorskip("mujoco")
    env = registry.make_raw(env_id).unwrapped
    found = GymnasiumAdapter().observation_names(env)
    # version 4 observes positions from the third on without saying so: no names are better than wrong ones
    assert len(found) == len(set(found)) == n_named if env_id.endswith("-v5") else len(found) != n_named


def test_the_fingertip_of_the_reacher_is_told_where_it_is():
    pytest.importorskip("mujoco")
    env = make("Reacher-v5")
    env.reset(seed=0)
    act(env, joint0=0.5, joint1=-0.5)
    raw = env.foreign.unwrapped
    text = act(env, joint0=0.5, joint1=-0.5)[0].text
    away = raw.get_body_com("fingertip") - raw.get_body_com("target")
    assert f"fingertip minus target in x {away[0]:.4g}, fingertip minus target in y {away[1]:.4g}" in text


def test_a_frozen_lake_without_slipping_is_crossed_by_its_map():
    env = make("FrozenLake-v1", make_options={"is_slippery": False})
    first = env.reset(seed=0)[0].text
    rows = first.splitlines()[1:5]
    assert rows == ["SFFF", "FHFH", "FFFH", "HFFG"]
    for action in ("down", "down", "right", "right", "down"):
        observation, *_ = act(env, action=action)
    observation, reward, terminated, _, info = act(env, action="right")
    assert observation.text == "You are at row 3, column 3; the tile is the goal."
    assert (reward, terminated, info) == (1.0, True, {"success": True})


def test_a_slippery_lake_says_so():
    assert "The ice is slippery" in make("FrozenLake-v1").reset(seed=0)[0].text


def test_the_cliff_is_where_the_goal_says_and_walking_around_it_succeeds():
    env = make("CliffWalking-v1")
    env.reset(seed=0)
    act(env, action="up")
    observation, reward, *_ = act(env, action="down")
    assert (observation.text, reward) == ("You are at row 3, column 0.", -1)
    assert act(env, action="right")[1] == -100
    for action in ["up"] + ["right"] * 11:
        assert act(env, action=action)[4] == {"success": False}
    assert act(env, action="down")[2:] == (True, False, {"success": True})


def test_a_taxi_driven_by_words_delivers_its_passenger():
    env = make("Taxi-v4")
    for seed in range(2_000):
        text = env.reset(seed=seed)[0].text.splitlines()[-1]
        if "waiting at R at row 0, column 0" in text and "destination is Y" in text and "row 0, column 1" in text:
            break
    else:
        pytest.fail("no seed below 2000 starts as asked")
    moves = ["west", "pick_up", "south", "south", "south", "south"]
    texts = [act(env, action=move)[0].text for move in moves]
    assert "The passenger is in the taxi" in texts[1]
    assert texts[-1].startswith("The taxi is at row 4, column 0.")
    assert act(env, action="drop_off")[2:] == (True, False, {"success": True})


def test_a_hand_of_blackjack_succeeds_when_it_is_won():
    env = make("Blackjack-v1")
    outcomes = set()
    for seed in range(20):
        first = env.reset(seed=seed)[0]
        assert "Your cards add up to" in first.text
        _, reward, terminated, _, info = act(env, action="stick")
        assert terminated
        outcomes.add((reward > 0, info["success"]))
    assert outcomes == {(True, True), (False, False)}


def test_a_strangers_environment_of_the_same_class_name_is_not_taken_for_gymnasiums():
    class CartPoleEnv(gymnasium.Env):
        action_space = observation_space = gymnasium.spaces.Discrete(2)

    adapter, env = GymnasiumAdapter(), CartPoleEnv()
    asked = (adapter.action_names, adapter.observation_names, adapter.goal, adapter.state, adapter.snapshot)
    assert [ask(env) for ask in asked] == [None] * 5
    assert adapter.observation_text(env, 0) is None
    assert adapter.solved(env, 1.0, terminated=True) is None


def test_every_goal_is_whole_sentences_without_a_number_of_steps():
    for task in TASKS.values():
        assert task.goal.endswith(".")
        assert "steps" not in task.goal  # the budget is the engine's


def test_the_adapter_loads_without_mujoco():
    code = (
        "import sys; sys.modules['mujoco'] = None\n"
        "from trajgen.wrappers.making import make\n"
        "env = make('CartPole-v1'); env.reset(seed=0); env.snapshot(); print(len(env.state_digest()))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "16\n"
