"""Any bytes at all from the other end of the socket: a reply that reads as a turn, or the provider's failure."""

import asyncio
import json

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from trajgen.backends.openai import OpenAIBackend, OpenAIConfig, ProviderError
from trajgen.chat import Message
from trajgen.replies.native import turn_of
from trajgen.spaces import tool
from trajgen.testing.server import calling, completion

TOOLS = (tool("add", "Add a number.", n={"type": "integer"}),)
BODY = json.dumps(completion(calling("add", '{"n": 3}', "I add."))).encode()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY)
PIECES = [
    b"\r\n", b"\r\n\r\n", b"\x00", b"\xff\xfe", b"HTTP/1.1 500 No\r\n", b"HTTP/9.9 2 x\r\n", b"Retry-After: 1e999\r\n",
    b"Content-Length: -1\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Encoding: gzip\r\n",
    b"Content-Encoding: br\r\n", b"Location: http://[\r\n", b"Set-Cookie: a=\x01\r\n", b"ffffffffff\r\n", b"0\r\n\r\n",
    b"A" * 9_000, b"null", b"NaN", b'"\\ud800"', b"[" * 3_000, b"{", b"}", b'"', b"9" * 400, b"-1e400",
]  # fmt: skip


@st.composite
def mutated(draw):
    """Return an answer that was good, cut and patched in up to four places."""
    data = HEAD + BODY
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        skip = draw(st.integers(0, 12))
        data = data[:at] + draw(st.sampled_from(PIECES) | st.binary(max_size=6)) + data[at + skip :]
    return data if draw(st.booleans()) else data[: draw(st.integers(0, len(data)))]


async def _asked(data):
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    backend = OpenAIBackend(OpenAIConfig(url, "m", max_retries=0, timeout_s=0.5))
    try:
        return await backend.generate([Message("user", "Add.")], TOOLS, seed=1)
    finally:
        await backend.close()
        server.close()
        await server.wait_closed()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mutated() | st.binary(max_size=50))
@example(b"SSH-2.0-OpenSSH_9.6\r\n")
@example(b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + BODY)
@example(b"HTTP/1.1 204 No Content\r\n\r\n")
@example(b"HTTP/1.1 429 Slow\r\nRetry-After: nan\r\nContent-Length: 0\r\n\r\n")
@example(b"HTTP/1.1 429 Slow\r\nRetry-After: Mon, 01 Jan 0001 00:00:00 +2359\r\nContent-Length: 0\r\n\r\n")
def test_nothing_but_a_provider_error_leaves_the_client_and_every_reply_is_a_turn(data):
    try:
        reply = asyncio.run(_asked(data))
    except ProviderError:
        return
    turn_of(reply, TOOLS)


def test_the_answer_that_is_mutated_is_a_good_one():
    assert turn_of(asyncio.run(_asked(HEAD + BODY)), TOOLS).calls[0].arguments == {"n": 3}
