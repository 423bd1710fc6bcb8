"""Chat completions on the wire: messages, tools and sampling -> bytes of a request; bytes of an answer -> `Reply`.

The bytes of a message never change, so each is encoded once and joined from then on (a 23 KB history costs 2 us
instead of 20). An answer without a message object is `NotACompletion`, the server's failure; one whose message is
malformed is a `Reply` with `error_kind`, as the model may have caused it. Nothing else is raised. Field names beyond OpenAI's are vLLM's: `prompt_token_ids`, `token_ids`, `reasoning`. Knows no socket.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import orjson
from msgspec import Raw, Struct

from trajgen.chat import EmittedCall, Reply, Usage
from trajgen.messages import tool_schema
from trajgen.replies.arguments import readable
from trajgen.types import to_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trajgen.chat import Message
    from trajgen.types import Json, Tool

_CACHE_BYTES = 16 * 2**20  # some 300 episodes of 50 KB
_CACHED_TOOL_SETS = 256
_HUGE = 1e9  # beyond any log-probability; also keeps an integer of many digits out of `float`
_KINDS = ("choice", "grammar", "regex", "json")  # of `structured_outputs`

# ------------------------------------------------------------------------------------- requests


class RequestEncoder:
    """Writes request bodies; shared by all episodes of a worker, bounded in memory.

    Args:
        model: As the server knows it.
        sampling: Keys beside `model`, `messages`, `tools` and `seed`, e.g. `temperature`.
    """

    def __init__(self, model: str, sampling: Mapping[str, Json]) -> None:
        self._model, self._sampling = model, dict(sampling)
        self._head = self._encode_head(None)
        # by identity: hashing a message would read all of it; the reference keeps the id from being reused
        self._messages: dict[int, tuple[Message, bytes]] = {}
        self._n_bytes = 0
        self._tools: dict[tuple[int, ...], tuple[tuple[Tool, ...], bytes]] = {}

    def body(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool],
        *,
        seed: int | None,
        sampling: Mapping[str, Json] | None,
        constraint: Mapping[str, Json] | None,
    ) -> bytes:
        """Return the JSON of one request. Keys of `sampling` win over the backend's own."""
        parts = [self._encode_head(sampling) if sampling else self._head]
        if seed is not None:
            parts.append(b',"seed":%d' % seed)
        if tools:
            parts.append(self._encoded_tools(tools))
        if constraint:
            parts.append(b"," + orjson.dumps(constraint_keys(constraint))[1:-1])
        known = self._messages
        encoded = []
        for message in messages:
            found = known.get(id(message))
            encoded.append(found[1] if found is not None else self._add(message))
        return b'%b,"messages":[%b]}' % (b"".join(parts), b",".join(encoded))

    def _encode_head(self, sampling: Mapping[str, Json] | None) -> bytes:
        return orjson.dumps({"model": self._model, **self._sampling, **(sampling or {})})[:-1]

    def _add(self, message: Message) -> bytes:
        encoded = encode_message(message)
        self._messages[id(message)] = (message, encoded)
        self._n_bytes += len(encoded)
        while self._n_bytes > _CACHE_BYTES and len(self._messages) > 1:
            oldest = next(iter(self._messages))
            self._n_bytes -= len(self._messages.pop(oldest)[1])
        return encoded

    def _encoded_tools(self, tools: Sequence[Tool]) -> bytes:
        key = tuple(map(id, tools))
        found = self._tools.get(key)
        if found is None:
            if len(self._tools) >= _CACHED_TOOL_SETS:
                del self._tools[next(iter(self._tools))]
            found = (tuple(tools), b',"tools":' + orjson.dumps([tool_schema(t) for t in tools]))
            self._tools[key] = found
        return found[1]


def encode_message(message: Message) -> bytes:
    """Return one message as chat servers take it, all its fields included."""
    fields: dict[str, object] = {"role": message.role, "content": message.content}
    if message.reasoning_content is not None:
        fields["reasoning_content"] = message.reasoning_content
    if message.tool_calls:
        fields["tool_calls"] = [
            {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
            for c in message.tool_calls
        ]
    if message.tool_call_id is not None:
        fields["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        fields["name"] = message.name
    try:
        return orjson.dumps(fields)
    except orjson.JSONEncodeError:  # half of a surrogate pair somewhere in a text
        return orjson.dumps(_mended(fields))


def _mended(value: Any) -> Any:  # JSON in, JSON out
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, dict):
        return {key: _mended(item) for key, item in value.items()}
    return [_mended(item) for item in value] if isinstance(value, list) else value


def constraint_keys(constraint: Mapping[str, Json]) -> dict[str, Json]:
    """Return the request keys that make a server keep to `constraint`.

    Args:
        constraint: `{"json_schema": SCHEMA}`, understood everywhere; or one of `choice`, `grammar`, `regex`, `json`
            with its value, which vLLM's `structured_outputs` understands.

    Raises:
        ValueError: another key.
    """
    (kind, value), *more = constraint.items()
    if kind == "json_schema" and not more:
        named = {"name": "reply", "schema": value, "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": named}}
    if kind in _KINDS and not more:
        return {"structured_outputs": {kind: value}}
    raise ValueError(f"constraint: expected one key of json_schema, {', '.join(_KINDS)}, found {sorted(constraint)}")


# ------------------------------------------------------------------------------------- answers


class _Choice(Struct):
    message: Raw
    finish_reason: Any = None
    token_ids: Any = None
    logprobs: Any = None


class _Completion(Struct):
    choices: list[_Choice]
    model: Any = None
    usage: Any = None
    prompt_token_ids: Any = None


class _Message(Struct):
    content: Any = None
    tool_calls: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: Any = None


_completion = msgspec.json.Decoder(_Completion)
_message = msgspec.json.Decoder(_Message)


class NotACompletion(Exception):
    """The server answered something without a message of the model's; says what was found instead."""


def read_completion(body: bytes) -> Reply:
    """Read the answer to one request.

    A message object that cannot be used gives `error_kind` "bad_message" and the body in `raw`.

    Raises:
        NotACompletion: no JSON, no list of choices, an empty one, or a first choice without a message object.
    """
    try:
        completion = _completion.decode(body)
    except msgspec.ValidationError as error:
        raise NotACompletion("JSON that is no chat completion") from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        if _has_message(body):
            return _bad_message(body)
        raise NotACompletion("a body that is no JSON" if body.strip() else "an empty body") from error
    if not completion.choices:
        raise NotACompletion("an empty list of choices")
    choice = completion.choices[0]
    given = bytes(choice.message)
    if not given.startswith(b"{"):
        raise NotACompletion("a choice whose message is no object")
    try:
        raw = given.decode()
        message = _message.decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _bad_message(body)
    if not (message.tool_calls is None or isinstance(message.tool_calls, list)):
        return _bad_message(body)
    return Reply(
        text=_text(message.content) or _str(message.refusal),
        calls=tuple(map(_emitted, message.tool_calls or ())),
        reasoning=_str(message.reasoning_content) or _str(message.reasoning),
        finish_reason=_str(choice.finish_reason),
        usage=_usage(completion.usage),
        model=_str(completion.model),
        raw=raw,
        prompt_token_ids=_ints(completion.prompt_token_ids),
        token_ids=_ints(choice.token_ids),
        logprobs=_logprobs(choice.logprobs),
    )


def _bad_message(body: bytes) -> Reply:
    return Reply(None, raw=body[:10_000].decode("utf-8", "replace"), error_kind="bad_message")


def _has_message(body: bytes) -> bool:
    """Whether a message object can be found where msgspec finds no JSON: a model can write half of a surrogate pair."""
    try:
        data = json.loads(body, parse_constant=_refuse)
        return isinstance(data["choices"][0]["message"], dict)
    except (ValueError, LookupError, TypeError, RecursionError):
        return False


def _refuse(constant: str) -> float:
    raise ValueError(constant)  # NaN or Infinity outside of a text: written by the server, not by the model


def _text(content: Any) -> str | None:
    """Return text that may come as a list of parts; parts that are no text are left out."""
    if not isinstance(content, list):
        return _str(content)
    parts = [p if isinstance(p, str) else p.get("text") if isinstance(p, dict) else None for p in content]
    return "".join(p for p in parts if isinstance(p, str)) or None


def _emitted(call: Any) -> EmittedCall:
    given = call if isinstance(call, dict) else {}
    function = given.get("function")
    function = function if isinstance(function, dict) else {}
    return EmittedCall(_str(given.get("id")), _str(function.get("name")), _arguments(function.get("arguments")))


def _arguments(given: Any) -> str:
    """Return the untouched string; some servers send an object instead, which becomes one."""
    if isinstance(given, str):
        return given
    return "" if given is None else to_json(given)


def _usage(given: Any) -> Usage:
    if not isinstance(given, dict):
        return Usage()
    details = given.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    return Usage(_int(given.get("prompt_tokens")), _int(given.get("completion_tokens")), _int(cached))


def _logprobs(given: Any) -> tuple[float, ...] | None:
    content = given.get("content") if isinstance(given, dict) else None
    if not isinstance(content, list):
        return None
    found: list[float] = []
    for token in content:
        logprob = token.get("logprob") if isinstance(token, dict) else None
        if not isinstance(logprob, int | float) or abs(logprob) > _HUGE:
            return None  # one number missing, and the rest could not be told from a shifted list
        found.append(float(logprob))
    return tuple(found)


def _str(given: Any) -> str | None:
    return given if isinstance(given, str) else None


def _int(given: Any) -> int | None:
    # counts are stored as 64-bit integers
    return given if isinstance(given, int) and not isinstance(given, bool) and 0 <= given < 2**63 else None


def _ints(given: Any) -> tuple[int, ...] | None:
    return tuple(given) if isinstance(given, list) and all(_int(i) is not None for i in given) else None
