"""What was recorded is played to the byte; what was not is refused by its difference."""

import asyncio
import multiprocessing
from pathlib import Path

import pytest

from trajgen.backends.cassette import CassetteBackend, CassetteConfig, CassetteMiss
from trajgen.backends.scripted import ScriptedBackend
from trajgen.chat import Message, Reply, Usage
from trajgen.errors import ConfigError
from trajgen.spaces import tool

TOOLS = (tool("look", "Look.", at={"type": "string"}),)
CHAT = [Message("system", "Act."), Message("user", "Find the cup on the table.")]
MODEL = {"kind": "scripted", "replies": ["hm >> look(table)"]}


def play(config, messages=CHAT, tools=TOOLS, inner=None, **asked):
    return asyncio.run(CassetteBackend(config, inner).generate(messages, tools, **asked))


@pytest.fixture
def tape(tmp_path):
    config = CassetteConfig(str(tmp_path / "new" / "tape.jsonl"), "auto", MODEL)
    play(config, seed=1, sampling={"temperature": 0})
    return config


def replaying(config):
    return CassetteConfig(config.path)


def test_a_recorded_exchange_plays_without_the_model(tape):
    asked = {"seed": 1, "sampling": {"temperature": 0}}
    assert play(replaying(tape), **asked) == asyncio.run(ScriptedBackend(MODEL["replies"]).generate(CHAT, TOOLS))


def test_every_field_of_a_reply_survives(tmp_path):
    whole = Reply("t", (), "r", "stop", Usage(1, 2, 3), "m", '{"a": "\N{SNOWMAN}"}', (1, 2), (3,), (-0.125,), None)
    config = CassetteConfig(str(tmp_path / "t"), "record")
    play(config, inner=ScriptedBackend([whole]))
    assert play(replaying(config)) == whole


def test_auto_asks_the_model_once_and_record_every_time(tmp_path):
    for mode, n in (("auto", 1), ("record", 3)):
        model = ScriptedBackend(["hm >>"])
        backend = CassetteBackend(CassetteConfig(str(tmp_path / mode), mode), model)
        for _ in range(3):
            asyncio.run(backend.generate(CHAT, TOOLS))
        assert model.n_calls == n


def test_messages_are_stored_once_however_long_the_episode(tmp_path):
    config = CassetteConfig(str(tmp_path / "t"), "auto")
    backend = CassetteBackend(config, ScriptedBackend(["ok >>"], at_end="repeat"))
    chat = list(CHAT)
    for _ in range(5):
        asyncio.run(backend.generate(chat, TOOLS))
        chat += [Message("assistant", "ok"), Message("user", "go on")]
    text = Path(config.path).read_text()
    assert text.count("Find the cup") == 1
    assert text.count('"tools":[{') == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"messages": [CHAT[0], Message("user", "Find the cup on the chair.")]},
            r"message 1 \(user\), content: .*table.*chair",
        ),
        ({"messages": CHAT[1:]}, r"message 0 \(user\), role: recorded 'system', asked 'user'"),
        (
            {"messages": [*CHAT, Message("assistant", "x"), Message("user", "y")]},
            "it has 2 messages, of which 2 are the same",
        ),
        ({"seed": 2}, "seed: recorded 1, asked 2"),
        ({"sampling": {"temperature": 1}}, "sampling: recorded .*0.*, asked .*1"),
        ({"tools": (tool("look", "See."),)}, "tools"),
        ({"constraint": {"choice": ["a"]}}, "constraint: recorded None"),
    ],
)
def test_a_miss_names_the_difference_to_the_nearest_exchange(tape, change, said):
    asked = {"seed": 1, "sampling": {"temperature": 0}} | change
    with pytest.raises(CassetteMiss, match=said):
        play(replaying(tape), **asked)


def test_a_torn_line_is_skipped_and_later_ones_are_read(tape):
    asked = {"seed": 1, "sampling": {"temperature": 0}}
    with Path(tape.path).open("ab") as file:
        file.write(b'{"exchange": {"key": "x", "mess')
    play(tape, seed=5)
    backend = CassetteBackend(replaying(tape))
    assert backend.n_damaged == 1
    assert play(replaying(tape), seed=5).text == "hm"
    assert play(replaying(tape), **asked).text == "hm"


def _record(path, worker):
    config = CassetteConfig(path, "auto")
    backend = CassetteBackend(config, ScriptedBackend(["x" * 5_000 + " >>"]))
    for i in range(20):
        asyncio.run(backend.generate(CHAT, TOOLS, seed=worker * 1_000 + i))


def test_several_workers_can_record_into_one_file(tmp_path):
    path = str(tmp_path / "t")
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_record, args=(path, w)) for w in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    backend = CassetteBackend(CassetteConfig(path))
    assert backend.n_damaged == 0
    assert len(backend._exchanges) == 60
    assert Path(path).stat().st_size > 60 * 5_000


def test_what_is_missing_in_the_job_is_said(tmp_path):
    with pytest.raises(ConfigError, match="no cassette"):
        CassetteBackend(CassetteConfig(str(tmp_path / "none")))
    with pytest.raises(ConfigError, match="backend"):
        CassetteBackend(CassetteConfig(str(tmp_path / "none"), "auto"))
    with pytest.raises(ConfigError, match=r"backend\.repl: unknown key; did you mean 'replies'"):
        CassetteBackend(CassetteConfig(str(tmp_path / "none"), "auto", {"kind": "scripted", "repl": []}))


def test_where_the_file_lies_is_not_what_the_model_is():
    assert CassetteBackend.not_identity == {"path", "mode"}
