"""`trajgen doctor --endpoint`: what works at a server is found out by asking it, and said in a line each."""

import json

from trajgen.cli import main
from trajgen.testing.server import calling, completion, disconnect, serve, status


def able(request):
    """Answer as a server does that keeps to everything."""
    if "tools" in request:
        return calling("add", {"a": 20, "b": 3})
    if "response_format" in request:
        return '{"colour": "red", "n": 1}'
    if "structured_outputs" in request:
        return request["structured_outputs"]["choice"][1]
    if request.get("return_token_ids"):
        told = completion("hello", prompt_token_ids=[1, 2])
        told["choices"][0] |= {"token_ids": [3], "logprobs": {"content": [{"token": "hello", "logprob": -0.5}]}}
        return told
    return f"reply {request['seed']}"


def asked(capsys, *words):
    code = main(["doctor", "--json", *words])
    said = capsys.readouterr()
    return code, {f["what"]: f for f in json.loads(said.out)["findings"]}


def test_a_server_that_can_do_everything_is_told_so(capsys):
    with serve(able) as server:
        code, found = asked(capsys, "--endpoint", server.base_url, "--model", "m")
        assert {r["model"] for r in server.requests} == {"m"}
    assert code == 0
    assert {what: f["state"] for what, f in found.items() if what != "models"} == dict.fromkeys(
        ("chat", "tools", "schema", "choice", "seeds", "tokens", "speed"), "ok"
    )
    assert found["tools"]["found"] == "native calls: add(a=20, b=3)"
    assert "another seed another one" in found["seeds"]["found"]
    assert "tokens/s" in found["speed"]["found"]


def test_what_a_server_ignores_is_missing_and_what_to_do_is_said(capsys):
    with serve(lambda request: "Hello, once upon a time ...") as server:
        code, found = asked(capsys, "--endpoint", server.base_url, "--model", "m")
    assert code == 0
    states = {what: f["state"] for what, f in found.items()}
    assert [what for what, state in states.items() if state == "missing"] == [
        "tools",
        "schema",
        "choice",
        "tokens",
    ]
    assert "`react`" in found["tools"]["advice"]


def test_a_refusal_is_an_answer_of_its_own(capsys):
    def refuses(number):
        return status(400, "unknown key response_format") if number == 2 else None

    with serve(able, faults=refuses) as server:
        code, found = asked(capsys, "--endpoint", server.base_url, "--model", "m")
    assert code == 0
    assert found["schema"]["state"] == "missing"
    assert "unknown key response_format" in found["schema"]["found"]
    assert found["choice"]["state"] == "ok"


def test_a_server_that_does_not_answer_is_broken_and_asked_no_further(capsys):
    with serve(able, faults=lambda number: disconnect()) as server:
        code, found = asked(capsys, "--endpoint", server.base_url, "--model", "m")
        assert server.n_requests <= 2
    assert code == 1
    assert found["chat"]["state"] == "broken"
    assert set(found) == {"models", "chat"}


def test_what_is_missing_to_ask_is_named(capsys, monkeypatch):
    with serve(able) as server:
        assert main(["doctor", "--endpoint", server.base_url]) == 2
        assert "type: --model NAME" in capsys.readouterr().err
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    assert main(["doctor", "--endpoint", "http://127.0.0.1:9/v1", "--model", "m", "--api-key-env", "NO_SUCH_KEY"]) == 2
    assert "NO_SUCH_KEY is not set" in capsys.readouterr().err
    assert main(["doctor", "--model", "m"]) == 2
    assert "--endpoint: missing" in capsys.readouterr().err
    assert main(["doctor", "--endpoint", "host:8000"]) == 2
    assert "--endpoint" in capsys.readouterr().err
