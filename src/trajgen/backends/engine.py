"""The embedded engine: llama.cpp's server inside this process, through xllamacpp. The only module that imports it.

One engine a process and set of settings, shared by whoever holds it and ended with the last of them. It listens on a
loopback port behind a key made for this process, and is spoken to over HTTP: a call that is given up then frees its
slot. That costs a millisecond or more a call over its direct API. Knows tokens and text, no chat and no tool.
"""

from __future__ import annotations

import importlib.util
import secrets
import threading
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar
from weakref import WeakValueDictionary

import aiohttp
import msgspec
import orjson
from msgspec import Struct

from trajgen.errors import MissingExtra, UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from trajgen.types import Json

T = TypeVar("T")

_OK = 200
_QUIET = 0
_OWN = 0.99  # share of a prompt that a slot must hold already
_SAID = 500
FORCED = {"temperature": 0.0, "n_probs": 1, "cache_prompt": True, "return_tokens": True}


class EngineError(Exception):
    """The engine did not do what was asked of it.

    Attributes:
        kind: The engine's own word for it, e.g. `exceed_context_size_error`; None where it gave none.
    """

    def __init__(self, message: str, kind: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind


class EngineSettings(NamedTuple):
    """What makes one engine. `n_ctx` counts tokens a slot; `cache_mib` bounds prompts kept beside the slots."""

    path: Path
    n_threads: int
    n_slots: int
    n_ctx: int
    cache_mib: int


def require_engine() -> None:
    """Say at once, without loading it, that the engine is not installed.

    Raises:
        MissingExtra: xllamacpp is not installed.
    """
    if importlib.util.find_spec("xllamacpp") is None:
        raise MissingExtra("the local backend needs the package 'xllamacpp'; type: pip install 'trajgen[local]'")


class Engine:
    """One running server. It ends when nobody holds it any more.

    Raises:
        UserError: the file is no model that the engine can load.
    """

    _running: ClassVar[WeakValueDictionary[EngineSettings, Engine]] = WeakValueDictionary()
    _starting: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, settings: EngineSettings) -> None:
        import xllamacpp  # 100 MB of library, which no other job needs

        self.key = secrets.token_hex(16)
        params = xllamacpp.CommonParams()
        params.model.path = str(settings.path)
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings.n_threads
        params.n_parallel, params.n_ctx = settings.n_slots, settings.n_ctx * settings.n_slots
        params.cache_ram_mib = settings.cache_mib
        # a slot is taken over only by its own conversation; else what it holds would be overwritten, not kept aside
        params.slot_prompt_similarity = _OWN
        params.hostnames, params.port, params.api_keys = ["127.0.0.1"], 0, [self.key]
        params.n_threads_http = settings.n_slots + 2
        params.ui = params.endpoint_slots = params.warmup = False
        params.verbosity = _QUIET
        try:
            self._server = xllamacpp.Server(params)
        except (RuntimeError, ValueError, OSError) as error:
            raise UserError(
                f"{settings.path}: the engine cannot load it ({error}); is it a whole GGUF file?"
            ) from error
        self.base_url: str = self._server.listening_address

    @classmethod
    def shared(cls, settings: EngineSettings) -> Engine:
        """Return the running engine of these settings, or start it: about a second, during which the caller waits."""
        with cls._starting:
            engine = cls._running.get(settings)
            if engine is None:
                engine = cls._running[settings] = cls(settings)
            return engine


class _Rendered(Struct, frozen=True):
    prompt: str


class _Tokens(Struct, frozen=True):
    tokens: list[int]


class _Error(Struct, frozen=True):
    message: str = ""
    type: str | None = None


class _Refusal(Struct, frozen=True):
    error: _Error


class TokenLogprob(Struct, frozen=True):
    """One token and its log-probability (natural log) before any sampling setting or grammar; None for -inf."""

    id: int
    logprob: float | None = None


class Timings(Struct, frozen=True):
    """What the engine counted: prompt tokens found in its cache, and milliseconds of its own."""

    cache_n: int = 0
    prompt_ms: float = 0.0
    predicted_ms: float = 0.0


class Completion(Struct, frozen=True):
    """What the engine made of a prompt.

    Attributes:
        tokens: As sampled, the end token included.
        stop_type: `eos`, `word` or `limit`.
    """

    content: str
    tokens: list[int] = []
    stop_type: str = ""
    completion_probabilities: list[TokenLogprob] = []
    timings: Timings = Timings()

    def logprobs(self) -> list[float] | None:
        """Return one number a token; None where the engine gave other ones."""
        given = self.completion_probabilities
        if [p.id for p in given] != self.tokens:
            return None
        return [float("-inf") if p.logprob is None else p.logprob for p in given]


class EngineClient:
    """One session with an engine; belongs to the event loop that uses it."""

    def __init__(self, engine: Engine) -> None:
        self._engine: Engine | None = engine
        self._base_url = engine.base_url
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Authorization": f"Bearer {engine.key}", "Content-Type": "application/json"},
            timeout=aiohttp.ClientTimeout(),  # the caller's deadline
        )

    async def close(self) -> None:
        """Hang up, and let go of the engine."""
        await self._session.close()
        self._engine = None

    async def render(self, messages: bytes, tools: bytes = b"[]") -> str:
        """Return the text of a chat by the model's own template, up to where the next reply begins.

        Args:
            messages: A JSON list of chat messages.
            tools: A JSON list in OpenAI's form; not every template shows them.
        """
        given = b',"tools":' + tools if tools != b"[]" else b""
        return (await self._post("/apply-template", b'{"messages":' + messages + given + b"}", _Rendered)).prompt

    async def tokenize(self, text: str, *, begins: bool, special: bool) -> tuple[int, ...]:
        """Return the tokens of a text.

        Args:
            begins: It is the beginning of a sequence, which some models mark.
            special: Marks of the template in it are read as such.
        """
        body = orjson.dumps({"content": text, "add_special": begins, "parse_special": special})
        return tuple((await self._post("/tokenize", body, _Tokens)).tokens)

    async def complete(self, prompt: Sequence[int], n_predict: int, options: Mapping[str, Json]) -> Completion:
        """Sample at most `n_predict` tokens behind the tokens of `prompt`."""
        body = orjson.dumps({**options, "prompt": list(prompt), "n_predict": n_predict})
        return await self._post("/completion", body, Completion)

    async def force(self, prompt: Sequence[int], tokens: Sequence[int]) -> list[float]:
        """Return the natural-log probability of each of `tokens`, in their order, behind `prompt`.

        A grammar of token ids leaves one path; the probabilities are taken from the logits before it masks them.
        """
        grammar = "root ::= " + " ".join(f"<[{i}]>" for i in tokens)
        done = await self.complete(prompt, len(tokens), {**FORCED, "grammar": grammar})
        logprobs = done.logprobs()
        if logprobs is None or done.tokens != list(tokens):
            raise EngineError(f"expected the tokens {list(tokens)}, found {done.tokens}: they cannot be weighed")
        return logprobs

    async def _post(self, path: str, body: bytes, type_: type[T]) -> T:
        try:
            async with self._session.post(self._base_url + path, data=body) as response:
                answer = await response.read()
                status = response.status
        except aiohttp.ClientError as error:
            raise EngineError(f"the engine hung up: {error or type(error).__name__}") from error
        if status != _OK:
            raise _refusal(path, status, answer)
        return msgspec.json.decode(answer, type=type_)


def _refusal(path: str, status: int, answer: bytes) -> EngineError:
    try:
        said: Any = msgspec.json.decode(answer, type=_Refusal).error
    except msgspec.MsgspecError:
        said = _Error(answer[:_SAID].decode("utf-8", "replace"))
    return EngineError(f"{path}: {status}: {said.message[:_SAID]}", said.type)
