"""A chat server on the loopback, driven by a Python function: real sockets, no model. For tests and examples.

    with serve(lambda request: "hello") as server:
        backend = OpenAIBackend(OpenAIConfig(server.base_url, "any"))

It runs in a thread of its own, so it serves this process and its workers alike. Faults are real too: a body that is
cut is cut, one that drips drips. `trajgen.testing.faults` has a name for each.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from aiohttp import web

from trajgen.errors import Fault, boundary

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Request = dict[str, Any]  # the JSON of a chat completion request
Answer = str | dict[str, Any]  # text; or an assistant message; or a whole body, which has `choices`
Spoil = Callable[[dict[str, Any], Request], dict[str, Any]]  # (a good completion, what was asked) -> a bad one

_BLOCK = b"x" * 2**16


class ServerFault(NamedTuple):
    """What the server does instead of answering well; made by the functions below.

    Attributes:
        means: What it is, in one line.
    """

    kind: Literal["status", "cut", "drip", "body", "hang", "disconnect", "reset", "flood", "spoiled", "mislabelled"]
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = {}
    seconds: float = 0.0
    content_type: str = "application/json"
    n_bytes: int = 0
    spoil: Spoil | None = None
    means: str = ""


def status(code: int, message: str = "scripted", *, retry_after_s: float | None = None) -> ServerFault:
    """Answer with an HTTP error in OpenAI's form."""
    headers = {} if retry_after_s is None else {"Retry-After": f"{retry_after_s:g}"}
    return ServerFault("status", code, json.dumps({"error": {"message": message}}).encode(), headers)


def garbage(
    body: bytes, code: int = 200, *, content_type: str = "application/json", headers: Mapping[str, str] | None = None
) -> ServerFault:
    """Answer with these bytes."""
    return ServerFault("body", code, body, headers or {}, content_type=content_type)


def cut() -> ServerFault:
    """Close the connection in the middle of a good answer's body."""
    return ServerFault("cut")


def drip(seconds: float) -> ServerFault:
    """Send a good answer byte by byte, so slowly that all of it would take `seconds`."""
    return ServerFault("drip", seconds=seconds)


def hang(seconds: float) -> ServerFault:
    """Say nothing for so long, then answer well."""
    return ServerFault("hang", seconds=seconds)


def disconnect() -> ServerFault:
    """Close the connection without a word."""
    return ServerFault("disconnect")


def reset() -> ServerFault:
    """Send half of the headers, then reset the connection."""
    return ServerFault("reset")


def flood(n_bytes: int) -> ServerFault:
    """Send a good answer whose text is so long, in blocks and without saying beforehand how long."""
    return ServerFault("flood", n_bytes=n_bytes)


def spoiled(spoil: Spoil) -> ServerFault:
    """Answer with what `spoil` makes of the good completion."""
    return ServerFault("spoiled", spoil=spoil)


def mislabelled(content_type: str) -> ServerFault:
    """Send a good answer under another content type."""
    return ServerFault("mislabelled", content_type=content_type)


def calling(tool: str, arguments: str | Mapping[str, Any], text: str | None = None, *, call_id: str = "c") -> Answer:
    """Return an assistant message with one call; `arguments` may be any string, JSON or not."""
    raw = arguments if isinstance(arguments, str) else json.dumps(arguments)
    function = {"name": tool, "arguments": raw}
    return {"content": text, "tool_calls": [{"id": call_id, "type": "function", "function": function}]}


class Server:
    """A running server.

    Attributes:
        base_url: For `OpenAIConfig`.
        requests: Every request body so far, in order of arrival; faulty answers included.
        headers: Their HTTP headers.
        n_at_once: How many requests were open at once, at most.
    """

    def __init__(
        self,
        answer: Callable[[Request], Answer],
        faults: Sequence[ServerFault | None] | Callable[[int], ServerFault | None],
        latency_s: float,
    ) -> None:
        self._answer, self._latency_s = answer, latency_s
        self._fault = faults if callable(faults) else dict(enumerate(faults)).get
        self._n_open = 0
        self.n_at_once = 0
        self.base_url = ""
        self.requests: list[Request] = []
        self.headers: list[dict[str, str]] = []
        self.error: BaseException | None = None

    @property
    def n_requests(self) -> int:
        """How many requests came, the faulty ones included."""
        return len(self.requests)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        body = await request.read()
        number = len(self.requests)
        self.requests.append(json.loads(body))
        self.headers.append(dict(request.headers))
        self._n_open += 1
        self.n_at_once = max(self.n_at_once, self._n_open)
        try:
            return await self._respond(request, number, self._fault(number))
        finally:
            self._n_open -= 1

    async def _respond(self, request: web.Request, number: int, fault: ServerFault | None) -> web.StreamResponse:
        if self._latency_s:
            await asyncio.sleep(self._latency_s)
        if fault is None or fault.kind == "hang":
            await asyncio.sleep(0.0 if fault is None else fault.seconds)
            return _json(self._good(number))
        if fault.kind in {"cut", "drip"}:
            return await self._partly(request, self._good(number), fault)
        if fault.kind == "flood":
            return await self._flooded(request, fault.n_bytes)
        return self._at_once(request, number, fault)

    def _at_once(self, request: web.Request, number: int, fault: ServerFault) -> web.Response:
        if fault.kind in {"disconnect", "reset"}:
            _drop(request, half_a_header=fault.kind == "reset")
            return _json(b"")
        if fault.spoil is not None:
            return _json(json.dumps(fault.spoil(self._completion(number), self.requests[number])).encode())
        body = self._good(number) if fault.kind == "mislabelled" else fault.body
        return web.Response(status=fault.status, body=body, headers=fault.headers, content_type=fault.content_type)

    async def _partly(self, request: web.Request, body: bytes, fault: ServerFault) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(body))})
        await response.prepare(request)
        if fault.kind == "cut":
            await response.write(body[: len(body) // 2])
            _drop(request)
            return response
        for i in range(len(body)):
            await response.write(body[i : i + 1])
            await asyncio.sleep(fault.seconds / len(body))
        return response

    async def _flooded(self, request: web.Request, n_bytes: int) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        before, after = json.dumps(completion("HERE")).encode().split(b"HERE")
        await response.write(before)
        for _ in range(n_bytes // len(_BLOCK)):
            await response.write(_BLOCK)
        await response.write(after)
        return response

    def _good(self, number: int) -> bytes:
        return json.dumps(self._completion(number)).encode()

    def _completion(self, number: int) -> dict[str, Any]:
        try:
            with boundary("backend"):
                answer = self._answer(self.requests[number])
        except Fault as fault:  # raised again where the person who wrote the function sees it, by `serve`
            self.error = self.error or fault.__cause__ or fault
            answer = f"the function that drives this server raised: {fault}"
        return answer if isinstance(answer, dict) and "choices" in answer else completion(answer)


def completion(answer: Answer, **fields: Any) -> dict[str, Any]:
    """Return a whole chat completion around a text or an assistant message; `fields` are added at the top."""
    message = {"role": "assistant", **({"content": answer} if isinstance(answer, str) else answer)}
    reason = "tool_calls" if message.get("tool_calls") else "stop"
    return {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "created": 0,
        "model": "scripted",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        **fields,
    }


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")


def _drop(request: web.Request, *, half_a_header: bool = False) -> None:
    if request.transport is None:
        return
    if half_a_header:
        request.transport.write(b"HTTP/1.1 200 OK\r\nContent-Ty")
        # without lingering, closing resets the connection instead of ending it
        no_linger = struct.pack("ii", 1, 0)
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
    request.transport.abort()


@contextmanager
def serve(
    answer: Callable[[Request], Answer],
    *,
    faults: Sequence[ServerFault | None] | Callable[[int], ServerFault | None] = (),
    latency_s: float = 0.0,
) -> Iterator[Server]:
    """Serve `POST {base_url}/chat/completions` until the block ends.

    Args:
        answer: Called in the server's thread with each request. What it raises is raised at the end of the block.
        faults: By number of request, from 0; None and the end of the sequence mean a good answer.
        latency_s: Wall seconds before every answer.
    """
    server = Server(answer, faults, latency_s)
    loop = asyncio.new_event_loop()
    started: list[int] = []
    ready, over = threading.Event(), asyncio.Event()

    async def main() -> None:
        """Serve until the block is over."""
        app = web.Application(client_max_size=2**30)
        app.router.add_post("/v1/chat/completions", server.handle)
        # cancelled requests of a client that gave up end their handler, so that nothing outlives the block
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        started.append(runner.addresses[0][1])
        ready.set()
        await over.wait()
        await runner.cleanup()

    def run() -> None:
        try:
            loop.run_until_complete(main())
        finally:
            ready.set()
            loop.close()

    thread = threading.Thread(target=run, name="trajgen-test-server", daemon=True)
    thread.start()
    ready.wait()
    if not started:
        raise RuntimeError("the test server did not start; its thread printed why")
    server.base_url = f"http://127.0.0.1:{started[0]}/v1"
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
    if server.error is not None:
        raise server.error
