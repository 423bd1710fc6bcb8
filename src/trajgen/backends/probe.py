"""What works at an endpoint, found out by asking it: models, tools, constraints, seeds, token ids, speed.

A dozen small requests, each answered with what was seen; nothing is taken from a server's name or version. Knows no
job and no terminal.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NamedTuple

import aiohttp
import msgspec
import orjson

from trajgen.backends.openai import OpenAIBackend, ProviderError, api_key
from trajgen.chat import Message, Reply
from trajgen.replies.native import turn_of
from trajgen.spaces import ToolSpace, tool
from trajgen.types import ToolCall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from trajgen.backends.openai import OpenAIConfig
    from trajgen.types import Json

_MODELS_S = 10.0
_MODELS_BYTES = 2**20
_SPEED_TOKENS = 64
_MAX_TOKENS = 64
_ADD = tool("add", "Add two whole numbers.", a={"type": "integer"}, b={"type": "integer"})
_COLOURS = ["red", "green", "blue"]


class Probed(NamedTuple):
    """One thing that was tried.

    Attributes:
        works: None where nothing hangs on it.
        advice: What to do about it; None where nothing is to be done.
    """

    what: str
    works: bool | None
    found: str
    advice: str | None = None


async def models(base_url: str, api_key_env: str | None) -> list[str] | None:
    """Return the ids of the models a server names; None where it does not tell."""
    key = api_key(api_key_env)
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    timeout = aiohttp.ClientTimeout(total=_MODELS_S)
    try:
        async with (
            aiohttp.ClientSession(headers=headers, timeout=timeout) as session,
            session.get(base_url.rstrip("/") + "/models", allow_redirects=False) as response,
        ):
            body = await response.content.read(_MODELS_BYTES)
        told = msgspec.json.decode(body, type=_Models)
    except (aiohttp.ClientError, OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return [model.id for model in told.data]


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


async def probe(config: OpenAIConfig) -> AsyncIterator[Probed]:
    """Try one thing after the other; the rest is left out where the model does not answer at all."""
    backend = OpenAIBackend(config)
    try:
        first = await _chat(backend)
        yield first
        if first.works:
            for attempt in (_tools, _schema, _choice, _seeds, _tokens, _speed):
                yield await _told(attempt, backend)
    finally:
        await backend.close()


async def _told(attempt: Callable[[OpenAIBackend], Awaitable[Probed]], backend: OpenAIBackend) -> Probed:
    """Run one attempt; a refusal is an answer too."""
    try:
        return await attempt(backend)
    except ProviderError as error:
        return Probed(attempt.__name__.strip("_"), works=False, found=str(error))


async def _ask(backend: OpenAIBackend, text: str, **how: Json) -> Reply:
    sampling: Mapping[str, Json] = {"max_tokens": _MAX_TOKENS, "temperature": 0, **how.pop("sampling", {})}
    return await backend.generate([Message("user", text)], how.pop("tools", ()), sampling=sampling, **how)


async def _chat(backend: OpenAIBackend) -> Probed:
    started = time.perf_counter()
    try:
        reply = await _ask(backend, "Say hello.", seed=1)
    except ProviderError as error:
        return Probed("chat", works=False, found=str(error))
    latency_ms = (time.perf_counter() - started) * 1_000
    if reply.error_kind is not None:
        return Probed("chat", works=False, found=f"an answer that cannot be read ({reply.error_kind})")
    named = f" from {reply.model}" if reply.model else ""
    return Probed("chat", works=True, found=f"answers{named} after {latency_ms:.0f} ms")


async def _tools(backend: OpenAIBackend) -> Probed:
    reply = await _ask(backend, "What is 20 + 3? Use the tool.", tools=(_ADD,), seed=1)
    turn = turn_of(reply, (_ADD,))
    call = turn.calls[0] if turn.calls else None
    if call is None:
        found, advice = "no native call came back", "play it with `react` or `inner_monologue`, which need none"
        return Probed("tools", works=False, found=found, advice=advice)
    problem = call.problem or ToolSpace([_ADD]).problem(ToolCall(call.tool, call.arguments))
    if problem is not None:
        return Probed("tools", works=False, found=f"a native call came back, but {problem}")
    return Probed("tools", works=True, found=f"native calls: {ToolCall(call.tool, call.arguments)}")


async def _schema(backend: OpenAIBackend) -> Probed:
    properties = {"colour": {"enum": _COLOURS}, "n": {"type": "integer"}}
    wanted = {"type": "object", "properties": properties, "required": ["colour", "n"], "additionalProperties": False}
    reply = await _ask(backend, "Tell me a story.", constraint={"json_schema": wanted}, seed=1)
    try:
        given = orjson.loads(reply.text or "")
    except orjson.JSONDecodeError:
        given = None
    fits = isinstance(given, dict) and given.keys() == properties.keys() and given["colour"] in _COLOURS
    return Probed("schema", fits, "is kept to" if fits else "is not kept to: the reply does not fit it")


async def _choice(backend: OpenAIBackend) -> Probed:
    reply = await _ask(backend, "Tell me a story.", constraint={"choice": _COLOURS}, seed=1)
    fits = reply.text in _COLOURS
    return Probed("choice", fits, "structured_outputs.choice is kept to" if fits else "structured_outputs is ignored")


async def _seeds(backend: OpenAIBackend) -> Probed:
    texts = [
        (await _ask(backend, "Make up a name.", seed=seed, sampling={"temperature": 1.0})).text for seed in (7, 7, 8)
    ]
    if texts[0] != texts[1]:
        return Probed("seeds", works=False, found="the same seed gave two different replies")
    other = "another seed another one" if texts[2] != texts[0] else "and another seed too"
    return Probed("seeds", works=True, found=f"the same seed gave the same reply, {other}")


async def _tokens(backend: OpenAIBackend) -> Probed:
    reply = await _ask(
        backend, "Say hello.", seed=1, sampling={"logprobs": True, "top_logprobs": 0, "return_token_ids": True}
    )
    have = {
        "prompt token ids": reply.prompt_token_ids,
        "token ids": reply.token_ids,
        "log-probabilities": reply.logprobs,
    }
    there = [name for name, value in have.items() if value is not None]
    advice = None if len(there) == len(have) else "without them `tokens_exact` is not known; vLLM gives all of them"
    return Probed("tokens", len(there) == len(have), f"gives {', '.join(there) or 'none'}", advice)


async def _speed(backend: OpenAIBackend) -> Probed:
    started = time.perf_counter()
    replies = await asyncio.gather(
        *(
            _ask(backend, "Count from one to a hundred in words.", seed=i, sampling={"max_tokens": _SPEED_TOKENS})
            for i in range(4)
        )
    )
    took_s = time.perf_counter() - started
    counts = [reply.usage.completion_tokens for reply in replies]
    if None in counts:
        return Probed("speed", None, f"4 replies at once in {took_s:.1f} s; the server counts no tokens")
    n_tokens = sum(count or 0 for count in counts)
    return Probed("speed", None, f"{n_tokens / took_s:.0f} tokens/s with 4 requests at once")
