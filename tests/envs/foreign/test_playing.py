"""Gymnasium's and minigrid's environments keep our contract: equal texts, rewards and states for equal calls."""

import contextlib
import io
import json
import subprocess
import sys
import warnings

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env

from trajgen import abilities, ids
from trajgen.errors import MissingExtra
from trajgen.protocols import Snapshot
from trajgen.types import ToolCall, stored, to_json
from trajgen.wrappers.making import make

TOLD = [
    "CartPole-v1",
    "MountainCar-v0",
    "MountainCarContinuous-v0",
    "Acrobot-v1",
    "Pendulum-v1",
    "FrozenLake-v1",
    "CliffWalking-v1",
    "Taxi-v4",
    "Blackjack-v1",
]
MUJOCO = [
    "InvertedPendulum-v5",
    "InvertedDoublePendulum-v5",
    "Reacher-v5",
    "Pusher-v5",
    "Swimmer-v5",
    "Hopper-v5",
    "HalfCheetah-v5",
    "Walker2d-v5",
    "Ant-v5",
    "Humanoid-v5",
]
GRID = ["MiniGrid-Empty-5x5-v0", "MiniGrid-DoorKey-5x5-v0", "BabyAI-GoToRedBall-v0", "BabyAI-PutNextS5N2Carrying-v0"]
IDS = TOLD + MUJOCO + GRID
N_STEPS = 30
pytest.importorskip("mujoco")
pytest.importorskip("minigrid")

PLAY_ELSEWHERE = """
import sys, json
from trajgen.types import ToolCall, stored, to_json
from trajgen.wrappers.making import make
from trajgen import ids
found = {}
for env_id, calls in json.load(sys.stdin).items():
    env = make(env_id)
    seen = [env.reset(seed=7)[0].text, env.state_digest().hex()]
    for arguments in calls:
        observation, reward, *_ = env.step(ToolCall("act", arguments))
        seen += [observation.text, reward, env.state_digest().hex()]
    found[env_id] = ids.digest(*seen)
print(json.dumps(found))
"""


def play(env, calls=None, seed=7):
    """Play drawn calls, or given ones, to the end or for 30 steps; return calls and everything seen."""
    env.action_space.seed(seed)
    first, info = env.reset(seed=seed)
    done, seen = [], [(stored(first), info, env.state_digest())]
    while len(done) < (N_STEPS if calls is None else len(calls)):
        call = env.action_space.sample() if calls is None else calls[len(done)]
        observation, reward, terminated, truncated, info = env.step(call)
        assert env.describe("error") is None
        done.append(call)
        seen.append((stored(observation), reward, terminated, truncated, info, env.state_digest()))
        if terminated or truncated:
            break
    return done, seen


@pytest.mark.parametrize("env_id", IDS)
def test_stored_calls_replay_to_the_bit_in_a_used_and_in_a_new_environment(env_id):
    env = make(env_id)
    calls, seen = play(env)
    kept = [ToolCall(c.tool, json.loads(to_json(c.arguments))) for c in calls]
    play(env, seed=8)
    assert play(env, kept)[1] == seen
    assert play(make(env_id), kept)[1] == seen


def test_stored_calls_replay_to_the_bit_in_another_process():
    asked, here = {}, {}
    for env_id in IDS:
        calls, seen = play(make(env_id))
        asked[env_id] = [dict(call.arguments) for call in calls]
        flat = [seen[0][0].text, seen[0][2].hex()]
        for observation, reward, *_, digest in seen[1:]:
            flat += [observation.text, reward, digest.hex()]
        here[env_id] = ids.digest(*flat)
    run = subprocess.run(  # the same interpreter
        [sys.executable, "-c", PLAY_ELSEWHERE], input=to_json(asked), capture_output=True, text=True, check=True
    )
    assert json.loads(run.stdout) == here


@pytest.mark.parametrize("env_id", IDS)
def test_a_bad_call_changes_nothing(env_id):
    env = make(env_id)
    env.reset(seed=1)
    before = env.state_digest()
    for bad in (ToolCall(None), ToolCall("go"), ToolCall("act"), ToolCall("act", {"action": "nonsense"})):
        _, reward, terminated, truncated, _ = env.step(bad)
        assert (reward, terminated, truncated) == (0.0, False, False)
        assert env.describe("error")
        assert env.state_digest() == before


@pytest.mark.parametrize("env_id", IDS)
def test_every_step_moves_the_digest_and_every_seed_has_its_own(env_id):
    env = make(env_id)
    digests = [digest for *_, digest in play(env)[1]]
    assert len(set(digests)) == len(digests)
    assert play(env, seed=8)[1][0][-1] != digests[0]


@pytest.mark.parametrize("env_id", IDS)
def test_a_restored_snapshot_plays_on_as_before(env_id):
    env = make(env_id)
    env.reset(seed=2)
    env.action_space.seed(2)
    for _ in range(3):
        if any(env.step(env.action_space.sample())[2:4]):
            env.reset(seed=2)
    keeper = abilities.find(env, Snapshot)
    saved, at = keeper.snapshot(), env.state_digest()
    ahead = []
    for _ in range(2):
        assert env.state_digest() == at
        env.action_space.seed(3)
        ahead.append([])
        for _ in range(8):
            observation, *rest = env.step(env.action_space.sample())
            ahead[-1].append((stored(observation), *rest, env.state_digest()))
            if rest[1] or rest[2]:
                break
        env.reset(seed=5)
        keeper.restore(saved)
    assert ahead[0] == ahead[1]


@pytest.mark.parametrize("env_id", IDS)
def test_the_goal_is_stated_and_later_texts_are_short(env_id):
    seen = play(make(env_id))[1]
    goal = seen[0][0].text.partition("\n")[0]
    assert len(goal.split()) > 10
    assert "You act in" not in goal, "no adapter told the goal"
    assert all(0 < len(step[0].text) < 2_000 for step in seen[1:])
    assert len(seen[0][0].text) < 5_000


@pytest.mark.parametrize("env_id", IDS)
def test_check_env_passes_without_a_warning(env_id):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(make(env_id).unwrapped, skip_render_check=True)


def _play_five(env_id):
    env = make(env_id)
    env.action_space.seed(0)
    env.reset(seed=0)
    for _ in range(5):
        observation, _, terminated, truncated, info = env.step(env.action_space.sample())
        assert env.describe("error") is None
        assert observation.text
        assert set(info) == {"success"}
        env.state_digest()
        if terminated or truncated:
            break
    env.close()


def test_every_environment_of_gymnasium_that_can_be_made_here_is_played(record_property):
    played, skipped = [], {}
    for env_id in [e for e, spec in gymnasium.registry.items() if str(spec.entry_point).startswith("gymnasium.")]:
        try:
            _play_five(env_id)
        except MissingExtra as error:
            skipped[env_id] = str(error).splitlines()[0]
        else:
            played.append(env_id)
    record_property("played", len(played))
    record_property("not installed here", ", ".join(skipped))
    assert len(played) >= 30, skipped
    assert all(env_id in why for env_id, why in skipped.items())


def test_every_environment_of_minigrid_is_played_and_prints_nothing():
    make(GRID[0])  # registers the others
    names = [e for e in gymnasium.registry if e.startswith(("MiniGrid-", "BabyAI-")) and "WFC" not in e]
    assert len(names) > 150
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        for env_id in names:
            _play_five(env_id)
    assert said.getvalue() == ""
