"""What `trajgen export --to trl` writes, `datasets` reads back as the chat of the episode, and nothing else."""

import gc
import json
import math
import subprocess
import sys
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from export.episodes import MOVE, call, every_kind, plain, story, told, turn
from trajgen import registry
from trajgen.chat import Message, Usage
from trajgen.errors import ConfigError, StoreFault
from trajgen.export.trl import TrlConfig, TrlExporter, TrlRow
from trajgen.messages import episode_messages, tool_schema
from trajgen.strict import convert
from trajgen.types import ArrayRecord, Episode, ModelCall, ObservationRecord, Tool

KINDS = every_kind()


def export(episodes, out, **options):
    return TrlExporter().export(iter(episodes), out, convert(options, TrlConfig, "trl"))


def expected_chat(episode, **where):
    """The chat of an episode as plain JSON, by the only map there is."""
    return [_plain(m) for m in episode_messages(episode, **where)]


def _plain(message):
    chat = {"role": message.role, "content": message.content}
    if message.reasoning_content is not None:
        chat["reasoning_content"] = message.reasoning_content
    if message.tool_calls:
        chat["tool_calls"] = [
            {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": json.loads(c.arguments)}}
            for c in message.tool_calls
        ]
    if message.tool_call_id is not None:
        chat["tool_call_id"] = message.tool_call_id
        chat["name"] = message.name
    return chat


def only_row(datasets, out):
    (path,) = sorted(out.glob("data/*.parquet"))
    (row,) = datasets.Dataset(pq.read_table(path))
    return row


# ------------------------------------------------------------------------------------- content


def test_load_dataset_gives_every_kind_of_episode_as_its_own_chat(load, tmp_path):
    report = export(KINDS.values(), tmp_path / "out")
    data = load(tmp_path / "out")
    assert report.n_in == report.n_out == len(KINDS) == data["train"].num_rows
    by_id = {row["episode_id"]: row for row in data["train"]}
    for kind, episode in KINDS.items():
        assert by_id[episode.episode_id]["messages"] == expected_chat(episode), kind


def test_a_stream_gives_the_same_rows(datasets, load, tmp_path):
    export(KINDS.values(), tmp_path / "out")
    streamed = list(datasets.load_dataset(str(tmp_path / "out"), streaming=True)["train"])
    assert streamed == list(load(tmp_path / "out")["train"])


def test_arguments_are_objects_with_exactly_their_own_keys(load, tmp_path):
    episodes = [plain(n) for n in range(8)]
    export(episodes, tmp_path / "out")
    for row, episode in zip(load(tmp_path / "out")["train"], episodes, strict=True):
        found = [c["function"] for m in row["messages"] for c in m.get("tool_calls", ())]
        assert [f["arguments"] for f in found] == [json.loads(s.arguments) for s in episode.steps]
        assert [f["name"] for f in found] == [s.tool for s in episode.steps]


def test_tools_are_the_schemas_of_the_episode_and_none_where_there_are_none(load, tmp_path):
    export([plain(0), KINDS["no tools at all"], plain(1, tools=("move",))], tmp_path / "out")
    every, none, one = load(tmp_path / "out")["train"]["tools"]
    assert [t["function"]["name"] for t in every] == ["search", "move", "order", "look"]
    assert none is None
    assert one == [tool_schema(Tool("move", "Move the arm.", MOVE))]


def test_a_message_has_no_key_that_it_does_not_need(datasets, tmp_path):
    export([KINDS["reasoning and a last word"]], tmp_path / "out")
    keys = [set(m) for m in only_row(datasets, tmp_path / "out")["messages"]]
    assert keys == [
        {"role", "content"},
        {"role", "content"},
        {"role", "content", "reasoning_content", "tool_calls"},
        {"role", "content", "tool_call_id", "name"},
        {"role", "content"},
    ]


def test_the_other_columns_tell_where_a_row_comes_from(datasets, tmp_path):
    episode = plain(3, agent="planner", split="validation", oracle_steps=None)
    export([episode], tmp_path / "out")
    row = only_row(datasets, tmp_path / "out")
    told_by = {k: v for k, v in row.items() if k not in {"messages", "tools"}}
    assert told_by == {
        "episode_id": episode.episode_id,
        "group_id": episode.group_id,
        "trial": 0,
        "sample": 0,
        "env_id": "test/World-v0",
        "seed": 3,
        "split": "validation",
        "role": "agent",
        "agent": "planner",
        "model": None,
        "success": True,
        "return": 1.0,
        "n_steps": 2,
        "oracle_steps": None,
        "stop_reason": "terminated",
    }


def test_no_column_has_a_name_that_trl_reads_as_another_format():
    reserved = {"prompt", "completion", "chosen", "rejected", "text", "image", "images", "input_ids", "labels"}
    assert not reserved & {f.encode_name for f in msgspec.structs.fields(TrlRow)}


def test_each_role_that_said_something_gets_a_row(load, tmp_path):
    episode = story(
        turn("You go.", call("look", "A."), role="boss"),
        turn("I go.", call("look", "B."), role="hand"),
        roles=("boss", "hand", "idle"),
    )
    report = export([episode], tmp_path / "out")
    rows = list(load(tmp_path / "out")["train"])
    assert report.n_out == 1
    assert [r["role"] for r in rows] == ["boss", "hand"]
    assert [r["messages"] for r in rows] == [expected_chat(episode, role=r) for r in ("boss", "hand")]


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
json_values = st.recursive(scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(), v, max_size=3))
arguments = st.dictionaries(st.text(), json_values, max_size=4)


def is_readable(value):
    if isinstance(value, dict | list):
        return all(map(is_readable, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, int) or -(2**63) <= value < 2**64


def same(a, b):
    """Equal, but for the last digits of fractions: `datasets` reads them with pandas' parser."""
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-290)
    return type(a) is type(b) and a == b


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=st.lists(arguments, min_size=1, max_size=3), text=st.none() | st.text(), result=st.text())
def test_any_arguments_and_texts_come_back_or_are_left_out_and_say_why(datasets, tmp_path_factory, calls, text, result):
    out = tmp_path_factory.mktemp("any")
    given_calls = [call("search", result) | {"arguments": msgspec.json.encode(a).decode()} for a in calls]
    episode = story(turn(text, *given_calls))
    report = export([episode], out)
    if not all(map(is_readable, calls)):
        assert report.rejected == {"a whole number beyond 64 bits, which `datasets` cannot read": 1}
        assert not report.files
        return
    assert same(only_row(datasets, out)["messages"], expected_chat(episode))


@pytest.mark.parametrize(
    ("number", "taken"), [(2**64 - 1, 1), (2**64, 0), (-(2**63), 1), (-(2**63) - 1, 0), (1e300, 1)]
)
def test_whole_numbers_are_taken_as_far_as_datasets_reads_them(datasets, tmp_path, number, taken):
    report = export([story(turn("Go.", call("search", "", query={"n": [number]})))], tmp_path / "out")
    assert report.n_out == taken
    if taken:
        found = only_row(datasets, tmp_path / "out")["messages"][2]["tool_calls"][0]["function"]["arguments"]
        assert found == {"query": {"n": [number]}}


def test_digits_inside_a_text_are_no_number(tmp_path):
    assert export([story(turn("9" * 40, call("search", "", query="8" * 40)))], tmp_path / "out").n_out == 1


# ------------------------------------------------------------------------------------- chat templates

CHATML = """\
{%- if tools %}<|im_start|>system
{{ messages[0].content }}
# Tools
{%- for tool in tools %}
{{ tool | tojson }}{% endfor %}<|im_end|>
{%- else %}<|im_start|>system
{{ messages[0].content }}<|im_end|>
{%- endif %}
{%- for m in messages[1:] %}
<|im_start|>{{ m.role }}
{% if m.reasoning_content is string %}<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content }}
{%- for c in m.tool_calls or [] %}
<tool_call>{"name": {{ c.function.name | tojson }}, "arguments": {{ c.function.arguments | tojson }}}</tool_call>
{%- endfor %}<|im_end|>
{%- endfor %}"""
LLAMA3 = """\
{%- for m in messages %}
{%- if m.role == 'tool' %}<ipython>{{ m.content | tojson }}
{%- elif 'tool_calls' in m %}<call>
{%- for c in m.tool_calls %}{{ c.function.name }}(
{%- for k, v in c.function.arguments.items() %}{{ k }}={{ v | tojson }} {% endfor %}){% endfor %}
{%- else %}<{{ m.role }}>{{ m.content }}
{%- endif %}
{%- endfor %}"""


@pytest.mark.parametrize("template", [CHATML, LLAMA3], ids=["asks whether it is true", "asks whether it is there"])
def test_a_chat_template_renders_loaded_rows_as_it_renders_the_chat_itself(load, tmp_path, template):
    import jinja2

    environment = jinja2.Environment(undefined=jinja2.ChainableUndefined, autoescape=False)
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    render = environment.from_string(template).render
    export(KINDS.values(), tmp_path / "out")
    for row, episode in zip(load(tmp_path / "out")["train"], KINDS.values(), strict=True):
        tools = [tool_schema(Tool(t.name, t.description, json.loads(t.parameters))) for t in episode.tools]
        text = render(messages=row["messages"], tools=row["tools"])
        assert text == render(messages=expected_chat(episode), tools=tools)
        assert "null}" not in text.replace(' "note": null', "").replace('"note": null', "")


# ------------------------------------------------------------------------------------- what is taken


def test_failed_episodes_and_those_without_a_reply_are_left_out_and_counted(tmp_path):
    failed = [plain(n, failure=boundary) for n, boundary in enumerate(["env", "env", "agent"])]
    report = export([*failed, story(), plain(9), story(turn(None))], tmp_path / "out")
    assert report.rejected == {"failed (agent)": 1, "failed (env)": 2, "the agent never replied": 2}
    assert (report.n_in, report.n_out) == (6, 1)


def test_all_are_taken_by_default_and_only_successes_where_asked(tmp_path):
    episodes = [plain(0), plain(1, success=False), plain(2, success=None)]
    assert export(episodes, tmp_path / "all").n_out == 3
    report = export(episodes, tmp_path / "some", only="success")
    assert report.n_out == 1
    assert report.rejected == {"no success": 1, "success unknown: the environment cannot tell": 1}


def test_nothing_taken_writes_nothing_and_says_so(tmp_path):
    report = export([plain(0, failure="env")], tmp_path / "out")
    assert report.files == ()
    assert report.how_to_load == "nothing was written"
    assert list((tmp_path / "out").iterdir()) == []


def test_losses_are_told_where_they_happened_and_only_there(tmp_path):
    clean = story(turn("Done."), stop_reason="agent_stop")
    assert export([clean], tmp_path / "clean").loss == ()
    seen = ObservationRecord("A.", (b"png", b"png"), (ArrayRecord("q", "<f8", (1,), bytes(8)),))
    odd = story(
        turn("Go.", call("look", "A.", raw="{ }", feedback=[told("progress", "1", shown=False)]), plan="1. look"),
        turn("Go.", call("look", "B."), label="bad"),
    )
    odd = msgspec.structs.replace(
        odd, steps=(msgspec.structs.replace(odd.steps[0], observation=seen, state_digest=bytes(16)), odd.steps[1])
    )
    assert export([odd, odd], tmp_path / "odd").loss == (
        "2 feedback lines that are not shown",
        "4 rewards, one a step (their sum is kept)",
        "2 state digests",
        "4 images in observations",
        "2 arrays in observations",
        "2 calls' arguments in a model's own characters (they are given as they were read)",
        "2 turns' plans, weighed options and imagined calls",
        "2 turns' labels and loss weights (all count alike)",
        "2 replies after the last call's result, since the episode ended there (kept: TRL takes such rows)",
    )


@pytest.mark.parametrize("kind", KINDS)
def test_an_open_end_is_counted_exactly_where_the_chat_does_not_end_on_a_reply(tmp_path, kind):
    report = export([KINDS[kind]], tmp_path / "out")
    counted = any("replies after the last call's result" in line for line in report.loss)
    assert counted == (expected_chat(KINDS[kind])[-1]["role"] != "assistant")


# ------------------------------------------------------------------------------------- what a model was sent


def model_call(number, n_kept, *new, purpose="act", role="agent"):
    usage = Usage()
    return ModelCall(
        number, role, purpose, "small", n_kept, new, "{}", None, None, None, None, "stop", usage, None, 0.0
    )


OPEN = (Message("system", "Terse."), Message("user", "Q: find it"))
TURNS = (turn("look()", call("look", "A cup.")), turn("get()", call("search", "Got it.", query="cup")))


def test_as_seen_gives_the_prompt_that_was_sent_and_what_came_after(datasets, tmp_path):
    more = (Message("assistant", "A: look()"), Message("user", "O: A cup."))
    calls = (model_call(0, 0, *OPEN), model_call(0, 0, Message("user", "?"), purpose="plan"), model_call(1, 2, *more))
    episode = story(*TURNS, agent="llm", model_calls=calls)
    export([episode], tmp_path / "out", **{"as": "seen"})
    row = only_row(datasets, tmp_path / "out")
    assert row["model"] == "small"
    assert row["messages"] == [*map(_plain, (*OPEN, *more)), *expected_chat(episode)[-2:]]


def test_as_seen_is_canonical_where_no_model_played_and_canonical_ignores_what_was_sent(datasets, tmp_path):
    oracle, llm = story(*TURNS), story(*TURNS, model_calls=(model_call(0, 0, *OPEN),))
    export([oracle], tmp_path / "seen", **{"as": "seen"})
    export([llm], tmp_path / "canonical")
    assert only_row(datasets, tmp_path / "seen")["messages"] == expected_chat(oracle)
    assert only_row(datasets, tmp_path / "canonical")["messages"] == expected_chat(llm)


def test_as_seen_says_where_a_prompt_was_rewritten(datasets, tmp_path):
    calls = (model_call(0, 0, *OPEN), model_call(1, 1, Message("user", "In short: a cup.")))
    episode = story(*TURNS, model_calls=calls)
    report = export([episode], tmp_path / "out", **{"as": "seen"})
    assert "1 episodes' earlier prompts, rewritten midway (only the last is given)" in report.loss
    contents = [m["content"] for m in only_row(datasets, tmp_path / "out")["messages"]]
    assert contents == ["Terse.", "In short: a cup.", "get()", "Got it."]


def test_as_seen_leaves_out_a_prompt_whose_calls_hold_no_object(tmp_path):
    bad = msgspec.convert(
        {"role": "assistant", "content": "", "tool_calls": [{"id": "x", "name": "look", "arguments": "{"}]}, Message
    )
    report = export([story(*TURNS, model_calls=(model_call(1, 0, *OPEN, bad),))], tmp_path / "out", **{"as": "seen"})
    assert report.rejected == {"a call in a prompt whose arguments are no JSON object": 1}


# ------------------------------------------------------------------------------------- files


def test_each_split_is_a_split_and_an_episode_without_one_trains(load, tmp_path):
    splits = ["train", "test", None, "validation", "test"]
    # words in the folder's own name must not be taken for splits
    out = tmp_path / "test-of-validation" / "dev"
    export([plain(n, split=s) for n, s in enumerate(splits)], out)
    data = load(out)
    assert {name: list(part["seed"]) for name, part in data.items()} == {
        "train": [0, 2],
        "test": [1, 4],
        "validation": [3],
    }
    assert list(data["train"]["split"]) == ["train", None]


def test_long_splits_become_several_files_in_order(load, tmp_path):
    report = export((plain(n) for n in range(7)), tmp_path / "out", rows_per_file=3)
    assert [f.name for f in report.files] == [f"train-0000{i}-of-00003.parquet" for i in range(3)]
    assert [pq.ParquetFile(f).metadata.num_rows for f in report.files] == [3, 3, 1]
    assert list(load(tmp_path / "out")["train"]["seed"]) == list(range(7))


def test_the_line_to_load_it_works_as_printed(datasets, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = export([plain(0)], Path("out"))
    assert report.how_to_load == "from datasets import load_dataset; data = load_dataset('out')"
    names = {}
    exec(report.how_to_load, names)
    assert names["data"]["train"].num_rows == 1


def test_equal_episodes_give_equal_files(tmp_path):
    a, b = (export(KINDS.values(), tmp_path / name).files for name in "ab")
    assert [p.read_bytes() for p in a] == [p.read_bytes() for p in b]


def test_other_readers_see_lists_of_json_documents(tmp_path):
    import pandas as pd

    (path,) = export([plain(0)], tmp_path / "out").files
    assert str(pq.ParquetFile(path).schema.column(0).logical_type) == "JSON"
    row = pd.read_parquet(path).iloc[0]
    assert [json.loads(m)["role"] for m in row["messages"]] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
        "tool",
    ]
    assert json.loads(row["tools"][0])["type"] == "function"


def count_records():
    gc.collect()
    return sum(isinstance(o, TrlRow | Episode) for o in gc.get_objects())


def test_episodes_are_let_go_while_the_export_goes_on(tmp_path, monkeypatch):
    from trajgen.export import hf_parquet

    monkeypatch.setattr(hf_parquet, "_GROUP_ROWS", 10)
    out = tmp_path / "out"
    before, alive = count_records(), []

    def episodes():
        for n in range(200):
            if n % 50 == 49:
                alive.append(count_records() - before)
                assert list(out.glob("data/.train-*.part"))
            yield plain(n)

    assert export(episodes(), out).n_out == 200
    assert max(alive) <= 11  # the rows of one group, and the episode in hand
    assert pq.ParquetFile(next(out.glob("data/*"))).metadata.num_row_groups == 20


def test_an_export_that_breaks_off_leaves_an_empty_folder(tmp_path):
    def episodes():
        yield from (plain(n, split=("train", "test")[n % 2]) for n in range(10))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(episodes(), tmp_path / "out", rows_per_file=2)
    assert list((tmp_path / "out").iterdir()) == []
    assert export([plain(0)], tmp_path / "out").n_out == 1


def test_a_disk_that_fails_is_a_store_fault_and_leaves_no_part(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(OSError("No space left on device")))
    with pytest.raises(StoreFault, match="No space left"):
        export([plain(0), plain(1, split="test")], tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_that_holds_something_is_refused_and_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(ConfigError, match=r"out: expected an empty or new folder, found 1 entries in .*'mine.txt'"):
        export([plain(0)], tmp_path)
    with pytest.raises(ConfigError, match=r"found the file .*mine.txt"):
        export([plain(0)], tmp_path / "mine.txt")
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


# ------------------------------------------------------------------------------------- options, registration


def test_options_are_read_strictly(tmp_path):
    with pytest.raises(ConfigError, match=r"trl\.row_per_file: unknown key; did you mean 'rows_per_file'"):
        export([], tmp_path, row_per_file=3)
    with pytest.raises(ConfigError, match=r"trl\.rows_per_file: "):
        export([], tmp_path, rows_per_file=0)
    with pytest.raises(ConfigError, match=r"trl\.as: "):
        export([], tmp_path, **{"as": "raw"})


def test_it_is_found_by_its_name():
    assert registry.exporter("trl") is TrlExporter


def test_naming_the_exporter_loads_no_pyarrow():
    code = "import sys, trajgen.export.trl; sys.exit('pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
