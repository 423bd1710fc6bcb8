"""Several replicas and the pace of each, over real sockets."""

import asyncio
import contextlib
import socket
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trajgen import config
from trajgen.backends import openai, replicas
from trajgen.backends.openai import OpenAIBackend, OpenAIConfig, ProviderError
from trajgen.backends.refusals import read_retry_after_s
from trajgen.chat import Message
from trajgen.errors import ConfigError
from trajgen.strict import convert
from trajgen.testing import FaultyServer
from trajgen.testing.server import garbage, hang, serve, status

N_TASKS = 24


def chat(task, n_turns=0):
    said = [m for i in range(n_turns) for m in (Message("assistant", f"a{i}"), Message("user", f"b{i}"))]
    return [Message("system", "Act."), Message("user", f"Task {task}."), *said]


def run(base_url, *rounds, **keys):
    """Ask with one backend, the chats of a round at once; a number is a rest in seconds."""

    async def main():
        backend = OpenAIBackend(OpenAIConfig(base_url, "m", **keys))
        try:
            for chats in rounds:
                if isinstance(chats, float):
                    await asyncio.sleep(chats)
                    continue
                replies = await asyncio.gather(*[backend.generate(c, (), seed=i) for i, c in enumerate(chats)])
                assert [r.text for r in replies] == ["hello"] * len(chats)
        finally:
            await backend.close()
        return backend

    return asyncio.run(main())


@contextlib.contextmanager
def two(**first):
    with serve(lambda _: "hello", **first) as a, serve(lambda _: "hello") as b:
        yield a, b


def tasks_of(server):
    return {r["messages"][1]["content"] for r in server.requests}


def nobody():
    """Return an address at which nobody listens."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{s.getsockname()[1]}/v1"


def test_all_calls_of_a_task_go_to_one_replica_and_tasks_to_both():
    with two() as (a, b):
        run([a.base_url, b.base_url], *[[chat(n, turns) for n in range(N_TASKS)] for turns in range(3)])
        assert tasks_of(a) | tasks_of(b) == {f"Task {n}." for n in range(N_TASKS)}
        assert not tasks_of(a) & tasks_of(b)
        assert tasks_of(a)
        assert tasks_of(b)


@pytest.mark.parametrize("fault", [status(500), status(503), garbage(b"<html>", 502)])
def test_a_replica_in_trouble_is_replaced_at_once_and_then_left_alone(fault, monkeypatch):
    monkeypatch.setattr(openai, "_FIRST_WAIT_S", 99)  # which would end after the deadline
    with two(faults=lambda _: fault) as (bad, good):
        started = time.monotonic()
        run([bad.base_url, good.base_url], *[[chat(n)] for n in range(N_TASKS)], timeout_s=5)
        assert time.monotonic() - started < 3
        assert good.n_requests == N_TASKS
        assert 1 <= bad.n_requests <= 4


def test_a_replica_that_is_not_there_is_replaced():
    with serve(lambda _: "hello") as good:
        backend = run([nobody(), good.base_url], [chat(n) for n in range(N_TASKS)])
    assert good.n_requests == N_TASKS
    missing = next(r for r in backend._replicas.order(chat(0)) if str(r.url) != f"{good.base_url}/chat/completions")
    assert missing.pace.limit < missing.pace.most


def test_a_replica_that_is_back_gets_all_its_tasks_again(monkeypatch):
    monkeypatch.setattr(replicas, "FIRST_PAUSE_S", 0.1)
    one_by_one = [[chat(n)] for n in range(N_TASKS)]
    with two(faults=[status(500)]) as (a, b):
        run([a.base_url, b.base_url], *one_by_one, 0.15, *one_by_one, *one_by_one)
        sent = [r["messages"][1]["content"] for r in a.requests]
        own = set(sent)
        assert len(own) > 3
        assert sent[-2 * len(own) :] == sorted(own, key=lambda t: int(t[5:-1])) * 2


def test_a_replica_that_hangs_is_left_alone_by_the_next_call():
    with two(faults=lambda _: hang(60)) as (silent, good):
        urls = [silent.base_url, good.base_url]
        order = OpenAIBackend(OpenAIConfig(urls, "m"))._replicas.order
        task = next(n for n in range(99) if str(order(chat(n))[0].url).startswith(silent.base_url))

        async def main():
            backend = OpenAIBackend(OpenAIConfig(urls, "m", timeout_s=0.3))
            try:
                with pytest.raises(ProviderError, match="no whole answer"):
                    await backend.generate(chat(task), ())
                return await backend.generate(chat(task), ())
            finally:
                await backend.close()

        assert asyncio.run(main()).text == "hello"


def test_a_rate_limit_is_waited_for_where_the_prompt_is_cached():
    with two(faults=[status(429, retry_after_s=0)]) as (a, b):
        run([a.base_url, b.base_url], [chat(n) for n in range(N_TASKS)])
        assert not tasks_of(a) & tasks_of(b)


def test_where_all_fail_the_error_is_the_providers_and_names_one(monkeypatch):
    monkeypatch.setattr(openai, "_FIRST_WAIT_S", 0.001)
    with FaultyServer(lambda _: "", "error_500") as a, FaultyServer(lambda _: "", "error_500") as b:
        with pytest.raises(ProviderError, match="HTTP 500"):
            run([a.base_url, b.base_url], [chat(0)], max_retries=4)
        assert sorted([a.n_requests, b.n_requests]) == [2, 3]


def test_a_server_that_takes_only_so_many_is_asked_by_fewer_at_once(monkeypatch):
    monkeypatch.setattr(openai, "_FIRST_WAIT_S", 0.02)
    started = []

    def too_many(_):
        return status(429) if started[0]._n_open > 6 else None

    with serve(lambda _: "hello", faults=too_many, latency_s=0.02) as server:
        started.append(server)
        backend = run(server.base_url, [chat(n) for n in range(200)], max_connections=64, max_retries=20, timeout_s=20)
    (replica,) = backend._replicas.order(())
    assert replica.pace.limit < 32
    assert replica.pace.n_open == 0


def test_a_single_address_and_a_list_are_read_from_a_job_and_are_not_identity():
    def job(url):
        entry = {"env": "trajgen/Toolbox-v0", "agent": {"name": "llm", "backend": "b"}, "seeds": "0:1"}
        return config.parse({"backend": {"b": {"kind": "openai", "base_url": url, "model": "m"}}, "entry": [entry]})

    one, many = job("http://a/v1"), job(["http://a/v1", "http://b/v1"])
    assert one.entries[0].id == many.entries[0].id
    choice = many.entries[0].agent.backends["backend"]
    assert convert(choice.config, OpenAIConfig, "b").base_urls() == ("http://a/v1", "http://b/v1")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ([], "base_url"),
        (["http://a/v1", "b/v1"], r"base_url\[1\]"),
        (["http://a/v1", "http://a/v1"], "each address once, found http://a/v1 2 times"),
        ("http://me:hunter2@a/v1", "no user or password"),
        ("http://a:99999/v1", "found http://a:99999/v1"),
        ("http://", "base_url"),
        (7, "base_url"),
    ],
)
def test_a_bad_address_is_named_and_a_secret_in_it_is_not(url, said):
    with pytest.raises(ConfigError, match=said) as caught:
        convert({"base_url": url, "model": "m"}, OpenAIConfig, "backend.b")
    assert "hunter2" not in str(caught.value)
    assert "backend.b.base_url" in str(caught.value)


@pytest.mark.parametrize("key", ["with\nbreak", "schlüssel"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_quoted(key, monkeypatch):
    monkeypatch.setenv("MY_KEY", key)
    with pytest.raises(ConfigError, match="MY_KEY") as caught:
        OpenAIBackend(OpenAIConfig("http://h/v1", "m", api_key_env="MY_KEY"))
    assert key not in str(caught.value)


@pytest.mark.parametrize("n_before", [100, 165])
def test_a_key_that_a_redirect_repeats_is_not_quoted_nor_half_of_it(n_before, monkeypatch):
    monkeypatch.setenv("MY_KEY", "secret-of-mine")
    fault = status(307, "")._replace(headers={"Location": "/login?" + "x" * n_before + "secret-of-mine"})
    with serve(lambda _: "hello", faults=[fault]) as server, pytest.raises(ProviderError, match="login") as caught:
        run(server.base_url, [chat(0)], api_key_env="MY_KEY")
    assert "secret" not in str(caught.value)


@example("Mon, 01 Jan 99999999999999999999 00:00:00 +0000")
@given(st.one_of(st.text(), st.from_regex(r"[0-9]{1,3}[A-Za-z, ]{0,8}[0-9]{1,9} [0-9:]{1,9} (GMT|[+-][0-9]{4})")))
def test_any_retry_after_is_read_or_ignored(given_text):
    read = read_retry_after_s({"Retry-After": given_text})
    assert read is None or read >= 0
