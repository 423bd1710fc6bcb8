"""A model in this process: a GGUF file in llama.cpp's engine, one engine a process and model, one thread by default.

Everything goes in and comes out as tokens: the prompt is rendered by the model's own template and tokenised by its own
vocabulary, and what the model itself wrote earlier in the conversation stays the tokens that it wrote. So every reply
has its token ids and log-probabilities, and a conversation is one sequence. What went wrong:

    a prompt that fills a slot      a `Reply` with error_kind "context": the episode's fault
    a constraint the engine cannot  `ConstraintRefused`: the job stops, since no other request would fare better
    anything else                   `EngineError`

A greedy reply is a function of the request as far as was seen; with several requests at once the last bits of the
logits may differ, so sampled replies are not promised to be equal to the bit. Knows no episode and no agent.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Annotated, ClassVar

import jsonschema_rs
import orjson
from msgspec import Meta, Struct, field

from trajgen.backends import gguf
from trajgen.backends.engine import Completion, Engine, EngineClient, EngineError, EngineSettings, require_engine
from trajgen.backends.grammar import as_text, grammar_of, read_call, schema_grammar, tools_schema
from trajgen.backends.wire import encode_message
from trajgen.chat import Message, Reply, Usage
from trajgen.errors import UserError, nearest
from trajgen.messages import tool_schema
from trajgen.strict import shown
from trajgen.types import Json, Tool, as_written

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]

# nothing hidden: the engine's own defaults cut the distribution, and a log-probability would not be that of a sample
DEFAULT_SAMPLING: dict[str, Json] = {
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "max_tokens": 256,
    "logprobs": True,
}
_MORE_SAMPLING = ("stop", "presence_penalty", "frequency_penalty", "repeat_penalty")
_SAMPLING = (*DEFAULT_SAMPLING, *_MORE_SAMPLING)
_REMEMBERED = 256  # conversations whose tokens are kept


class LocalConfig(Struct, frozen=True):
    """Keys of the backend.

    Attributes:
        model: A name of `trajgen models list`, or the path of a GGUF file.
        sampling: Over `DEFAULT_SAMPLING`: temperature, top_p, top_k, min_p, max_tokens, logprobs, stop,
            presence_penalty, frequency_penalty, repeat_penalty.
        constrain: Hold the model to one well-formed call of one of its tools; without it, it may write anything, and
            sees the tools only where its template shows them.
        n_threads: Of the engine. More than one is faster alone, and many times slower beside busy simulators.
        n_slots: Replies made at once; each has a context of its own.
        n_ctx: Tokens of prompt and reply together.
        cache_mib: Memory for prompts of further conversations, so that they need not be read again.
        timeout_s: Wall seconds for one reply, once it is its turn.
    """

    model: str
    sampling: dict[str, Json] = field(default_factory=dict)
    constrain: bool = True
    n_threads: Count = 1
    n_slots: Count = 2
    n_ctx: Annotated[int, Meta(ge=64)] = 4096
    cache_mib: Annotated[int, Meta(ge=0)] = 512
    timeout_s: Seconds = 60.0

    def __post_init__(self) -> None:
        """Refuse sampling keys that the engine would pass over in silence."""
        check_sampling(self.sampling)


def check_sampling(sampling: Mapping[str, Json]) -> None:
    """Refuse keys that are not known here.

    Raises:
        ValueError: names the key and the nearest one.
    """
    for key in sampling:
        if key not in _SAMPLING:
            hint = nearest(key, _SAMPLING) or f"; it takes {', '.join(_SAMPLING)}"
            raise ValueError(f"sampling.{key}: expected a key the engine knows, found {key!r}{hint}")


class ConstraintRefused(UserError):
    """The engine cannot hold a reply to this constraint."""


class LocalBackend:
    """A model in this process, through llama.cpp.

    Raises:
        MissingExtra: xllamacpp is not installed.
        UserError: the model is not on this machine; the message says what to type.
    """

    config: ClassVar[type[Struct]] = LocalConfig
    not_identity: ClassVar[frozenset[str]] = frozenset({"n_threads", "n_slots", "cache_mib", "timeout_s"})

    def __init__(self, config: LocalConfig) -> None:
        require_engine()
        self._config = config
        self._path = gguf.locate(config.model)
        self._name = config.model if config.model in gguf.MODELS else self._path.name
        self._turns = asyncio.Semaphore(config.n_slots)
        self._opening = asyncio.Lock()
        self._client: EngineClient | None = None
        self._spoken = _Spoken()
        self._end: int | None = None

    async def generate(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool],
        *,
        seed: int | None = None,
        sampling: Mapping[str, Json] | None = None,
        constraint: Mapping[str, Json] | None = None,
    ) -> Reply:
        """See `trajgen.protocols.Backend`. Keys of `sampling` win over the backend's own.

        Raises:
            ConstraintRefused: the engine cannot hold a reply to `constraint`.
            EngineError: no reply within `timeout_s`, or the engine failed.
        """
        held = bool(tools) and self._config.constrain and not constraint
        options = self._options(seed, sampling)
        n_predict = options.pop("max_tokens")
        if constraint:
            options["grammar"] = grammar_of(constraint)
        elif held:
            options["grammar"] = schema_grammar(tools_schema(tools))
        async with self._turns:
            client = await self._ready()
            try:
                async with asyncio.timeout(self._config.timeout_s):
                    prompt, ids = await self._prompt(client, messages, () if constraint else tools)
                    if len(ids) >= self._config.n_ctx:
                        return self._too_long(len(ids))
                    done = await client.complete(ids, n_predict, options)
            except TimeoutError:
                raise EngineError(
                    f"{self._name}: no reply within timeout_s = {self._config.timeout_s:g}; raise it, or lower "
                    "sampling.max_tokens"
                ) from None
            except EngineError as error:
                if constraint and "grammar" in str(error):
                    raise ConstraintRefused(
                        f"constraint: the engine cannot hold the model to it, as it cannot be read, or the model's "
                        f"vocabulary lacks a character of it: {error}"
                    ) from error
                raise
        _check_held(done, constraint, held=held)
        return self._reply(prompt, ids, done, held=held)

    async def score(self, messages: Sequence[Message], candidates: Sequence[str]) -> Sequence[float]:
        """Return the log-likelihood (natural log, summed over its tokens) of each candidate as the next reply.

        The mark that ends a reply is not counted. Exact: probabilities are those of the model, before any sampling
        setting. Beginnings that candidates share are weighed once.

        Raises:
            ValueError: a candidate is empty.
            UserError: prompt and candidate do not fit into `n_ctx` tokens.
        """
        if not all(candidates):
            raise ValueError("score: expected texts, found an empty one")
        async with self._turns:
            client = await self._ready()
            prompt, ids = await self._prompt(client, messages, ())
            texts = [await _behind(client, prompt, ids, text) for text in candidates]
            longest = len(ids) + max(map(len, texts), default=0)
            if longest > self._config.n_ctx:
                raise UserError(f"n_ctx: expected at least {longest} to weigh these texts, found {self._config.n_ctx}")
            known: dict[tuple[int, ...], float] = {}
            for tokens in sorted(set(texts)):
                await self._weigh(client, ids, tokens, known)
        return [sum(known[tokens[: i + 1]] for i in range(len(tokens))) for tokens in texts]

    async def close(self) -> None:
        """Let go of the engine; it ends where nobody else uses it. The backend is not used again."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _ready(self) -> EngineClient:
        async with self._opening:
            if self._client is None:
                # kept at once, so that `close` finds it whatever happens next
                self._client = EngineClient(await asyncio.to_thread(self._start))
                self._end = await _end_of_turn(self._client)
            return self._client

    def _start(self) -> Engine:
        model = gguf.MODELS.get(self._config.model)
        if model is not None:
            gguf.check(self._path, model)
        c = self._config
        return Engine.shared(EngineSettings(self._path.resolve(), c.n_threads, c.n_slots, c.n_ctx, c.cache_mib))

    def _options(self, seed: int | None, sampling: Mapping[str, Json] | None) -> dict[str, Json]:
        check_sampling(sampling or {})
        options = DEFAULT_SAMPLING | self._config.sampling | dict(sampling or {})
        options["n_probs"] = 1 if options.pop("logprobs") else 0
        if seed is not None:
            options["seed"] = seed
        return {**options, "cache_prompt": True, "return_tokens": True}

    async def _prompt(
        self, client: EngineClient, messages: Sequence[Message], tools: Sequence[Tool]
    ) -> tuple[str, tuple[int, ...]]:
        """Return the prompt as text and as tokens; what the model wrote before keeps its own tokens."""
        own = self._config.constrain
        chat = as_text(messages, tools) if own else iter(messages)
        offered = b"[]" if own or not tools else orjson.dumps([tool_schema(t) for t in tools])
        prompt = await client.render(b"[" + b",".join(map(encode_message, chat)) + b"]", offered)
        before, ids = self._spoken.longest(prompt)
        rest = prompt[len(before) :]
        return prompt, (*ids, *await client.tokenize(rest, begins=not ids, special=True))

    def _reply(self, prompt: str, ids: tuple[int, ...], done: Completion, *, held: bool) -> Reply:
        tokens, logprobs = tuple(done.tokens), done.logprobs()
        if done.stop_type == "eos" and self._end is not None and tokens and tokens[-1] != self._end:
            # an end that the grammar wrote and the template does not: no part of the conversation
            tokens, logprobs = tokens[:-1], logprobs and logprobs[:-1]
        if done.stop_type != "word":  # else the text is shorter than its tokens
            own = tokens[:-1] if tokens and tokens[-1] == self._end else tokens
            self._spoken.add(prompt + done.content, (*ids, *own))
        whole = done.stop_type != "limit"
        call = read_call(done.content) if held and whole else None
        return Reply(
            text=None if call else done.content,
            calls=(call,) if call else (),
            finish_reason="length" if not whole else "tool_calls" if call else "stop",
            usage=Usage(len(ids), len(done.tokens), done.timings.cache_n),
            model=self._name,
            raw=as_written({"role": "assistant", "content": done.content}),
            prompt_token_ids=ids,
            token_ids=tokens,
            logprobs=None if logprobs is None else tuple(logprobs),
        )

    def _too_long(self, n_tokens: int) -> Reply:
        said = f"the prompt has {n_tokens} tokens, and n_ctx is {self._config.n_ctx}"
        return Reply(None, raw=said, error_kind="context", usage=Usage(n_tokens), model=self._name)

    async def _weigh(
        self, client: EngineClient, ids: tuple[int, ...], tokens: tuple[int, ...], known: dict[tuple[int, ...], float]
    ) -> None:
        """Add the log-probability of each token to `known`, under the tokens up to it."""
        n = 0
        while n < len(tokens) and tokens[: n + 1] in known:
            n += 1
        if n == len(tokens):
            return
        try:
            async with asyncio.timeout(self._config.timeout_s):
                found = await client.force((*ids, *tokens[:n]), tokens[n:])
        except TimeoutError:
            raise EngineError(f"{self._name}: no score within timeout_s = {self._config.timeout_s:g}") from None
        for i, logprob in enumerate(found, n + 1):
            known[tokens[:i]] = logprob


class _Spoken:
    """Tokens of conversations up to where the model last spoke, by their text. Bounded; the oldest go first."""

    def __init__(self) -> None:
        self._ids: dict[str, tuple[int, ...]] = {}

    def add(self, text: str, ids: tuple[int, ...]) -> None:
        self._ids.pop(text, None)
        self._ids[text] = ids
        while len(self._ids) > _REMEMBERED:
            del self._ids[next(iter(self._ids))]

    def longest(self, prompt: str) -> tuple[str, tuple[int, ...]]:
        """Return the longest known beginning of `prompt`, and its tokens; empty where none is known."""
        text = max((t for t in self._ids if prompt.startswith(t)), key=len, default="")
        return text, self._ids.get(text, ())


def _check_held(done: Completion, constraint: Mapping[str, Json] | None, *, held: bool) -> None:
    """Refuse what the engine let through: it drops what it cannot compile, and says so only on stderr."""
    if done.stop_type != "eos":
        return
    if constraint and not _keeps(done.content, *next(iter(constraint.items()))):
        (kind,) = constraint
        raise ConstraintRefused(
            f"constraint.{kind}: expected a reply that keeps to it, found {shown(done.content)}: the engine cannot "
            "compile it; simplify it"
        )
    if held and not _is_json(done.content):
        raise ConstraintRefused(
            f"tools: expected one call, found {shown(done.content)}: the engine cannot compile the schema of a tool; "
            "simplify it (`pattern` first), or set constrain = false"
        )


def _keeps(text: str, kind: str, value: Json) -> bool:
    if kind in {"json_schema", "json"}:
        return _is_json(text) and jsonschema_rs.is_valid(value, json.loads(text))
    if kind == "regex":
        try:
            return re.fullmatch(value, text) is not None
        except re.error:
            return True  # in the engine's dialect, and not in Python's
    return kind != "choice" or text in value


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


async def _behind(client: EngineClient, prompt: str, ids: tuple[int, ...], text: str) -> tuple[int, ...]:
    """Return the tokens of `text` behind the prompt, as the model would read them."""
    whole = await client.tokenize(prompt + text, begins=True, special=True)
    if whole[: len(ids)] == ids and len(whole) > len(ids):
        return whole[len(ids) :]
    # the border would melt into one token, or the prompt holds tokens as the model once wrote them
    return await client.tokenize(text, begins=False, special=False)


async def _end_of_turn(client: EngineClient) -> int | None:
    """Return the token that the template writes behind a reply; None where that cannot be seen."""
    asked, said, more = Message("user", "a"), Message("assistant", "b"), Message("user", "c")
    start = await client.render(b"[" + encode_message(asked) + b"]") + said.content
    whole = await client.render(b"[" + b",".join(map(encode_message, (asked, said, more))) + b"]")
    if not whole.startswith(start):
        return None
    tokens = await client.tokenize(whole[len(start) :], begins=False, special=True)
    return tokens[0] if tokens else None
