"""Every fault that has a name: what the client makes of it, and that nothing else leaves it; and a job in a storm."""

import asyncio
import time
import tracemalloc

import gymnasium
import pytest

from jobs import digests_of, play
from trajgen.backends import openai
from trajgen.backends.openai import OpenAIBackend, OpenAIConfig, ProviderError, SettingsRefused
from trajgen.chat import Message
from trajgen.replies.native import turn_of
from trajgen.spaces import ToolSpace, tool
from trajgen.testing import FaultyServer
from trajgen.testing.fakes import COUNTER_ID
from trajgen.testing.faults import FAULTS
from trajgen.testing.server import calling, serve
from trajgen.types import ToolCall

TOOLS = (tool("add", "Add a number.", n={"type": "integer"}),)
CHAT = (Message("system", "Act."), Message("user", "Add three."))
GOOD = calling("add", '{"n": 3}', "I add.")
TIMEOUT_S = 0.5
MAX_BODY_BYTES = 2**20

RETRIED = (
    "rate_limit_429 rate_limit_retry_after unavailable_503 error_500 bad_gateway_html cut_body disconnect "
    "connection_reset_mid_headers empty_body not_json html_200 null_body empty_choices no_message null_message "
    "list_message error_in_200 gzip_garbage logprobs_nan"
)
OUTCOMES = {
    **dict.fromkeys(RETRIED.split(), "retried"),
    "timeout_hang": "timed out",
    "slow_drip": "timed out",
    "redirect": "refused",
    "unauthorized_401": "the job stops",
    "not_found_404": "the job stops",
    "context_length_400": "reply with error_kind context",
    "context_length_in_200": "reply with error_kind context",
    "huge_body_50mb": "reply with error_kind too_large",
    "content_lone_surrogate": "reply with error_kind bad_message",
    "tool_calls_object": "reply with error_kind bad_message",
    "finish_length": "truncated",
    "null_content": "no call",
    "null_tool_calls": "no call",
    "null_tool_name": "call with a problem",
    "arguments_nan": "call with a problem",
    "arguments_duplicate_keys": "call with a problem",
    "arguments_lone_surrogate": "call with a problem",
    "arguments_10k_digits": "call with a problem",
    "arguments_deep_nesting": "call with a problem",
    "arguments_not_json": "call with a problem",
    "arguments_list": "call with a problem",
    "unknown_tool": "not in the action space",
    "missing_arguments": "not in the action space",
    "duplicate_call_ids": "fine",
    "wrong_content_type": "fine",
    "content_list": "fine",
    "arguments_object": "fine",
    "arguments_double_encoded": "fine",
    "finish_null": "fine",
    "logprobs_missing_one": "fine",
    "token_ids_strings": "fine",
    "usage_negative": "fine",
}


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(openai, "_FIRST_WAIT_S", 0.001)
    if COUNTER_ID not in gymnasium.registry:
        gymnasium.register(COUNTER_ID, entry_point="trajgen.testing.fakes:CounterEnv")


def ask(server, **keys):
    """Ask once, and check that the deadline was kept."""
    limits = {"timeout_s": TIMEOUT_S, "max_body_bytes": MAX_BODY_BYTES}

    async def main():
        backend = OpenAIBackend(OpenAIConfig(server.base_url, "m", **limits | keys))
        started = time.monotonic()
        try:
            return await backend.generate(CHAT, TOOLS, seed=1)
        finally:
            assert time.monotonic() - started < limits["timeout_s"] + 0.5
            await backend.close()

    return asyncio.run(main())


def outcome(name):
    """Say what becomes of a request that meets the fault, and of all later tries, which do not."""
    with FaultyServer(lambda _: GOOD, {0: name}) as server:
        try:
            reply = ask(server)
        except SettingsRefused:
            return "the job stops"
        except ProviderError as error:
            return "timed out" if "no whole answer" in str(error) else "refused"
        if server.n_requests > 1:
            assert reply.error_kind is None
            return "retried"
    if reply.error_kind is not None:
        assert turn_of(reply, TOOLS).problem is not None
        return f"reply with error_kind {reply.error_kind}"
    return outcome_of_turn(turn_of(reply, TOOLS))


def outcome_of_turn(turn):
    if not turn.calls:
        return "no call" if turn.problem is None else turn.problem
    call = turn.calls[0]
    if call.problem is not None:
        return "truncated" if "truncated" in call.problem else "call with a problem"
    fits = ToolSpace(TOOLS).problem(ToolCall(call.tool, call.arguments)) is None
    return "fine" if fits else "not in the action space"


@pytest.mark.parametrize("name", FAULTS)
def test_a_named_fault_becomes_what_the_table_says(name):
    assert outcome(name) == OUTCOMES[name]


def test_the_table_has_every_fault():
    assert set(OUTCOMES) == set(FAULTS)


@pytest.mark.parametrize("name", [n for n, o in OUTCOMES.items() if o == "retried"])
def test_a_server_that_never_recovers_is_the_providers_failure(name):
    faulty = FaultyServer(lambda _: GOOD, name)
    with faulty as server, pytest.raises(ProviderError) as caught:
        ask(server, max_retries=2, timeout_s=2)
    assert faulty.given == [name] * 3
    assert caught.value.may_pass
    assert server.base_url in str(caught.value)


@pytest.mark.parametrize("name", [n for n, o in OUTCOMES.items() if o == "fine"])
def test_what_is_fine_loses_nothing_and_invents_nothing(name):
    with FaultyServer(lambda _: GOOD, name) as server:
        reply = ask(server)
    assert reply.text == "I add."
    assert turn_of(reply, TOOLS).calls[0].arguments == {"n": 3}
    assert reply.logprobs is None
    assert reply.token_ids is None
    assert all(n is None or n >= 0 for n in (reply.usage.prompt_tokens, reply.usage.completion_tokens))


def test_a_body_of_50_mb_takes_little_memory():
    with FaultyServer(lambda _: GOOD, "huge_body_50mb") as server:
        ask(server)  # what is loaded once
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        try:
            assert ask(server, timeout_s=5).error_kind == "too_large"
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak - before < 4 * MAX_BODY_BYTES  # the server's half included


def model(request):
    n_said = sum(m["role"] == "assistant" for m in request["messages"])
    return [calling("add", '{"n": 3}', "I add."), "Hm.", calling("add", '{"n": 2}'), calling("submit", "")][n_said % 4]


def job(*servers, **keys):
    urls = [s.base_url for s in servers]
    backend = {"kind": "openai", "base_url": urls if len(urls) > 1 else urls[0], "model": "m", **keys}
    entry = {"env": COUNTER_ID, "options": {"target": 5}, "seeds": "0:12", "agent": {"name": "llm", "backend": "b"}}
    return {"name": "storm", "workers": 0, "concurrency": 4, "backend": {"b": backend}, "entry": [entry]}


STORM = dict.fromkeys(
    ["rate_limit_429", "unavailable_503", "error_500", "cut_body", "disconnect", "html_200", "empty_choices"], 0.3 / 7
)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_server_that_fails_30_percent_of_calls_gives_the_fault_free_dataset(tmp_path, seed):
    with serve(model) as server:
        assert play(tmp_path / "calm", job(server)).committed == 12
    faulty = FaultyServer(model, share=STORM, seed=seed)
    with faulty as server:
        report = play(tmp_path / "storm", job(server, max_retries=9))
    assert (report.committed, report.failed) == (12, 0)
    assert 0.2 < sum(name is not None for name in faulty.given) / len(faulty.given) < 0.4
    assert digests_of(tmp_path / "storm") == digests_of(tmp_path / "calm")


def test_replicas_one_of_which_always_fails_give_the_dataset_of_one_server(tmp_path):
    with serve(model) as server:
        play(tmp_path / "one", job(server))
    dead = FaultyServer(model, "error_500")
    with serve(model) as first, serve(model) as second, dead as third:
        report = play(tmp_path / "many", job(first, second, third))
    assert (report.committed, report.failed) == (12, 0)
    assert digests_of(tmp_path / "many") == digests_of(tmp_path / "one")
