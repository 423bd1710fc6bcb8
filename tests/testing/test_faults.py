"""The faulty server fails as told, and a share of it the same way in any order."""

import http.client
import json

import pytest

from trajgen.errors import UnknownName
from trajgen.testing import FaultyServer
from trajgen.testing.faults import FAULTS
from trajgen.testing.server import calling


def post(server, **request):
    connection = http.client.HTTPConnection(server.base_url.split("/")[2], timeout=20)
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps({"messages": [], **request}))
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def call_of(body):
    return json.loads(body)["choices"][0]["message"]["tool_calls"][0]["function"]


def test_every_fault_says_in_one_line_what_it_means():
    for name, fault in FAULTS.items():
        assert fault.means, name
        assert "\n" not in fault.means
        assert len(fault.means) < 100
    assert len({f.means for f in FAULTS.values()}) == len(FAULTS)


def test_one_name_is_for_every_request_and_numbers_are_for_those():
    every, second = FaultyServer(lambda _: "ok", "error_500"), FaultyServer(lambda _: "ok", {1: "error_500"})
    with every as server:
        assert [post(server)[0] for _ in range(3)] == [500] * 3
    with second as server:
        assert [post(server)[0] for _ in range(3)] == [200, 500, 200]
    assert second.given == [None, "error_500", None]


def hits(order, seed=0):
    with FaultyServer(lambda _: "ok", share={"error_500": 0.3, "unavailable_503": 0.2}, seed=seed) as server:
        return sorted((n, post(server, n=n)[0]) for n in order)


def test_a_share_is_a_function_of_seed_request_and_attempt_and_not_of_the_order():
    once = [n for n in range(40) for _ in range(2)]
    found = hits(once)
    assert found == hits(once[::-1])
    assert found != hits(once, seed=1)
    assert {status for _, status in found} == {200, 500, 503}
    assert 0.3 < sum(status != 200 for _, status in found) / len(found) < 0.7
    assert any(a != b for (_, a), (_, b) in zip(found[::2], found[1::2], strict=True))


def test_what_cannot_be_is_refused_with_the_nearest_name():
    with pytest.raises(UnknownName, match="did you mean 'error_500'"):
        FaultyServer(lambda _: "ok", "eror_500")
    with pytest.raises(UnknownName, match="no fault 'x'"):
        FaultyServer(lambda _: "ok", share={"x": 0.1})
    for share in ({"error_500": 1.1}, {"error_500": -0.1}, {"error_500": 0.6, "cut_body": 0.6}):
        with pytest.raises(ValueError, match="shares from 0 to 1"):
            FaultyServer(lambda _: "ok", share=share)
    with pytest.raises(ValueError, match="no `fault` beside"):
        FaultyServer(lambda _: "ok", "cut_body", share={"error_500": 0.1})


def test_a_call_is_spoiled_in_place_and_made_up_where_there_is_none():
    tools = [{"function": {"name": "put"}}]
    with FaultyServer(lambda _: calling("get", '{"a": 1}'), "arguments_duplicate_keys") as server:
        assert call_of(post(server)[1]) == {"name": "get", "arguments": '{"a": 1, "a": 0}'}
    with FaultyServer(lambda _: "just text", "arguments_nan") as server:
        assert call_of(post(server, tools=tools)[1]) == {"name": "put", "arguments": '{"n": NaN}'}


def test_the_huge_body_is_json_and_as_long_as_its_name_says():
    with FaultyServer(lambda _: "ok", "huge_body_50mb") as server:
        _, body = post(server)
    assert 49 * 10**6 < len(body) < 51 * 10**6
    assert set(json.loads(body)["choices"][0]["message"]["content"]) == {"x"}


def test_a_reset_connection_is_an_error_and_the_next_request_is_fine():
    with FaultyServer(lambda _: "ok", {0: "connection_reset_mid_headers"}) as server:
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            post(server)
        assert post(server)[0] == 200


def test_what_the_answering_function_raises_comes_out():
    def refuse(_):
        raise AssertionError("no")

    with pytest.raises(AssertionError, match="no"), FaultyServer(refuse, "content_list") as server:
        post(server)
