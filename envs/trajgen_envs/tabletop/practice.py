"""Skills executed at random, and what came of them: the data the learned affordance is trained on.

Each scene is a pure function of its split and seed, whoever plays it: dials, table, calls and outcomes. Calls that the
arm refuses outright are a fixed share of the data; they cost no physics, and alone they would be most of it.
"""

from __future__ import annotations

import contextlib
import itertools
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from msgspec import to_builtins

from trajgen.toolenv import Impossible
from trajgen.types import ToolCall
from trajgen_envs.tabletop import affordance, channels, features, intents, tools
from trajgen_envs.tabletop.channels import Verdict
from trajgen_envs.tabletop.env import TabletopEnv
from trajgen_envs.tabletop.rig import Unstable
from trajgen_envs.tabletop.spots import RELATIONS
from trajgen_envs.tabletop.tasks import MAX_SHOVES, TabletopOptions
from trajgen_envs.tabletop.world import BESIDE, DIRECTIONS, PLACES

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from numpy.random import Generator as Draws
    from numpy.typing import NDArray

    from trajgen.splits import Split
    from trajgen_envs.tabletop.intents import Belief

SKILLS_A_SCENE = 12
REFUSED = 0.35  # refused calls for every executed one
MAX_NOISE_M = 0.015
_NOISY, _DISTURBED, _OCCLUDED = 0.7, 0.5, 0.2  # shares of scenes
_TRIES = 40
_IDLE_PLACES = 0.1  # share of places among the calls with an empty cup: all are in vain
_SCENES_A_BATCH = 2


class Try(NamedTuple):
    """What came of one call; see `Tries`."""

    x: NDArray[np.float64]
    y: bool
    skill: int
    refused: bool
    analytic: float
    scene: int


class Tries(NamedTuple):
    """What came of n calls, in the order they were made.

    Attributes:
        x: Features, shape (n, len(features.NAMES)).
        y: Whether the environment said the skill worked, shape (n,), bool.
        skill: Index in `features.SKILLS`, shape (n,).
        refused: Whether the call could not be begun, shape (n,), bool.
        analytic: What the analytic affordance said, shape (n,).
        scene: Seed of the scene, shape (n,).
        unstable: Scenes whose physics diverged, and which ended there.
    """

    x: NDArray[np.float64]
    y: NDArray[np.bool_]
    skill: NDArray[np.int64]
    refused: NDArray[np.bool_]
    analytic: NDArray[np.float64]
    scene: NDArray[np.int64]
    unstable: int = 0

    def rows(self, chosen: NDArray[np.bool_] | slice) -> Tries:
        """Return some of the rows."""
        return Tries(
            self.x[chosen],
            self.y[chosen],
            self.skill[chosen],
            self.refused[chosen],
            self.analytic[chosen],
            self.scene[chosen],
            self.unstable,
        )


def practise(split: Split, n: int, *, workers: int = 1, first_seed: int = 0) -> Tries:
    """Play scenes from `first_seed` on until `n` calls are made; the same whatever `workers` is."""
    seeds = (range(s, s + _SCENES_A_BATCH) for s in itertools.count(first_seed, _SCENES_A_BATCH))
    batches: list[Tries] = []
    done = 0
    with contextlib.closing(_played(split, seeds, workers)) as played:
        for batch in played:
            batches.append(batch)
            done += len(batch.y)
            if done >= n:
                break
    return joined(batches).rows(slice(n))


def _played(split: Split, seeds: Iterator[range], workers: int) -> Generator[Tries, None, None]:
    if workers <= 1:
        for some in seeds:
            yield _batch(split, some)
        return
    # spawned: a forked child would share the simulator's state of whoever called
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        ahead = [pool.submit(_batch, split, next(seeds)) for _ in range(2 * workers)]
        try:
            while True:
                yield ahead.pop(0).result()
                ahead.append(pool.submit(_batch, split, next(seeds)))
        finally:  # there are enough
            for batch in ahead:
                batch.cancel()


def _batch(split: Split, seeds: range) -> Tries:
    env = TabletopEnv()
    return joined([scene(env, split, seed) for seed in seeds])


def joined(parts: list[Tries]) -> Tries:
    """Return the rows of all, one after another."""
    return Tries(
        np.concatenate([part.x for part in parts]),
        np.concatenate([part.y for part in parts]),
        np.concatenate([part.skill for part in parts]),
        np.concatenate([part.refused for part in parts]),
        np.concatenate([part.analytic for part in parts]),
        np.concatenate([part.scene for part in parts]),
        sum(part.unstable for part in parts),
    )


def dials(rng: Draws) -> TabletopOptions:
    """Draw how crowded, noisy and disturbed a scene is."""
    pick_noise, place_noise = (float(rng.uniform(0, MAX_NOISE_M)) if rng.random() < _NOISY else 0.0 for _ in range(2))
    return TabletopOptions(
        objects=int(rng.integers(3, 9)),
        distractors=int(rng.integers(0, 3)),
        pick_noise_m=pick_noise,
        place_noise_m=place_noise,
        disturbance=int(rng.integers(0, MAX_SHOVES + 1)) if rng.random() < _DISTURBED else 0,
        occlusion=bool(rng.random() < _OCCLUDED),
    )


def scene(env: TabletopEnv, split: Split, seed: int) -> Tries:
    """Make random calls in one scene.

    Returns: At most `SKILLS_A_SCENE` executed calls, and the refused ones between them.
    """
    rng = np.random.default_rng([seed, len(split)])
    options = dials(rng)
    env.reset(seed=seed, options={**to_builtins(options), "split": split})
    rows: list[Try] = []
    unstable = 0
    try:
        for _ in range(SKILLS_A_SCENE):
            for refused in (True, False) if rng.random() < REFUSED else (False,):
                call = _drawn(env, rng, refused=refused)
                if call is not None:
                    rows.append(_tried(env, options, call, seed, refused=refused))
    except Unstable:  # what came before it is still true
        unstable = 1
    return _columns(rows, unstable)


def _columns(rows: list[Try], unstable: int) -> Tries:
    return Tries(
        np.array([row.x for row in rows], dtype=np.float64).reshape(-1, len(features.NAMES)),
        np.array([row.y for row in rows], dtype=np.bool_),
        np.array([row.skill for row in rows], dtype=np.int64),
        np.array([row.refused for row in rows], dtype=np.bool_),
        np.array([row.analytic for row in rows], dtype=np.float64),
        np.array([row.scene for row in rows], dtype=np.int64),
        unstable,
    )


def _tried(env: TabletopEnv, options: TabletopOptions, call: ToolCall, seed: int, *, refused: bool) -> Try:
    x = features.vector(call, env.table.belief(), options, env.table.rig.at)
    analytic = affordance.analytic(call, env.table.belief(), options)
    env.step(call)
    said = env.describe("success") or ()
    worked = any(not isinstance(line, str) and line.text == _WORKED for line in said)
    return Try(x, worked, features.SKILLS.index(call.tool or ""), refused, analytic, seed)


_WORKED = channels.success(Verdict(worked=True, source=""))[0].text


def _drawn(env: TabletopEnv, rng: Draws, *, refused: bool) -> ToolCall | None:
    """Draw a call that the arm refuses, or one it does not; None where chance brings none."""
    belief = env.table.belief()
    for _ in range(_TRIES):
        call = _any(rng, belief, uniform=refused)
        if _is_refused(belief, call) == refused:
            return call
    return None


def _is_refused(belief: Belief, call: ToolCall) -> bool:
    try:
        intents.check(belief, call)
    except Impossible:
        return True
    return False


def _any(rng: Draws, belief: Belief, *, uniform: bool) -> ToolCall:
    """Draw a call that fits the tools; unless `uniform`, of a skill that suits what the cup holds."""
    names = [thing.name for thing in belief.world.things]
    suits = (
        (0.0, 1.0, 0.0) if belief.world.held >= 0 else ((1 - _IDLE_PLACES) / 2, _IDLE_PLACES, (1 - _IDLE_PLACES) / 2)
    )
    tool = features.SKILLS[int(rng.choice(3, p=None if uniform else suits))]
    if tool == "pick":
        return ToolCall(tool, {"object": _one(rng, names)})
    if tool == "push":
        distance_m = round(float(rng.uniform(tools.MIN_PUSH_M, tools.MAX_PUSH_M)), 3)
        return ToolCall(
            tool, {"object": _one(rng, names), "direction": _one(rng, list(DIRECTIONS)), "distance_m": distance_m}
        )
    if uniform:
        return ToolCall(tool, {"target": _one(rng, [*names, *PLACES]), "relation": _one(rng, RELATIONS)})
    # beside, on or in, at: as often as one another, whatever there is most of
    relation = _one(rng, (_one(rng, tuple(BESIDE)), _one(rng, ("on", "in")), "at"))
    return ToolCall(tool, {"target": _one(rng, list(PLACES) if relation == "at" else names), "relation": relation})


def _one(rng: Draws, of: Sequence[str]) -> str:
    return of[int(rng.integers(len(of)))]
