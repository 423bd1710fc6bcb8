"""The client against a real server on the loopback: whose fault is whose, and nothing outlives its deadline."""

import asyncio
import time

import orjson
import pytest

from trajgen.backends import openai
from trajgen.backends.openai import OpenAIBackend, OpenAIConfig, ProviderError
from trajgen.backends.refusals import read_retry_after_s
from trajgen.chat import FunctionCall, Message
from trajgen.entries import Budget
from trajgen.errors import ConfigError
from trajgen.spaces import tool
from trajgen.strict import convert
from trajgen.testing.server import calling, completion, cut, disconnect, drip, garbage, hang, serve, status

TOOLS = (tool("get", "Take a thing.", thing={"type": "string"}),)
CHAT = [Message("system", "Act."), Message("user", "Get the cup.")]


def ask(base_url, messages=CHAT, tools=TOOLS, *, n=1, seed=None, sampling=None, constraint=None, **keys):
    """Ask n times at once with one backend; return the first reply, or all."""

    async def main():
        backend = OpenAIBackend(OpenAIConfig(base_url, "m", **keys))
        one = lambda: backend.generate(messages, tools, seed=seed, sampling=sampling, constraint=constraint)  # noqa: E731
        try:
            return await asyncio.gather(*[one() for _ in range(n)])
        finally:
            await backend.close()

    replies = asyncio.run(main())
    return replies[0] if n == 1 else replies


def test_a_call_comes_back_with_its_raw_arguments_and_usage():
    with serve(lambda _: calling("get", '{"thing":  "cup"}', "I see it.")) as server:
        reply = ask(server.base_url)
    assert reply.text == "I see it."
    assert reply.calls[0].name == "get"
    assert reply.calls[0].arguments == '{"thing":  "cup"}'
    assert reply.finish_reason == "tool_calls"
    assert reply.usage.prompt_tokens == 1
    assert reply.model == "scripted"
    assert orjson.loads(reply.raw)["tool_calls"][0]["id"] == "c"


def test_the_request_says_all_that_was_asked():
    chat = [
        *CHAT,
        Message("assistant", "Hm.", reasoning_content="why", tool_calls=(FunctionCall("call_0_0", "get", "{}"),)),
        Message("tool", "Done.", tool_call_id="call_0_0", name="get"),
    ]
    with serve(lambda _: "hello") as server:
        ask(server.base_url, chat, seed=7, sampling={"temperature": 0}, constraint={"json_schema": {"type": "object"}})
        (sent,) = server.requests
    assert sent["model"] == "m"
    assert sent["seed"] == 7
    assert sent["temperature"] == 0
    assert sent["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert sent["tools"][0]["function"]["name"] == "get"
    assert sent["messages"][2] == {
        "role": "assistant",
        "content": "Hm.",
        "reasoning_content": "why",
        "tool_calls": [{"id": "call_0_0", "type": "function", "function": {"name": "get", "arguments": "{}"}}],
    }
    assert sent["messages"][3] == {"role": "tool", "content": "Done.", "tool_call_id": "call_0_0", "name": "get"}


def test_without_tools_none_are_sent():
    with serve(lambda _: "hello") as server:
        ask(server.base_url, tools=())
        assert "tools" not in server.requests[0]


@pytest.mark.parametrize("fault", [status(429, retry_after_s=0), status(503), status(500), cut(), disconnect()])
def test_what_may_pass_is_tried_again(fault):
    with serve(lambda _: "hello", faults=[fault]) as server:
        assert ask(server.base_url, max_retries=1).text == "hello"
        assert server.n_requests == 2


def test_retries_end_and_the_error_names_status_and_the_servers_words():
    with (
        serve(lambda _: "hello", faults=[status(503, "overloaded", retry_after_s=0)] * 9) as server,
        pytest.raises(ProviderError, match="HTTP 503: overloaded") as caught,
    ):
        ask(server.base_url, max_retries=2)
    assert caught.value.status == 503
    assert server.n_requests == 3


def test_a_wait_that_ends_after_the_deadline_is_not_waited():
    started = time.monotonic()
    with serve(lambda _: "hello", faults=[status(429, retry_after_s=60)]) as server, pytest.raises(ProviderError):
        ask(server.base_url, timeout_s=5)
    assert time.monotonic() - started < 4


@pytest.mark.parametrize(
    ("fault", "advice"),
    [
        (status(401), "MY_KEY"),
        (status(404), "base_url"),
        (status(400), "sampling"),
        (garbage(b"<html>no</html>", 422), "<html>no</html>"),
    ],
)
def test_a_refusal_is_not_tried_again_and_says_what_to_check(fault, advice, monkeypatch):
    monkeypatch.setenv("MY_KEY", "secret-of-mine")
    with serve(lambda _: "hello", faults=[fault]) as server, pytest.raises(ProviderError, match=advice):
        ask(server.base_url, api_key_env="MY_KEY")
    assert server.n_requests == 1


def test_the_key_is_sent_and_never_repeated(monkeypatch):
    monkeypatch.setenv("MY_KEY", "secret-of-mine")
    fault = status(401, "Incorrect API key provided: secret-of-mine")
    with serve(lambda _: "hello", faults=[fault]) as server, pytest.raises(ProviderError) as caught:
        ask(server.base_url, api_key_env="MY_KEY")
    assert server.headers[0]["Authorization"] == "Bearer secret-of-mine"
    assert "secret-of-mine" not in str(caught.value)


def test_a_key_that_is_not_set_is_named_before_anything_is_asked(monkeypatch):
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(ConfigError, match="MY_KEY is not set"):
        OpenAIBackend(OpenAIConfig("http://127.0.0.1:1/v1", "m", api_key_env="MY_KEY"))


def test_a_server_that_is_not_there_says_so():
    with pytest.raises(ProviderError, match="is the server up"):
        ask("http://127.0.0.1:9/v1", max_retries=0)


@pytest.mark.parametrize("fault", [drip(60), hang(60)])
def test_nothing_outlives_the_wall_deadline(fault):
    with serve(lambda _: "hello", faults=[fault]) as server:
        started = time.monotonic()
        with pytest.raises(ProviderError, match=r"timeout_s = 0\.4") as caught:
            ask(server.base_url, timeout_s=0.4)
        assert f"{server.base_url}/chat/completions" in str(caught.value)
        assert time.monotonic() - started < 1.5


def test_a_body_longer_than_allowed_is_not_read():
    with serve(lambda _: "x" * 100_000) as server:
        assert ask(server.base_url, max_body_bytes=50_000).error_kind == "too_large"
        assert ask(server.base_url, max_body_bytes=200_000).error_kind is None


DEEP = b"[" * 5_000 + b"]" * 5_000
NO_COMPLETION = {
    "an empty body": [b"", b" \n"],
    "a body that is no JSON": [
        b"<html>", b"\xff\xfe", b'{"choices": [', b'{"choices": NaN}', b'{"a": ' + b"[" * 100_000,
        b'{"choices": [{"message": {"content": ' + DEEP + b"}}]}",
        b'{"choices": [{"message": {"content": "a"}, "logprobs": {"content": [{"logprob": -Infinity}]}}]}'],
    "JSON that is no chat completion": [
        b"[]", b"[" * 100_000, b"null", b"3", b"{}", b'{"choices": null}', b'{"choices": {}}', b'{"choices": [1]}',
        b'{"choices": [{}]}', b'{"error": "x"}', b'{"error": {"message": "odd", "code": "x"}}',
        b'{"error": {"message": "full", "code": "503"}}', b'{"error": {"message": "full", "code": 503}}',
        b'{"error": {"message": "slow down: too many tokens", "code": "429"}}', b'{"detail": "oops"}',
        b'{"error": ' + b"[" * 400 + b"]" * 400 + b"}"],
    "an empty list of choices": [b'{"choices": []}', b'{"choices": [], "error": {"code": 500}}'],
    "a choice whose message is no object": [
        b'{"choices": [{"message": null}]}', b'{"choices": [{"message": "hi"}]}'],
}  # fmt: skip
BROKEN = [(what, body) for what, bodies in NO_COMPLETION.items() for body in bodies]


def test_a_200_without_a_completion_is_tried_again_and_leaves_no_trace(monkeypatch):
    monkeypatch.setattr(openai, "_FIRST_WAIT_S", 0.001)
    with serve(lambda _: "hello", faults=[f for _, body in BROKEN for f in (garbage(body), None)]) as server:
        for what, body in BROKEN:
            reply = ask(server.base_url, max_retries=1)
            assert (reply.text, reply.error_kind) == ("hello", None), (what, body[:60])
        assert server.n_requests == 2 * len(BROKEN)


def test_a_server_that_never_answers_with_a_completion_is_the_providers_failure(monkeypatch):
    monkeypatch.setattr(openai, "_FIRST_WAIT_S", 0.001)
    with serve(lambda _: "never", faults=[garbage(body) for _, body in BROKEN for _ in range(3)]) as server:
        for n, (what, body) in enumerate(BROKEN, 1):
            with pytest.raises(ProviderError, match=f"found HTTP 200 with {what}") as caught:
                ask(server.base_url, max_retries=2)
            assert server.base_url in str(caught.value)
            assert caught.value.may_pass, body[:60]
            assert server.n_requests == 3 * n


def test_what_came_is_quoted_short_and_without_the_key(monkeypatch):
    monkeypatch.setenv("MY_KEY", "secret-of-mine")
    page = b"<html>" + b"x" * 190 + b"secret-of-mine" + b"y" * 5_000
    with serve(lambda _: "never", faults=[garbage(page)]) as server, pytest.raises(ProviderError) as caught:
        ask(server.base_url, max_retries=0, api_key_env="MY_KEY")
    said = str(caught.value)
    assert "<html>" + "x" * 190 + "***y;" in said
    assert "secret" not in said


def test_a_gateways_refusal_inside_a_200_is_not_tried_again():
    body = orjson.dumps({"error": {"code": "402", "message": "no credit"}})
    with (
        serve(lambda _: "hello", faults=[garbage(body)]) as server,
        pytest.raises(ProviderError, match="no credit") as e,
    ):
        ask(server.base_url)
    assert (e.value.status, server.n_requests) == (402, 1)


@pytest.mark.parametrize(
    "body",
    [
        b'{"choices": [{"message": {"tool_calls": {}}}]}',
        b'{"choices": [{"message": {"tool_calls": "x"}}]}',
        b'{"choices": [{"message": {"content": "\\ud800"}}]}',
    ],
)
def test_a_message_that_is_malformed_is_a_reply_as_the_model_may_have_caused_it(body):
    with serve(lambda _: "never", faults=[garbage(body)]) as server:
        assert ask(server.base_url).error_kind == "bad_message"
        assert server.n_requests == 1


def test_a_silent_server_shows_before_an_episodes_default_time_is_up():
    assert OpenAIConfig("http://h", "m").timeout_s == 60 < Budget().episode_timeout_s


def test_a_prompt_that_is_too_long_ends_the_episode_not_the_job():
    said = "This model's maximum context length is 1024 tokens"
    inside = [orjson.dumps({"error": {"message": said, "code": c}}) for c in (400, "400", "context_length_exceeded")]
    with serve(lambda _: "hello", faults=[status(400, said), *map(garbage, inside)]) as server:
        for _ in range(4):
            assert ask(server.base_url).error_kind == "context"


def test_redirects_are_not_followed():
    fault = status(307)._replace(headers={"Location": "http://elsewhere/v1"})
    with serve(lambda _: "hello", faults=[fault]) as server, pytest.raises(ProviderError, match="elsewhere"):
        ask(server.base_url)


def test_no_more_than_max_connections_are_open_and_waiting_does_not_count_as_the_servers_time():
    with serve(lambda _: "hello", latency_s=0.2) as server:
        replies = ask(server.base_url, n=12, max_connections=3, timeout_s=0.6)
        assert [r.text for r in replies] == ["hello"] * 12
        assert server.n_at_once <= 3


def test_a_job_is_told_of_bad_keys_with_their_path():
    with pytest.raises(ConfigError, match=r"backend\.b\.base_url"):
        convert({"base_url": "localhost:8000", "model": "m"}, OpenAIConfig, "backend.b")
    with pytest.raises(ConfigError, match=r"sampling\.seed"):
        convert({"base_url": "http://h", "model": "m", "sampling": {"seed": 1}}, OpenAIConfig, "backend.b")


def test_retry_after_is_read_as_seconds_or_date_and_else_ignored():
    assert read_retry_after_s({"Retry-After": "3"}) == 3
    assert read_retry_after_s({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert read_retry_after_s({"Retry-After": "soon"}) is None
    assert read_retry_after_s({}) is None


def test_token_ids_and_logprobs_come_from_where_vllm_puts_them():
    body = completion("hi", prompt_token_ids=[1, 2])
    body["choices"][0] |= {"token_ids": [3], "logprobs": {"content": [{"token": "hi", "logprob": -0.5}]}}
    body["choices"][0]["message"]["reasoning"] = "hm"
    with serve(lambda _: body) as server:
        reply = ask(server.base_url)
    assert (reply.prompt_token_ids, reply.token_ids, reply.logprobs) == ((1, 2), (3,), (-0.5,))
    assert reply.reasoning == "hm"
