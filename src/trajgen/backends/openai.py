"""Any server that speaks OpenAI's `/chat/completions`: vLLM, SGLang, llama.cpp, Ollama, OpenAI itself.

Straight on aiohttp, since the `openai` package costs some 30 times the CPU of an exchange. Who is to blame for what:

    429, 408, 425                        retried with growing waits, then `ProviderError`
    5xx, a broken connection             likewise; where there is another replica, by that one and at once
    200 without a message object         likewise: HTML, nothing, an empty list of choices, an error in the body;
                                         where that error names an HTTP status, it counts as that status
    another 4xx, a redirect              `ProviderError` at once, with the server's words and what to check
    a prompt that is too long            a `Reply` with error_kind "context": the episode's fault, not the server's
    200 with a message that is malformed a `Reply` with error_kind "bad_message": the model may have caused it
    200 with more bytes than are read    a `Reply` with error_kind "too_large", likewise

The wall deadline holds for one whole exchange, waits between tries included, so a body that drips cannot outlive it;
past it comes a `ProviderError` as well. Waiting for a slot is not the server's time and does not count. Its default is
shorter than an episode's, so that a silent server shows as such. Knows no episode and no agent.
"""

from __future__ import annotations

import asyncio
import os
import zlib
from typing import TYPE_CHECKING, Annotated, ClassVar

import aiohttp
from msgspec import Meta, Struct, field
from yarl import URL

from trajgen.backends.refusals import ProviderError, Refusals, SettingsRefused
from trajgen.backends.replicas import Replica, Replicas
from trajgen.backends.wire import NotACompletion, RequestEncoder, read_completion
from trajgen.chat import Message, Reply
from trajgen.errors import ConfigError
from trajgen.types import Json, Tool

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["OpenAIBackend", "OpenAIConfig", "ProviderError", "SettingsRefused", "api_key"]

Url = Annotated[str, Meta(pattern="^https?://[^/]")]
Urls = Annotated[tuple[Url, ...], Meta(min_length=1)]
Seconds = Annotated[float, Meta(gt=0)]
Natural = Annotated[int, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]

_RESERVED = {
    "model": "it is a key of the backend",
    "messages": "the agent writes them",
    "tools": "the environment gives them",
    "stream": "whole answers are read",
    "n": "one answer is read; raise `samples` of the entry",
    "seed": "each call gets its own, from the episode's id",
}
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 8.0
_ERROR_BYTES = 64 * 1024
_OK = 200


class OpenAIConfig(Struct, frozen=True):
    """Keys of the backend.

    Attributes:
        base_url: Up to and without `/chat/completions`, e.g. `http://127.0.0.1:8000/v1`. Or a list: replicas of one
            model; all calls of a task go to the same one while it works, for the sake of its prefix cache.
        model: As the server knows it.
        sampling: Passed on as they are: `temperature`, `max_tokens`, `logprobs`, `return_token_ids`, ...
        api_key_env: Name of the environment variable that holds the key; never the key itself.
        timeout_s: Wall seconds for one exchange, retries included.
        max_retries: Further tries after the first.
        max_body_bytes: A longer answer is not read.
        max_connections: Exchanges at once with each replica, per worker, at most; fewer after signs of overload
            (see `trajgen.backends.pace`). Further ones wait, and the deadline is not running yet.
    """

    base_url: Url | Urls
    model: str
    sampling: dict[str, Json] = field(default_factory=dict)
    api_key_env: str | None = None
    timeout_s: Seconds = 60.0
    max_retries: Natural = 4
    max_body_bytes: Count = 32 * 2**20
    max_connections: Count = 256

    def __post_init__(self) -> None:
        """Refuse sampling keys that would be overwritten, or break the record; and addresses that hold a secret."""
        for key, why in _RESERVED.items():
            if key in self.sampling:
                raise ValueError(f"sampling.{key}: cannot be set here: {why}")
        urls = self.base_urls()
        for url in urls:
            if "@" in url.split("/")[2]:  # quoted nowhere: what stands before the @ is secret
                raise ValueError("base_url: expected no user or password, found one; use `api_key_env`")
            if urls.count(url) > 1:
                raise ValueError(f"base_url: expected each address once, found {url} {urls.count(url)} times")
            try:
                URL(url)
            except ValueError as error:
                raise ValueError(f"base_url: expected such as http://HOST:PORT/v1, found {url} ({error})") from None

    def base_urls(self) -> tuple[str, ...]:
        """Return the addresses, also where there is one."""
        return (self.base_url,) if isinstance(self.base_url, str) else tuple(self.base_url)


class OpenAIBackend:
    """One session with one server or several replicas of it, shared by the episodes of a worker.

    Raises:
        ConfigError: the environment variable that `api_key_env` names is not set, or holds no key.
    """

    config: ClassVar[type[Struct]] = OpenAIConfig
    not_identity: ClassVar[frozenset[str]] = frozenset(
        {"base_url", "api_key_env", "timeout_s", "max_retries", "max_body_bytes", "max_connections"}
    )

    def __init__(self, config: OpenAIConfig) -> None:
        self._config = config
        self._replicas = Replicas(config.base_urls(), config.max_connections)
        self._key = api_key(config.api_key_env)
        self._refusals = Refusals(self._key, config.api_key_env)
        self._encoder = RequestEncoder(config.model, config.sampling)
        self._session: aiohttp.ClientSession | None = None

    async def generate(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool],
        *,
        seed: int | None = None,
        sampling: Mapping[str, Json] | None = None,
        constraint: Mapping[str, Json] | None = None,
    ) -> Reply:
        """See `trajgen.protocols.Backend`.

        Raises:
            ProviderError: no chat completion within `timeout_s` and `max_retries`, or the server refused.
        """
        body = self._encoder.body(messages, tools, seed=seed, sampling=sampling, constraint=constraint)
        return await self._insist(body, self._replicas.order(messages))

    async def close(self) -> None:
        """Release connections; the backend is not used again."""
        if self._session is not None:
            await self._session.close()

    async def _insist(self, body: bytes, order: Sequence[Replica]) -> Reply:
        clock = asyncio.get_running_loop().time
        left_s, tried = self._config.timeout_s, list[Replica]()
        replica = self._replicas.choose(order)
        while True:
            async with replica.pace:
                deadline = clock() + left_s
                try:
                    return await self._try(replica, body, deadline)
                except ProviderError as error:
                    tried.append(replica)
                    replica = self._replicas.choose(order, tried) if error.is_broken else replica
                    wait_s = _wait_s(error, body, len(tried) - 1) if replica in tried else 0.0
                    late = clock() + wait_s >= deadline
                    if not error.may_pass or len(tried) > self._config.max_retries or late:
                        raise
                await asyncio.sleep(wait_s)  # in the slot of the one that failed, which needs the rest
            left_s = deadline - clock()

    async def _try(self, replica: Replica, body: bytes, deadline: float) -> Reply:
        """Ask one replica once, and note how it fared."""
        began_s, epoch = self._replicas.now(), replica.pace.epoch
        try:
            async with asyncio.timeout_at(deadline):
                reply = await self._ask(replica.url, body)
        except TimeoutError:
            self._replicas.failed(replica, began_s)
            raise ProviderError(
                f"{replica.url}: no whole answer within timeout_s = {self._config.timeout_s:g}; "
                "raise it, or lower `max_connections` or `concurrency`"
            ) from None
        except ProviderError as error:
            if error.is_pressure:
                replica.pace.pressed(epoch)
            if error.is_broken:
                self._replicas.failed(replica, began_s)
            raise
        replica.pace.answered()
        self._replicas.worked(replica)
        return reply

    async def _ask(self, url: URL, body: bytes) -> Reply:
        session = self._session or self._open()
        try:
            async with session.post(url, data=body, allow_redirects=False) as response:
                if response.status != _OK:
                    said = await _start_of(response)
                    return self._refusals.refused(url, response.status, response.reason, response.headers, said)
                answer = await self._read(response)
                if answer is None:
                    response.close()  # else the rest would be read before the connection is used again
                    return Reply(None, error_kind="too_large")
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise  # our own deadline; TimeoutError is an OSError
            what = self._refusals.without_key(str(error)) or type(error).__name__
            raise ProviderError(
                f"{url}: {what}; is the server up, and `base_url` right?",
                unreachable=isinstance(error, aiohttp.ClientConnectorError),
            ) from error
        try:
            return read_completion(answer)
        except NotACompletion as problem:
            return self._refusals.not_a_completion(url, answer, problem)

    def _open(self) -> aiohttp.ClientSession:
        """Open the session; inside a running loop, as aiohttp wants it."""
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),  # the replicas' paces are the limit
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
            timeout=aiohttp.ClientTimeout(),  # the deadline is ours
        )
        return self._session

    async def _read(self, response: aiohttp.ClientResponse) -> bytes | None:
        """Return the body; None where it is longer than allowed."""
        limit = self._config.max_body_bytes
        length = response.content_length
        if length is not None and "Content-Encoding" not in response.headers:
            return await response.read() if length <= limit else None
        chunks, n_bytes = [], 0
        async for chunk in response.content.iter_any():
            chunks.append(chunk)
            n_bytes += len(chunk)
            if n_bytes > limit:
                return None
        return b"".join(chunks)


def api_key(name: str | None) -> str | None:
    """Return the key that the environment variable `name` holds; None where no name is given.

    Raises:
        ConfigError: it is not set, or holds what no HTTP header can carry. The value is quoted nowhere.
    """
    if name is None:
        return None
    value = os.environ.get(name, "").strip()
    if not value:
        raise ConfigError(f"api_key_env: the environment variable {name} is not set; type: export {name}=...")
    if not (value.isascii() and value.isprintable()):  # no header can carry it
        raise ConfigError(f"api_key_env: the environment variable {name} holds a line break or a letter beyond ASCII")
    return value


async def _start_of(response: aiohttp.ClientResponse) -> bytes:
    read = b""
    async for chunk in response.content.iter_any():
        read += chunk
        if len(read) >= _ERROR_BYTES:
            response.close()
            break
    return read


def _wait_s(error: ProviderError, body: bytes, attempt: int) -> float:
    """Return what the server asked for, or a wait that doubles; spread by request, so that episodes do not march."""
    spread = zlib.crc32(body, attempt) / 2**32
    if error.retry_after_s is not None:
        return error.retry_after_s + _FIRST_WAIT_S * spread
    growing: float = _FIRST_WAIT_S * 2 ** min(attempt, 10)
    return min(_LONGEST_WAIT_S, growing) * (0.5 + spread)
