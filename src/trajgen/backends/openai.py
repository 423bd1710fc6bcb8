"""Any server that speaks OpenAI's `/chat/completions`: vLLM, SGLang, llama.cpp, Ollama, OpenAI itself.

Straight on aiohttp, since the `openai` package costs some 30 times the CPU of an exchange. Who is to blame for what:

    429, 408, 5xx, a broken connection   retried with growing waits, then `ProviderError`
    200 without a message object         likewise: HTML, nothing, an empty list of choices, an error in the body;
                                         where that error names an HTTP status, it counts as that status
    another 4xx, a redirect              `ProviderError` at once, with the server's words and what to check
    a prompt that is too long            a `Reply` with error_kind "context": the episode's fault, not the server's
    200 with a message that is malformed a `Reply` with error_kind "bad_message": the model may have caused it
    200 with more bytes than are read    a `Reply` with error_kind "too_large", likewise

The wall deadline holds for one whole exchange, waits and retries included, so a body that drips cannot outlive it;
past it comes a `ProviderError` as well. Its default is shorter than an episode's, so that a silent server shows as such.
Knows no episode and no agent.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
import zlib
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import aiohttp
import orjson
from msgspec import Meta, Struct, field
from yarl import URL

from trajgen.backends.wire import NotACompletion, RequestEncoder, read_completion
from trajgen.chat import Message, Reply
from trajgen.errors import ConfigError, UserError
from trajgen.types import Json, Tool

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Url = Annotated[str, Meta(pattern="^https?://")]
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
_ERROR_CHARS = 500
_BODY_CHARS = 200  # of a 200 that is no answer; often a page of HTML
_OK = 200
_TOO_LONG = ("context_length_exceeded", "maximum context length", "context size", "context window", "too many tokens")
_TOO_LONG_STATUSES = frozenset({400, 413, 422})
_RETRIED = frozenset({408, 425, 429})
_SETTINGS = frozenset({401, 403, 404})  # wrong for every request alike
_CHECK = {
    400: "the server refused the request: check `sampling`, and that the model takes tools",
    404: "check `base_url` (it ends in /v1 on most servers) and `model`",
    405: "check `base_url` (it ends in /v1 on most servers)",
    422: "the server refused the request: check `sampling`",
}


class OpenAIConfig(Struct, frozen=True):
    """Keys of the backend.

    Attributes:
        base_url: Up to and without `/chat/completions`, e.g. `http://127.0.0.1:8000/v1`.
        model: As the server knows it.
        sampling: Passed on as they are: `temperature`, `max_tokens`, `logprobs`, `return_token_ids`, ...
        api_key_env: Name of the environment variable that holds the key; never the key itself.
        timeout_s: Wall seconds for one exchange, retries included.
        max_retries: Further tries after the first.
        max_body_bytes: A longer answer is not read.
        max_connections: Exchanges at once, per worker; further ones wait, and the deadline is not running yet.
    """

    base_url: Url
    model: str
    sampling: dict[str, Json] = field(default_factory=dict)
    api_key_env: str | None = None
    timeout_s: Seconds = 60.0
    max_retries: Natural = 4
    max_body_bytes: Count = 32 * 2**20
    max_connections: Count = 256

    def __post_init__(self) -> None:
        """Refuse sampling keys that would be overwritten, or break the record."""
        for key, why in _RESERVED.items():
            if key in self.sampling:
                raise ValueError(f"sampling.{key}: cannot be set here: {why}")


class ProviderError(Exception):
    """The server did not answer, or answered nothing of use, or refused.

    Attributes:
        status: HTTP status, or the one that an error inside a 200 names; None where there is neither.
        retry_after_s: How long the server asked to wait, where it did.
    """

    def __init__(self, message: str, status: int | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_after_s = status, retry_after_s

    @property
    def may_pass(self) -> bool:
        """Whether the same request may work a little later."""
        return self.status is None or self.status in _RETRIED or self.status >= 500  # noqa: PLR2004 - HTTP's own


class SettingsRefused(ProviderError, UserError):
    """The server refused the key, the address or the model: no other request would fare better, so the job stops."""


class OpenAIBackend:
    """One session with one server, shared by the episodes of a worker.

    Raises:
        ConfigError: the environment variable that `api_key_env` names is not set.
    """

    config: ClassVar[type[Struct]] = OpenAIConfig
    not_identity: ClassVar[frozenset[str]] = frozenset(
        {"base_url", "api_key_env", "timeout_s", "max_retries", "max_body_bytes", "max_connections"}
    )

    def __init__(self, config: OpenAIConfig) -> None:
        self._config = config
        self._url = URL(config.base_url.rstrip("/") + "/chat/completions")
        self._key = _key(config.api_key_env)
        self._encoder = RequestEncoder(config.model, config.sampling)
        self._slots = asyncio.Semaphore(config.max_connections)
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
        async with self._slots:
            deadline = asyncio.get_running_loop().time() + self._config.timeout_s
            try:
                async with asyncio.timeout_at(deadline):
                    return await self._insist(body, deadline)
            except TimeoutError:
                raise ProviderError(
                    f"{self._url}: no whole answer within timeout_s = {self._config.timeout_s:g}; "
                    "raise it, or lower `max_connections` or `concurrency`"
                ) from None

    async def close(self) -> None:
        """Release connections; the backend is not used again."""
        if self._session is not None:
            await self._session.close()

    async def _insist(self, body: bytes, deadline: float) -> Reply:
        attempt = 0
        while True:
            try:
                return await self._ask(body)
            except ProviderError as error:
                wait_s = _wait_s(error, body, attempt)
                late = asyncio.get_running_loop().time() + wait_s > deadline
                if not error.may_pass or attempt >= self._config.max_retries or late:
                    raise
            attempt += 1
            await asyncio.sleep(wait_s)

    async def _ask(self, body: bytes) -> Reply:
        session = self._session or self._open()
        try:
            async with session.post(self._url, data=body, allow_redirects=False) as response:
                if response.status != _OK:
                    return await self._refused(response)
                answer = await self._read(response)
                if answer is None:
                    response.close()  # else the rest would be read before the connection is used again
                    return Reply(None, error_kind="too_large")
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise  # our own deadline; TimeoutError is an OSError
            what = str(error) or type(error).__name__
            raise ProviderError(f"{self._url}: {what}; is the server up, and `base_url` right?") from error
        try:
            return read_completion(answer)
        except NotACompletion as problem:
            return self._not_a_completion(answer, problem)

    def _open(self) -> aiohttp.ClientSession:
        """Open the session; inside a running loop, as aiohttp wants it."""
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),  # `_slots` is the limit
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

    async def _refused(self, response: aiohttp.ClientResponse) -> Reply:
        """Raise what the server's refusal means; a prompt that is too long is a reply."""
        status = response.status
        said = self._without_key(_message_in(await _start_of(response)))
        if status in _TOO_LONG_STATUSES and any(words in said for words in _TOO_LONG):
            return Reply(None, raw=said, error_kind="context")
        if response.headers.get("Location"):
            check = f"it redirects to {response.headers['Location'][:200]}: check `base_url`"
        elif status in {401, 403}:
            check = self._about_key()
        else:
            check = _CHECK.get(status, "")
        message = f"{self._url}: HTTP {status}: {said or response.reason}"
        kind = SettingsRefused if status in _SETTINGS else ProviderError
        raise kind(f"{message}; {check}" if check else message, status, _retry_after_s(response.headers))

    def _about_key(self) -> str:
        name = self._config.api_key_env
        if name is None:
            return "the server wants a key: set `api_key_env` to the name of the environment variable that holds it"
        return f"check the key in the environment variable {name}"

    def _not_a_completion(self, body: bytes, problem: NotACompletion) -> Reply:
        """Raise the failure that a 200 hides; a prompt that is too long is a reply here too."""
        status = _status_in(body)
        said = self._without_key(_message_in(body))
        if status in _TOO_LONG_STATUSES and any(words in said for words in _TOO_LONG):
            return Reply(None, raw=said, error_kind="context")
        inside = "" if status is None else f", error {status}"
        found = f": {said[:_BODY_CHARS]}" if said else ""
        raise ProviderError(
            f"{self._url}: expected a chat completion, found HTTP 200 with {problem}{inside}{found}; check `base_url`",
            status,
        ) from problem

    def _without_key(self, said: str) -> str:
        """Some servers quote the key they refuse; it must not reach a log or a record."""
        return (said.replace(self._key, "***") if self._key else said)[:_ERROR_CHARS]


def _key(name: str | None) -> str | None:
    if name is None:
        return None
    value = os.environ.get(name, "").strip()
    if not value:
        raise ConfigError(f"api_key_env: the environment variable {name} is not set; type: export {name}=...")
    return value


async def _start_of(response: aiohttp.ClientResponse) -> bytes:
    read = b""
    async for chunk in response.content.iter_any():
        read += chunk
        if len(read) >= _ERROR_BYTES:
            response.close()
            break
    return read


def _error_in(body: bytes) -> Any:  # whatever the server wrote
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return (data.get("error") or data.get("detail") or data) if isinstance(data, dict) else None


def _status_in(body: bytes) -> int | None:
    """Return the HTTP status that some gateways put into a body with status 200; as a number or as text.

    `context_length_exceeded`, OpenAI's word for a prompt that is too long, stands for the 400 it comes with.
    """
    error = _error_in(body)
    code = str(error.get("code")) if isinstance(error, dict) else ""
    if code == "context_length_exceeded":
        return 400
    return int(code) if re.fullmatch("[45][0-9][0-9]", code) else None


def _message_in(body: bytes) -> str:
    error = _error_in(body)
    message = error.get("message", error) if isinstance(error, dict) else error
    if message is None:
        return body.decode("utf-8", "replace").strip()
    if isinstance(message, str):
        return message
    try:
        return orjson.dumps(message).decode()
    except orjson.JSONEncodeError:  # nested deeper than it writes, though not than it reads
        return body.decode("utf-8", "replace").strip()


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Read `Retry-After`: seconds, or a date."""
    given = headers.get("Retry-After", "")
    try:
        return max(0.0, float(given))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(given).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def _wait_s(error: ProviderError, body: bytes, attempt: int) -> float:
    """Return what the server asked for, or a wait that doubles; spread by request, so that episodes do not march."""
    spread = zlib.crc32(body, attempt) / 2**32
    if error.retry_after_s is not None:
        return error.retry_after_s + _FIRST_WAIT_S * spread
    growing: float = _FIRST_WAIT_S * 2 ** min(attempt, 10)
    return min(_LONGEST_WAIT_S, growing) * (0.5 + spread)
