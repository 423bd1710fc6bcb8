"""The local server answers from a function, counts, and breaks as told."""

import http.client
import json
import time

import pytest

from trajgen.testing.server import calling, completion, cut, disconnect, garbage, serve, status


def post(server, data=None):
    host = server.base_url.removeprefix("http://").removesuffix("/v1")
    connection = http.client.HTTPConnection(host, timeout=20)
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(data or {"messages": []}))
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def message(body):
    return json.loads(body)["choices"][0]["message"]


def test_text_a_message_and_a_whole_body_are_answers():
    answers = ["hello", calling("get", {"a": 1}), completion("whole", model="mine")]
    with serve(lambda request: answers[request["n"]]) as server:
        assert message(post(server, {"n": 0})[1])["content"] == "hello"
        assert message(post(server, {"n": 1})[1])["tool_calls"][0]["function"]["arguments"] == '{"a": 1}'
        assert json.loads(post(server, {"n": 2})[1])["model"] == "mine"
        assert server.n_requests == 3
        assert [r["n"] for r in server.requests] == [0, 1, 2]


def test_what_the_function_raises_is_raised_where_it_was_written():
    def refuse(request):
        assert request["n"] == 1, "expected n = 1"
        return "ok"

    with pytest.raises(AssertionError, match="expected n = 1"), serve(refuse) as server:
        post(server, {"n": 2})


def test_faults_come_in_order_and_then_good_answers():
    with serve(lambda _: "ok", faults=[status(503), None, garbage(b"<html>", 200)]) as server:
        assert post(server)[0] == 503
        assert message(post(server)[1])["content"] == "ok"
        assert post(server) == (200, b"<html>")
        assert post(server)[0] == 200


def test_faults_may_be_a_function_of_the_requests_number():
    with serve(lambda _: "ok", faults=lambda n: status(500) if n % 2 else None) as server:
        assert [post(server)[0] for _ in range(4)] == [200, 500, 200, 500]


def test_a_cut_body_is_cut_and_a_dropped_connection_dropped():
    with serve(lambda _: "ok", faults=[cut(), disconnect()]) as server:
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            post(server)
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            post(server)


def test_latency_is_waited():
    with serve(lambda _: "ok", latency_s=0.2) as server:
        started = time.monotonic()
        post(server)
        assert time.monotonic() - started >= 0.2
