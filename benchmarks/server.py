"""The fixed language model of the benchmarks: a loopback server in a process of its own, cheap enough not to matter.

It speaks just enough HTTP and just enough of OpenAI's `/chat/completions`. The answer is a function of the request: a
history with k tool messages is answered by the call add(a=k, b=k+1), and after 7 of them by "ANSWER: 42". Base URLs:

    http://127.0.0.1:PORT/v1          answers at once
    http://127.0.0.1:PORT/ms50/v1     answers after 50 ms

It ends when its standard input does, so it cannot outlive who started it. Knows nothing of trajgen.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

N_TURNS = 8
ANSWER = "ANSWER: 42"
_TOOL_MESSAGE = b'"role":"tool"'
_DELAY = re.compile(rb" /ms(\d+)/")
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_END = b"\r\n\r\n"


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """Start a server and give `http://127.0.0.1:PORT`; it is gone afterwards."""
    command = [sys.executable, "-m", "benchmarks.server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()


@functools.cache
def answer(k: int) -> bytes:
    """Return the HTTP response to a history with `k` tool messages."""
    message: dict[str, object] = {"role": "assistant", "content": ANSWER}
    if k < N_TURNS - 1:
        function = {"name": "add", "arguments": json.dumps({"a": k, "b": k + 1})}
        message = {"role": "assistant", "content": None}
        message["tool_calls"] = [{"id": f"call_{k}_0", "type": "function", "function": function}]
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if "tool_calls" in message else "stop"}
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    body = json.dumps(
        {"id": "x", "object": "chat.completion", "created": 0, "model": "fixed", "choices": [choice], "usage": usage}
    ).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


class _Connection(asyncio.Protocol):
    """One keep-alive connection; requests come one after another, as all clients here send them."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(_END)) >= 0:
            head = self._received[:end]
            length = _LENGTH.search(head)
            stop = end + len(_END) + (int(length[1]) if length else 0)
            if len(self._received) < stop:
                return
            body, self._received = self._received[end:stop], self._received[stop:]
            response = answer(body.count(_TOOL_MESSAGE))
            delay = _DELAY.search(head[: head.find(b"\r\n")])
            if delay is None:
                self._transport.write(response)
            else:
                self._loop.call_later(int(delay[1]) / 1_000, self._late, response)

    def _late(self, response: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(response)


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Connection, "127.0.0.1", 0, backlog=4_096)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin, lambda: sys.stdin.read(1) or ended.set())
    await ended.wait()
    server.close()


def main() -> None:
    """Serve until standard input ends; on uvloop where it is installed, which is cheaper still."""
    try:
        import uvloop
    except ModuleNotFoundError:
        asyncio.run(_serve())
    else:
        uvloop.run(_serve())


if __name__ == "__main__":
    main()
