"""`trajgen/Tabletop-v0` over whole episodes: the expert solves them, chance does not, and all of it comes again to the bit."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
import pytest

from jobs import episodes_of, play
from tabletops import HARD, begun, calling, solve
from trajgen.splits import SPLITS
from trajgen.verify import verify
from trajgen_envs.tabletop import goals
from trajgen_envs.tabletop.env import TabletopEnv
from trajgen_envs.tabletop.families import FAMILIES
from trajgen_envs.tabletop.intents import reaches
from trajgen_envs.tabletop.skills import Aim

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trajgen.toolenv import Acted
    from trajgen.types import ToolCall

ID = "trajgen/Tabletop-v0"


@pytest.fixture
def env() -> Iterator[TabletopEnv]:
    made = TabletopEnv()
    yield made
    made.close()


def _muddle(env: TabletopEnv, seed: int, n: int) -> None:
    """Execute `n` calls that can be begun, drawn at random, and never `done`."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        legal = [c for c in env._legal() if c.tool != "done"]
        env.step(legal[int(rng.integers(len(legal)))])


# ---- solving


@pytest.mark.parametrize("family", FAMILIES)
def test_the_expert_solves_every_family(env, family):
    failing = [seed for seed in range(10) if not solve(begun(env, seed, family=family))]
    assert not failing


@pytest.mark.slow
@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_expert_solves_99_of_100_published_seeds_of_every_family(env, family, split):
    failing = [seed for seed in range(100) if not solve(begun(env, seed, family=family, split=split))]
    assert len(failing) <= 1, failing


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("family", FAMILIES)
def test_random_calls_solve_at_most_5_of_100_within_twice_the_experts_steps(env, family):
    lucky = []
    for seed in range(100):
        _, info = env.reset(seed=seed, options={"family": family})
        env.action_space.seed(seed)
        for _ in range(2 * info["oracle_steps"]):
            *_, terminated, _, info = env.step(env.action_space.sample())
            if terminated:
                break
        lucky += [seed] if info["success"] else []
    assert len(lucky) <= 5, lucky


def _lost(env: TabletopEnv) -> bool:
    """Say whether something the goal is about is where no arm gets it: on the floor, upside down, or too far out."""
    now = env.table.world()
    return any(now.fallen(i) or p.up < 0.95 or not reaches(p.x, p.y) for i, p in enumerate(now.poses))


def _recovers(env: TabletopEnv, seeds: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return the seeds of muddles from which nothing was lost, and those of them that the expert solved."""
    sound, solved = [], []
    for seed in seeds:
        begun(env, seed, family=FAMILIES[seed % len(FAMILIES)])
        _muddle(env, seed, 10)
        if _lost(env):
            continue
        sound.append(seed)
        solved += [seed] if solve(env) else []
    return sound, solved


def test_after_random_skills_the_expert_still_solves_most_tasks(env):
    sound, solved = _recovers(env, range(8))
    assert len(sound) >= 4
    assert len(solved) >= 0.8 * len(sound), sorted(set(sound) - set(solved))


@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_after_random_skills_the_expert_still_solves_nine_tasks_in_ten(env):
    sound, solved = _recovers(env, range(200))
    assert len(solved) >= 0.9 * len(sound), sorted(set(sound) - set(solved))


# ---- the same again


def _trace(env: TabletopEnv, calls: Sequence[ToolCall]) -> list[object]:
    found: list[object] = []
    for call in calls:
        observation, *rest = env.step(call)
        said = [env.describe(channel) for channel in ("success", "object", "scene", "error", "human")]
        found.append((observation, rest, said, env.state_digest()))
    return found


def test_a_state_with_something_in_the_cup_is_restored_to_the_bit_again_and_again_and_elsewhere(env):
    begun(env, 3, family="stack_in_order", disturbance=4, place_noise_m=0.008)
    for call in itertools.islice(env.oracle(), 1):
        env.step(call)
    saved, digest = env.snapshot(), env.state_digest()
    now = env.table.world()
    assert now.held >= 0
    name = now.name(now.held)
    onward = [
        calling("place", target="middle", relation="at"),
        calling("push", object=name, direction="left", distance_m=0.1),
        calling("pick", object=name),
        calling("ask", question="what next?"),
        calling("place", target="left side", relation="at"),
    ]
    first = _trace(env, onward)
    elsewhere = TabletopEnv()
    for other in (env, elsewhere, env, elsewhere, TabletopEnv()):
        other.restore(saved)
        assert other.state_digest() == digest
        assert _trace(other, onward) == first
    again = elsewhere.snapshot()
    elsewhere.restore(again)
    assert elsewhere.state_digest() == first[-1][-1]  # type: ignore[index] # a tuple that ends with the digest


def test_an_old_snapshot_outlives_another_task(env):
    begun(env, 1, family="beside")
    saved, digest = env.snapshot(), env.state_digest()
    begun(env, 2, family="sort_by_kind", look=False)
    env.restore(saved)
    assert env.state_digest() == digest
    assert "look" in env.action_space.names()
    assert solve(env)


def test_the_physics_of_the_start_are_the_same_whatever_the_dials_say(env):
    begun(env, 5)
    plain = env.table.rig.data.qpos.copy()
    for options in (HARD, {"occlusion": True}, {"look": False, "ask": False}, {"arrays": True}):
        begun(env, 5, **options)
        assert np.array_equal(env.table.rig.data.qpos, plain)


def test_noise_of_the_same_seed_is_the_same_noise_however_large(env):
    aims = []
    for noise in (0.002, 0.004):
        begun(env, 7, pick_noise_m=noise)
        meant = Aim(0.5, 0.0, 0.04, 0.0)
        aim = env.table.astray(meant, noise)
        aims.append(((aim.x - meant.x) / noise, (aim.y - meant.y) / noise))
    assert aims[0] == pytest.approx(aims[1])


@pytest.mark.parametrize("seed", range(3))
def test_a_disturbance_really_moves_something_and_comes_again(env, seed):
    calls = []
    begun(env, seed, family="pick_and_place", length=3, objects=6)
    for call in env.oracle():
        calls.append(call)
        env.step(call)
    calm = [pose[:2] for pose in env.table.world().poses]
    ends = []
    for _ in range(2):
        begun(env, seed, family="pick_and_place", length=3, objects=6, disturbance=4)
        _trace(env, calls[:-1])
        ends.append(env.state_digest())
    moved = [math.dist(a, b[:2]) for a, b in zip(calm, env.table.world().poses, strict=True)]
    assert max(moved) > 0.02
    assert ends[0] == ends[1]


def _job(seeds: str, **more: Any) -> dict[str, Any]:
    entry = {"env": ID, "agent": ["oracle", "random"], "seeds": seeds, **more}
    return {"budget": {"max_steps": 12, "step_timeout_s": 60, "episode_timeout_s": 300}, "entry": [entry]}


def test_what_a_job_recorded_replays_to_the_bit(tmp_path):
    play(tmp_path, _job("0:2", options={**HARD, "occlusion": True, "arrays": True}))
    episodes = episodes_of(tmp_path)
    assert len(episodes) == 4
    for episode in episodes:
        assert verify(episode).status == "replays"


@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_100_episodes_of_all_kinds_replay_to_the_bit(tmp_path):
    for i, family in enumerate(FAMILIES):
        options = {"family": family, **(HARD if i % 2 else {}), "occlusion": i % 3 == 0, "arrays": i % 4 == 0}
        play(tmp_path / family, _job("0:4", options=options))
        for episode in episodes_of(tmp_path / family):
            assert verify(episode).status == "replays", (family, episode.task.seed)


@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_100_snapshots_restore_to_the_bit():
    env, other = TabletopEnv(), TabletopEnv()
    for seed in range(100):
        begun(env, seed, **(HARD if seed % 2 else {}), occlusion=seed % 3 == 0)
        env.action_space.seed(seed)
        _trace(env, [env.action_space.sample() for _ in range(seed % 5)])
        saved, calls = env.snapshot(), [env.action_space.sample() for _ in range(4)]
        first = _trace(env, calls)
        for instance in (other, env):
            instance.restore(saved)
            assert _trace(instance, calls) == first, seed


class DivergingEnv(TabletopEnv):
    """Its physics diverge in the third skill."""

    def act(self, call: ToolCall) -> Acted:
        if self.table._past.n_skills == 2:
            self.table.rig.data.qvel[-1] = math.nan
        return super().act(call)


def test_nan_in_the_physics_fails_its_episode_at_its_step_and_no_other(tmp_path):
    gymnasium.register("tabletop-test/Diverging-v0", entry_point=DivergingEnv)
    try:
        job = _job("0:1", env=["tabletop-test/Diverging-v0", ID], agent="oracle", options={"family": "one_bowl"})
        report = play(tmp_path, job)
    finally:
        del gymnasium.registry["tabletop-test/Diverging-v0"]
    assert (report.committed, report.failed) == (1, 1)
    for episode in episodes_of(tmp_path):
        if episode.task.env_id == ID:
            assert episode.failure is None
            assert episode.outcome.success
        else:
            assert episode.failure is not None
            assert (episode.failure.boundary, episode.failure.type) == ("env", "Unstable")
            assert "s of simulated time: mjWARN_BAD" in episode.failure.message
            assert (episode.outcome.success, len(episode.steps)) == (None, 2)


# ---- noise


def _works(env: TabletopEnv, seeds: Sequence[int], **options: Any) -> int:
    """Count the tasks that one pick and one place solve, without another try."""
    n = 0
    for seed in seeds:
        begun(env, seed, family="pick_and_place", **options)
        for call in itertools.islice(env.oracle(), 2):
            env.step(call)
        n += goals.holds(env.task.goal, env.table.world())
    return n


def test_the_more_noise_the_fewer_tasks_work_at_the_first_try(env):
    seeds = range(12)
    curve = [_works(env, seeds, pick_noise_m=noise, place_noise_m=noise) for noise in (0.0, 0.01, 0.04)]
    assert curve == sorted(curve, reverse=True)
    assert curve[0] == len(seeds)
    assert curve[-1] < len(seeds) / 2


def test_the_expert_tries_again_until_it_works(env):
    solved = [solve(begun(env, seed, family="one_bowl", **HARD)) for seed in range(8)]
    assert sum(solved) >= 7
