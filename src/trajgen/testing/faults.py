"""Every way a model server was seen to fail, by name, and a server that fails in them.

    with FaultyServer(lambda request: "hello", {0: "rate_limit_429"}) as server:      # the first request
        backend = OpenAIBackend(OpenAIConfig(server.base_url, "any"))

    FaultyServer(answer, "cut_body")                                                  # every request
    FaultyServer(answer, share={"error_500": 0.2, "disconnect": 0.1}, seed=7)         # 30 % of them
    print(FAULTS["empty_choices"].means)

Which requests a share hits is a function of the seed, of what is asked, and of how often the same was asked before: so
a job meets the same faults however its calls are ordered. Knows the wire, and no backend.
"""

from __future__ import annotations

import copy
import gzip
import json
from collections import Counter
from hashlib import blake2b
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from trajgen.errors import UnknownName, nearest
from trajgen.testing.server import (
    Request,
    ServerFault,
    cut,
    disconnect,
    drip,
    flood,
    garbage,
    hang,
    mislabelled,
    reset,
    serve,
    spoiled,
    status,
)
from trajgen.types import to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from types import TracebackType

    from trajgen.testing.server import Answer, Server, Spoil

_FOR_EVER_S = 3_600.0
_TOO_LONG = "This model's maximum context length is 1024 tokens. However, you requested 2048 tokens."
_PAGE = b"<html><head><title>502 Bad Gateway</title></head><body><center>nginx</center></body></html>"
_LONE = chr(0xD800)  # half of a surrogate pair

# ------------------------------------------------------------------------------------- spoiling a good completion


def _choice(**fields: Any) -> Spoil:
    """Return a spoiler that sets fields of the first choice."""

    def spoil(completion: dict[str, Any], _: Request) -> dict[str, Any]:
        first, *rest = completion["choices"]
        return completion | {"choices": [first | fields, *rest]}

    return spoil


def _message(**fields: Any) -> Spoil:
    """Return a spoiler that sets fields of the first choice's message."""

    def spoil(completion: dict[str, Any], request: Request) -> dict[str, Any]:
        message = completion["choices"][0]["message"]
        return _choice(message=message | fields)(completion, request)

    return spoil


def _call(change: Callable[[dict[str, Any]], object]) -> Spoil:
    """Return a spoiler that changes the function of the first call; without a call, there is one of the first tool."""

    def spoil(completion: dict[str, Any], request: Request) -> dict[str, Any]:
        calls = copy.deepcopy(completion["choices"][0]["message"].get("tool_calls")) or [_a_call(request)]
        change(calls[0]["function"])
        called = _message(tool_calls=calls)(completion, request)
        return _choice(finish_reason="tool_calls")(called, request)

    return spoil


def _arguments(of: Callable[[str], object]) -> Spoil:
    """Return a spoiler that replaces the arguments of the first call by what `of` makes of them."""
    return _call(lambda function: function.update(arguments=of(function["arguments"])))


def _a_call(request: Request) -> dict[str, Any]:
    tools = request.get("tools") or [{"function": {"name": "anything"}}]
    return {"id": "c", "type": "function", "function": {"name": tools[0]["function"]["name"], "arguments": "{}"}}


def _object_of(arguments: str) -> object:
    try:
        return json.loads(arguments)
    except ValueError:
        return {}


def _duplicate_keys(arguments: str) -> str:
    found = _object_of(arguments)
    key, value = next(iter(found.items()), ("a", 1)) if isinstance(found, dict) else ("a", 1)
    return f"{{{json.dumps(key)}: {json.dumps(value)}, {json.dumps(key)}: 0}}"


def _duplicate_ids(completion: dict[str, Any], request: Request) -> dict[str, Any]:
    calls = completion["choices"][0]["message"].get("tool_calls") or [_a_call(request)]
    return _message(tool_calls=[calls[0], calls[0]])(completion, request)


def _part(completion: dict[str, Any], request: Request) -> dict[str, Any]:
    text = completion["choices"][0]["message"].get("content") or ""
    return _message(content=[{"type": "text", "text": text}])(completion, request)


def _tokens(*tokens: Mapping[str, object]) -> Spoil:
    return _choice(logprobs={"content": list(tokens)})


# ------------------------------------------------------------------------------------- the names

_WHOLE: dict[str, tuple[ServerFault, str]] = {
    "rate_limit_429": (status(429, "Rate limit reached"), "429 without a word on when to come back"),
    "rate_limit_retry_after": (
        status(429, "Slow down", retry_after_s=0.1),
        "429 with Retry-After, a tenth of a second",
    ),
    "unavailable_503": (status(503, "The model is loading"), "503, as while a model loads"),
    "error_500": (status(500, "Internal server error"), "500 with an error in JSON"),
    "bad_gateway_html": (garbage(_PAGE, 502, content_type="text/html"), "502 with a proxy's page of HTML"),
    "timeout_hang": (hang(_FOR_EVER_S), "takes the request and says nothing for an hour"),
    "slow_drip": (drip(_FOR_EVER_S), "a good answer byte by byte, over an hour: no single read ever times out"),
    "cut_body": (cut(), "the connection closes in the middle of the body"),
    "disconnect": (disconnect(), "the connection closes without an answer"),
    "connection_reset_mid_headers": (reset(), "the connection is reset in the middle of the headers"),
    "redirect": (garbage(b"", 307, headers={"Location": "/elsewhere"}), "307 to another path"),
    "unauthorized_401": (status(401, "Incorrect API key provided"), "401: no key, or a wrong one"),
    "not_found_404": (status(404, "The model does not exist"), "404: another path, or an unknown model"),
    "context_length_400": (status(400, _TOO_LONG), "400: the prompt is longer than the model's context"),
    "huge_body_50mb": (flood(50 * 10**6), "a good answer with 50 MB of text, whose length is not announced"),
    "wrong_content_type": (mislabelled("text/plain"), "a good answer labelled as plain text"),
}

_BODIES: dict[str, tuple[bytes, str]] = {
    "empty_body": (b"", "200 with no body"),
    "not_json": (b"upstream timed out", "200 with a line of text"),
    "null_body": (b"null", "200 with null"),
    "empty_choices": (b'{"choices": []}', "an empty list of choices"),
    "no_message": (b'{"choices": [{"index": 0, "finish_reason": "stop"}]}', "a choice that has no message"),
    "null_message": (b'{"choices": [{"index": 0, "message": null}]}', "a choice whose message is null"),
    "list_message": (b'{"choices": [{"index": 0, "message": []}]}', "a choice whose message is a list"),
    "error_in_200": (b'{"error": {"message": "overloaded", "code": 500}}', "200 with an error 500 in the body"),
    "context_length_in_200": (
        json.dumps({"error": {"message": _TOO_LONG, "code": "context_length_exceeded"}}).encode(),
        "200 with the error that the prompt is too long",
    ),
}

_SPOILED: dict[str, tuple[Spoil, str]] = {
    "content_list": (_part, "the text as a list of parts"),
    "content_lone_surrogate": (_message(content=f"hm {_LONE}"), "half of a surrogate pair in the text"),
    "null_content": (_message(content=None, tool_calls=None), "neither text nor calls"),
    "null_tool_name": (_call(lambda f: f.update(name=None)), "a call whose name is null"),
    "unknown_tool": (_call(lambda f: f.update(name="no_such_tool")), "a call of a tool that was not offered"),
    "null_tool_calls": (_message(content="I wait.", tool_calls=None), "text, and null for the list of calls"),
    "tool_calls_object": (_message(tool_calls={"name": "x"}), "an object where the list of calls should be"),
    "missing_arguments": (_call(lambda f: f.pop("arguments")), "a call without arguments, not even empty ones"),
    "arguments_object": (_arguments(_object_of), "the arguments as an object instead of a string of one"),
    "arguments_double_encoded": (_arguments(json.dumps), "the arguments as JSON of a JSON string"),
    "arguments_nan": (_arguments(lambda _: '{"n": NaN}'), "NaN in the arguments"),
    "arguments_duplicate_keys": (_arguments(_duplicate_keys), "a key twice in the arguments"),
    "arguments_lone_surrogate": (_arguments(lambda _: '{"n": "\\ud800"}'), "half of a surrogate pair in them"),
    "arguments_10k_digits": (_arguments(lambda _: '{"n": %s}' % ("9" * 10_000)), "a whole number of 10,000 digits"),
    "arguments_deep_nesting": (_arguments(lambda _: '{"n": %s}' % ("[" * 10_000 + "]" * 10_000)), "10,000 lists deep"),
    "arguments_not_json": (_arguments(lambda _: "{'n': 1,"), "arguments that are no JSON"),
    "arguments_list": (_arguments(lambda _: "[1, 2]"), "a list as arguments"),
    "finish_length": (_choice(finish_reason="length"), "the reply was truncated at the limit of tokens"),
    "finish_null": (_choice(finish_reason=None), "null as the finish reason, as servers give that were interrupted"),
    "duplicate_call_ids": (_duplicate_ids, "two calls with one id"),
    "logprobs_missing_one": (_tokens({"token": "a", "logprob": -0.5}, {"token": "b"}), "a token without its logprob"),
    "logprobs_nan": (_tokens({"token": "a", "logprob": float("nan")}), "NaN as a logprob, which is not even JSON"),
    "token_ids_strings": (_choice(token_ids=["token_id:1", "token_id:2"]), "token ids as text"),
    "usage_negative": (
        lambda completion, _: completion | {"usage": {"prompt_tokens": -1, "completion_tokens": -1}},
        "negative counts of tokens",
    ),
}


def _named() -> dict[str, ServerFault]:
    faults = {name: fault._replace(means=means) for name, (fault, means) in _WHOLE.items()}
    faults |= {name: garbage(body)._replace(means=means) for name, (body, means) in _BODIES.items()}
    faults |= {name: spoiled(spoil)._replace(means=means) for name, (spoil, means) in _SPOILED.items()}
    page = garbage(_PAGE, content_type="text/html")
    faults["html_200"] = page._replace(means="200 with a page of HTML, as from a login wall")
    torn = garbage(gzip.compress(b"{}" * 100, mtime=0)[:12] + b"torn", headers={"Content-Encoding": "gzip"})
    faults["gzip_garbage"] = torn._replace(means="a body that says it is gzip and is not")
    return faults


FAULTS: Mapping[str, ServerFault] = MappingProxyType(_named())


# ------------------------------------------------------------------------------------- the server


class FaultyServer:
    """A chat server on the loopback that fails as told; see `trajgen.testing.server.serve`.

    Args:
        answer: What a good answer is, called in the server's thread with each request; faults spoil it.
        fault: A name of `FAULTS` for every request; or names by number of request, from 0.
        share: Names and the share of requests they hit; together at most 1. Instead of `fault`.
        seed: Of the draws for `share`.

    Attributes:
        given: The name of the fault that each request met, in order; None for a good answer.

    Raises:
        UnknownName: no such fault.
        ValueError: shares that are below 0 or above 1 together, or beside `fault`.
    """

    def __init__(
        self,
        answer: Callable[[Request], Answer],
        fault: str | Mapping[int, str] | None = None,
        *,
        share: Mapping[str, float] | None = None,
        seed: int = 0,
    ) -> None:
        if share and (fault is not None or min(share.values()) < 0 or sum(share.values()) > 1 + 1e-9):
            raise ValueError(f"share: expected shares from 0 to 1 in all, and no `fault` beside, found {dict(share)}")
        self._fault = fault
        self._share, self._seed = dict(share or {}), seed
        by_number = [] if fault is None else [fault] if isinstance(fault, str) else list(fault.values())
        for name in [*by_number, *self._share]:
            if name not in FAULTS:
                known = nearest(name, FAULTS) or f"; there are: {', '.join(FAULTS)}"
                raise UnknownName(f"no fault {name!r}{known}")
        self._asked: Counter[bytes] = Counter()
        self.given: list[str | None] = []
        self._serving: AbstractContextManager[Server] = serve(answer, faults=self._next)
        self._server: Server | None = None

    def __enter__(self) -> Server:
        self._server = self._serving.__enter__()
        return self._server

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._serving.__exit__(kind, error, trace)

    def _next(self, number: int) -> ServerFault | None:
        name = self._drawn(number) if self._share else self._told(number)
        self.given.append(name)
        return None if name is None else FAULTS[name]

    def _told(self, number: int) -> str | None:
        if self._fault is None or isinstance(self._fault, str):
            return self._fault
        return self._fault.get(number)

    def _drawn(self, number: int) -> str | None:
        if self._server is None:  # nobody knows the address before
            raise RuntimeError("a request came before the server was entered")
        request = blake2b(to_json(self._server.requests[number]).encode(), digest_size=16).digest()
        asked = b"%d:%d:%b" % (self._seed, self._asked[request], request)
        self._asked[request] += 1
        left = int.from_bytes(blake2b(asked, digest_size=8).digest(), "big") / 2**64
        for name, share in self._share.items():
            left -= share
            if left < 0:
                return name
        return None
