"""Prints how well oracle, planner and random play the published seeds, and what a reset and a step cost.

python -m trajgen_envs.toolbox.scores 100        # seeds 0 to 99 of split train, at each depth
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from trajgen.feedback.telling import asked
from trajgen.spaces import ToolSpace
from trajgen.types import Feedback, Step, ToolCall, stored, to_json
from trajgen_envs.toolbox.env import ToolboxEnv
from trajgen_envs.toolbox.planner import ToolboxPlanner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trajgen.types import Channel, Json

SHOWN: tuple[Channel, ...] = ("success", "object", "scene", "error")
DEPTHS = range(1, 9)
VARIANTS: dict[str, dict[str, Json]] = {
    "plain": {},
    "ambiguous": {"ambiguous": True},
    "failures 0.3": {"failures": 0.3},
    "distractors 12": {"distractors": 12},
    "all three": {"ambiguous": True, "failures": 0.3, "distractors": 12},
}


class Played(NamedTuple):
    """How one episode went; `steps` counts calls, `least` is the oracle's number."""

    success: bool
    steps: int
    least: int


def play_oracle(env: ToolboxEnv, seed: int, options: Mapping[str, Json]) -> Played:
    """Play what the expert says."""
    _, info = env.reset(seed=seed, options=dict(options))
    steps = 0
    for call in env.oracle():
        info = env.step(call)[4]
        steps += 1
    return Played(bool(info["success"]), steps, env.oracle_steps or 0)


def play_random(env: ToolboxEnv, seed: int, options: Mapping[str, Json]) -> Played:
    """Draw calls that fit, for twice the expert's number of steps."""
    env.reset(seed=seed, options=dict(options))
    least = env.oracle_steps or 0
    space = ToolSpace(env.tools, seed=seed)
    for n in range(1, 2 * least + 1):
        _, _, terminated, _, info = env.step(space.sample())
        if terminated:
            return Played(bool(info["success"]), n, least)
    return Played(False, 2 * least, least)  # noqa: FBT003 - success


def play_planner(env: ToolboxEnv, seed: int, options: Mapping[str, Json], shown: tuple[Channel, ...] = SHOWN) -> Played:
    """Play the planner with some channels shown, for up to three times the expert's steps and ten more."""
    observation, _ = env.reset(seed=seed, options=dict(options))
    least = env.oracle_steps or 0
    planner = ToolboxPlanner()
    planner.start(observation.text, env.tools, lines(env, shown), np.random.default_rng(seed))
    for n in range(3 * least + 10):
        turn = planner.next()
        if turn.stop:
            return Played(False, n, least)  # noqa: FBT003 - success
        call = ToolCall(turn.calls[0].tool, turn.calls[0].arguments)
        seen, reward, terminated, truncated, info = env.step(call)
        if terminated:
            return Played(bool(info["success"]), n + 1, least)
        feedback = lines(env, shown)
        planner.saw(
            Step(
                turn=n,
                call_id=f"call_{n}_0",
                tool=call.tool,
                arguments=to_json(call.arguments),
                raw=None,
                observation=stored(seen),
                reward=reward,
                terminated=terminated,
                truncated=truncated,
                success=info["success"],
                feedback=feedback,
                state_digest=None,
                agent_s=0.0,
                env_s=0.0,
            )
        )
    return Played(False, 3 * least + 10, least)  # noqa: FBT003 - success


def lines(env: ToolboxEnv, shown: tuple[Channel, ...]) -> tuple[Feedback, ...]:
    """Return what the environment says on the channels that are shown."""
    said = [s for channel in shown for s in asked(env, channel)]
    return tuple(Feedback(s.channel, s.text, shown=True, source=s.source) for s in said)


PLAYERS: dict[str, Callable[[ToolboxEnv, int, Mapping[str, Json]], Played]] = {
    "oracle": play_oracle,
    "planner": play_planner,
    "random": play_random,
}


def _table(n: int) -> None:
    env = ToolboxEnv()
    _say(f"seeds 0 to {n - 1} of split train: success in %, and steps over the least number")
    _say(f"{'options':16}{'player':9}" + "".join(f"{f'depth {d}':>13}" for d in DEPTHS))
    for variant, options in VARIANTS.items():
        for player, play in PLAYERS.items():
            row = f"{variant:16}{player:9}"
            for depth in DEPTHS:
                played = [play(env, seed, {**options, "depth": depth, "split": "train"}) for seed in range(n)]
                won = [p for p in played if p.success]
                over = sum(p.steps / p.least for p in won) / len(won) if won else float("nan")
                row += f"{100 * len(won) / n:>7.0f} {over:4.2f} "
            _say(row)


def _costs(n: int) -> None:
    env = ToolboxEnv()
    for split in ("train", "test"):
        for seed in range(n):  # fills the caches of the search
            env.reset(seed=seed, options={"depth": 4, "split": split})
        begun = time.process_time()
        for seed in range(n, 2 * n):
            env.reset(seed=seed, options={"depth": 4, "split": split})
        _say(f"reset, depth 4, split {split}: {(time.process_time() - begun) / n * 1e3:.2f} ms of CPU")
    spent = steps = 0.0
    for seed in range(2 * n, 3 * n):
        env.reset(seed=seed, options={"depth": 4})
        begun = time.process_time()
        steps += sum(1 for call in env.oracle() if env.step(call))
        spent += time.process_time() - begun
    _say(f"step of the oracle, depth 4: {spent / steps * 1e3:.3f} ms of CPU, opening the database included")
    begun = time.process_time()
    for _ in range(n):
        env.state_digest()
    _say(f"state_digest: {(time.process_time() - begun) / n * 1e3:.3f} ms of CPU")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    EPISODES = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    _table(EPISODES)
    _costs(EPISODES)
