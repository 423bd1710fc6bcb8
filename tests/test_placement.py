"""How many environment calls run at once in one worker."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from trajgen import config
from trajgen.placement import Placement

N_EPISODES = 6


class FreeGuard:
    def enter(self, episode_id, timeout_s):
        assert episode_id
        assert timeout_s > 0

    def leave(self):
        pass


class FreeWatch:
    def guard(self):
        return FreeGuard()


class Meter:
    """Counts how many threads are inside it at once."""

    def __init__(self, hold):
        self._hold = hold
        self._lock = threading.Lock()
        self._inside = 0
        self.most = 0

    def __call__(self):
        with self._lock:
            self._inside += 1
            self.most = max(self.most, self._inside)
        self._hold()
        with self._lock:
            self._inside -= 1


def compute():
    until = time.thread_time() + 0.01
    while time.thread_time() < until:
        sum(range(1_000))


def wait():
    time.sleep(0.05)


async def most_at_once(hold, n_processors, *, known=True):
    entry = config.parse({"env": "CartPole-v1", "agent": "random", "seeds": "0:1"}).entries[0]
    placement = Placement(FreeWatch(), n_processors)
    stages = [placement.stage(entry, f"episode{i}") for i in range(N_EPISODES)]
    if known:
        await stages[0].run(Meter(hold))
    meter = Meter(hold)
    await asyncio.gather(*(stage.run(meter) for stage in stages for _ in range(2)))
    for stage in stages:
        stage.close()
    placement.close()
    return meter.most


@pytest.mark.parametrize("n_processors", [1, 2])
@pytest.mark.parametrize("known", [True, False])
def test_calls_that_compute_run_only_as_many_at_once_as_there_are_processors(n_processors, known):
    assert asyncio.run(most_at_once(compute, n_processors, known=known)) <= n_processors


def test_of_episodes_that_want_to_compute_the_oldest_goes_first():
    async def order():
        entry = config.parse({"env": "CartPole-v1", "agent": "random", "seeds": "0:1"}).entries[0]
        placement = Placement(FreeWatch(), 1)
        stages = [placement.stage(entry, f"episode{i}") for i in range(N_EPISODES)]
        done = []

        async def play(i):
            for _ in range(3):
                await stages[i].run(compute)
            done.append(i)

        await asyncio.gather(*(play(i) for i in reversed(range(N_EPISODES))))
        for stage in stages:
            stage.close()
        placement.close()
        return done

    done = asyncio.run(order())
    # whoever leaves has to come back in: meanwhile the next one is let in
    assert all(abs(place - i) <= 2 for place, i in enumerate(done) if i != N_EPISODES - 1), done


def test_calls_that_wait_are_not_held_back():
    assert asyncio.run(most_at_once(wait, 1)) == N_EPISODES
