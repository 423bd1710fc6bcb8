"""Encoding is cached without changing a byte; any bytes are read, or refused as the server's failure."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trajgen.backends import wire
from trajgen.backends.wire import NotACompletion, RequestEncoder, encode_message, read_completion
from trajgen.chat import Message
from trajgen.replies.native import turn_of
from trajgen.spaces import tool
from trajgen.testing.server import calling, completion

TOOLS = (tool("look", "Look."),)


def body(encoder, messages, **keys):
    asked = {"seed": None, "sampling": None, "constraint": None} | keys
    return orjson.loads(encoder.body(messages, TOOLS, **asked))


def test_a_second_request_encodes_only_new_messages(monkeypatch):
    encoded = []
    monkeypatch.setattr(wire, "encode_message", lambda m: encoded.append(m) or encode_message(m))
    encoder = RequestEncoder("m", {})
    chat = [Message("user", "a")]
    body(encoder, chat)
    chat += [Message("assistant", "b"), Message("user", "c")]
    assert [m["content"] for m in body(encoder, chat)["messages"]] == ["a", "b", "c"]
    assert len(encoded) == 3


def test_the_cache_is_bounded_and_forgets_the_oldest(monkeypatch):
    monkeypatch.setattr(wire, "_CACHE_BYTES", 1_000)
    encoder = RequestEncoder("m", {})
    for i in range(200):
        sent = body(encoder, [Message("user", f"{i} " * 20) for _ in range(3)])
        assert [m["content"] for m in sent["messages"]] == [f"{i} " * 20] * 3
    assert encoder._n_bytes <= 1_000
    assert encoder._n_bytes == sum(len(b) for _, b in encoder._messages.values())


def test_equal_messages_of_other_episodes_do_not_mix():
    encoder = RequestEncoder("m", {})
    for text in "abc":
        assert body(encoder, [Message("user", text)])["messages"][0]["content"] == text


def test_sampling_of_a_call_wins_over_the_backends():
    encoder = RequestEncoder("m", {"temperature": 1, "top_p": 0.5})
    sent = body(encoder, [Message("user", "a")], sampling={"temperature": 0})
    assert (sent["temperature"], sent["top_p"]) == (0, 0.5)
    assert body(encoder, [Message("user", "a")])["temperature"] == 1


def test_text_no_utf8_can_hold_is_still_sent():
    assert orjson.loads(encode_message(Message("user", "a\ud800b")))["content"] == "a\N{REPLACEMENT CHARACTER}b"


def test_arguments_sent_as_an_object_become_a_string():
    answer = calling("look", {})
    answer["tool_calls"][0]["function"]["arguments"] = {"b": 1, "a": [2]}
    assert read_completion(orjson.dumps(completion(answer))).calls[0].arguments == '{"a":[2],"b":1}'


def test_content_in_parts_is_joined():
    answer = {"content": [{"type": "text", "text": "a"}, {"type": "image_url"}, "b", 3]}
    assert read_completion(orjson.dumps(completion(answer))).text == "ab"


def test_logprobs_with_a_gap_are_left_out_whole():
    whole = completion("a")
    whole["choices"][0]["logprobs"] = {"content": [{"logprob": -1.0}, {}]}
    assert read_completion(orjson.dumps(whole)).logprobs is None


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_FIELDS = ["choices", "model", "usage", "prompt_token_ids", "message", "content", "tool_calls", "function", "name",
           "arguments", "finish_reason", "logprobs", "token_ids", "reasoning", "id"]  # fmt: skip


def _damaged(value, path, new):
    """Return `value` with the part at the end of `path` replaced by `new`."""
    if not path or not isinstance(value, dict | list) or not value:
        return new
    if isinstance(value, list):
        at = path[0] % len(value)
        return [_damaged(v, path[1:], new) if i == at else v for i, v in enumerate(value)]
    key = sorted(value)[path[0] % len(value)]
    return {k: _damaged(v, path[1:], new) if k == key else v for k, v in value.items()}


@settings(max_examples=1_000, deadline=None)
@given(st.lists(st.integers(0, 20), max_size=8), _json, st.integers(0, 400), st.booleans())
def test_every_answer_becomes_a_turn_or_is_the_servers_failure(path, new, at, truncate):
    whole = completion(calling("look", "{}", "text"), prompt_token_ids=[1])
    whole["choices"][0]["logprobs"] = {"content": [{"logprob": -1.0}]}
    data = orjson.dumps(_damaged(whole, path, new))
    try:
        reply = read_completion(data[:at] if truncate else data)
    except NotACompletion:
        return
    turn = turn_of(reply, TOOLS)
    assert (reply.error_kind is None) == (turn.problem is None) or reply.finish_reason == "length"


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_bytes_that_are_no_answer_are_the_servers_failure(data):
    with pytest.raises(NotACompletion):
        read_completion(data)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(_FIELDS), _json, max_size=4))
def test_whatever_is_inside_a_message_object_is_no_failure_of_the_server(message):
    kind = read_completion(orjson.dumps({"choices": [{"message": message}]})).error_kind
    assert kind is None or (kind == "bad_message" and not isinstance(message["tool_calls"], list))
