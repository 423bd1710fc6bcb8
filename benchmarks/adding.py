"""The episode that most benchmarks play: seven additions and an answer, eight turns in all.

Its id `benchmarks.adding:bench/Adding-v0` makes gymnasium import this module, also in a Ray worker; the import
registers it. Beside the environment, the same exchanges as a bare loop over aiohttp and orjson: the floor.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import gymnasium
import orjson

from benchmarks.server import N_TURNS
from trajgen import config, driver, local
from trajgen.messages import default_system_prompt
from trajgen.spaces import tool
from trajgen.toolenv import Acted, ToolEnv

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trajgen.driver import JobReport
    from trajgen.entries import Job
    from trajgen.types import Json, ToolCall

ENV_ID = "bench/Adding-v0"
GOAL = "What is the sum? " * 8
_INTEGER = {"type": "integer"}
TOOLS = (
    tool("add", "Add two whole numbers.", a=_INTEGER, b=_INTEGER),
    tool("say", "Say the answer; this ends the task.", text={"type": "string"}),
)


class AddingEnv(ToolEnv):
    """Adds until something is said."""

    tools = TOOLS

    def begin(self, options: Any) -> str:
        """See `ToolEnv`."""
        self._sums: list[int] = []
        self._said: str | None = None
        return GOAL

    def act(self, call: ToolCall) -> Acted:
        """See `ToolEnv`."""
        if call.tool == "say":
            self._said = call.arguments["text"]
            return Acted("", 1.0, terminated=True)
        self._sums.append(call.arguments["a"] + call.arguments["b"])
        return Acted(str(self._sums[-1]))

    def solved(self) -> bool:
        """See `ToolEnv`."""
        return self._said is not None and len(self._sums) == N_TURNS - 1

    def state(self) -> Json:
        """See `ToolEnv`."""
        return [self._sums, self._said]


if ENV_ID not in gymnasium.registry:
    gymnasium.register(ENV_ID, entry_point="benchmarks.adding:AddingEnv")


def job(base_url: str, n_episodes: int, concurrency: int) -> Job:
    """Return the job that plays the episode `n_episodes` times."""
    return config.parse(
        {
            "name": "adding",
            "workers": 0,
            "concurrency": concurrency,
            "env": f"benchmarks.adding:{ENV_ID}",
            "seeds": f"0:{n_episodes}",
            "agent": {"name": "llm", "backend": "fixed"},
            "backend": {"fixed": {"kind": "openai", "base_url": base_url, "model": "fixed"}},
        }
    )


def play(base_url: str, n_episodes: int, concurrency: int) -> JobReport:
    """Play in this process, from the plan to the last commit, into a run that is thrown away."""
    asked = job(base_url, n_episodes, concurrency)
    with tempfile.TemporaryDirectory() as folder, driver.prepared(Path(folder) / "run", asked) as prepared:
        return checked(local.run(prepared, concurrency, lambda _: None))


def checked(report: JobReport) -> JobReport:
    """Return a report of which every episode was committed."""
    if report.missing or report.failed:
        raise RuntimeError(f"expected {report.planned} committed episodes, found {report}")
    return report


# ------------------------------------------------------------------------------------- the floor


def floor(base_url: str, n_episodes: int, concurrency: int) -> None:
    """Have the same exchanges: messages of the same size, calls parsed and executed, nothing kept."""
    asyncio.run(_floor(base_url, n_episodes, concurrency))


async def _floor(base_url: str, n_episodes: int, concurrency: int) -> None:
    numbers = iter(range(n_episodes))
    # as cheap as aiohttp can be: no limit, no cookies, no timers
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(),
        headers={"Content-Type": "application/json"},
    )
    async with session:
        await asyncio.gather(*(_floor_worker(session, base_url, numbers) for _ in range(concurrency)))


async def _floor_worker(session: aiohttp.ClientSession, base_url: str, numbers: Iterator[int]) -> None:
    for number in numbers:
        n_turns = await _floor_episode(session, f"{base_url}/chat/completions", number)
        if n_turns != N_TURNS:
            raise RuntimeError(f"expected {N_TURNS} turns, found {n_turns}")


_SYSTEM = {"role": "system", "content": default_system_prompt([t.name for t in TOOLS])}
_USER = {"role": "user", "content": GOAL}
_SCHEMAS = [
    {"type": "function", "function": {"name": t.name, "description": t.description, "parameters": t.parameters}}
    for t in TOOLS
]


async def _floor_episode(session: aiohttp.ClientSession, url: str, seed: int) -> int:
    messages: list[dict[str, Any]] = [_SYSTEM, _USER]
    n_turns = 0
    while True:
        body = orjson.dumps({"model": "fixed", "seed": seed, "tools": _SCHEMAS, "messages": messages})
        async with session.post(url, data=body) as response:
            message = orjson.loads(await response.read())["choices"][0]["message"]
        n_turns += 1
        messages.append(message)
        if not message.get("tool_calls"):
            return n_turns
        for call in message["tool_calls"]:
            arguments = orjson.loads(call["function"]["arguments"])
            told = f"{arguments['a'] + arguments['b']}\n[success] The last call worked."
            messages.append({"role": "tool", "content": told, "tool_call_id": call["id"], "name": "add"})
