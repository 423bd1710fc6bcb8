"""The benchmark's episode: what its floor leaves out is recording, not work."""

import asyncio

import aiohttp
import pytest

from benchmarks import adding, server
from trajgen import driver, local
from trajgen.store.reader import iter_episodes, open_run


@pytest.fixture(scope="module")
def url():
    with server.serving() as base:
        yield base


def test_the_episode_is_eight_turns_that_all_end_in_success(url, tmp_path):
    asked = adding.job(f"{url}/v1", 4, 4)
    with driver.prepared(tmp_path / "run", asked) as prepared:
        adding.checked(local.run(prepared, 4, lambda _: None))
    episodes = list(iter_episodes(open_run(tmp_path / "run")))
    assert len(episodes) == 4
    for episode in episodes:
        assert [len(episode.turns), len(episode.steps), len(episode.model_calls)] == [8, 8, 8]
        assert episode.outcome.success is True
        assert [s.observation.text for s in episode.steps[:3]] == ["1", "3", "5"]


def test_the_floor_has_the_same_exchanges(url):
    adding.floor(f"{url}/v1", 4, 4)  # raises where an episode has another number of turns


def test_a_delay_in_the_path_is_waited(url):
    async def took():
        async with aiohttp.ClientSession() as session:
            loop = asyncio.get_running_loop()
            started = loop.time()
            async with session.post(f"{url}/ms80/v1/chat/completions", data=b"{}") as response:
                await response.read()
            return loop.time() - started

    assert asyncio.run(took()) >= 0.08
