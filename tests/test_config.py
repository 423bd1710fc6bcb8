"""Job files: what they mean, and that whatever is wrong is said with path, expected, found and nearest name."""

from __future__ import annotations

import contextlib
import re
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trajgen import config
from trajgen.config import parse
from trajgen.errors import ConfigError, UserError

if TYPE_CHECKING:
    from pathlib import Path

BASE: dict[str, Any] = {"env": "CartPole-v1", "agent": "random", "seeds": "0:10"}
MODEL = {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", "model": "m"}
LLM: dict[str, Any] = {**BASE, "agent": {"name": "llm", "backend": "b"}, "backend": {"b": MODEL}}

MIX: dict[str, Any] = {"env": "CartPole-v1", "agent": "random", "episodes": 10, "entry": [{"weight": 1}]}
NAN, INF = float("nan"), float("inf")


def nested(depth: int) -> Any:
    return [nested(depth - 1)] if depth else []


def key_of(**changes: Any) -> str:
    return parse({**LLM, **changes}).entries[0].key


def test_lists_multiply():
    job = parse({"env": ["CartPole-v1", "FrozenLake-v1"], "agent": ["random", "planner"], "seeds": "0:3"})
    assert [(e.env_id, e.agent.name) for e in job.entries] == [
        ("CartPole-v1", "random"),
        ("CartPole-v1", "planner"),
        ("FrozenLake-v1", "random"),
        ("FrozenLake-v1", "planner"),
    ]


def test_a_key_of_an_entry_wins_over_the_same_key_above():
    job = parse({**BASE, "budget": {"max_steps": 9, "step_timeout_s": 3}, "entry": [{"budget": {"max_steps": 4}}]})
    budget = job.entries[0].budget
    assert (budget.max_steps, budget.step_timeout_s) == (4, 3.0)


def test_lists_of_channels_multiply_and_are_put_in_order():
    job = parse({**BASE, "feedback": [["scene", "success"], []]})
    assert [e.feedback for e in job.entries] == [("success", "scene"), ()]


def test_by_default_all_passive_channels_but_progress_are_shown():
    assert parse(BASE).entries[0].feedback == ("success", "object", "scene", "error")


def test_our_environments_default_to_train_and_foreign_ones_to_no_split():
    assert parse({**BASE, "env": "counting/Guess-v0"}).entries[0].split == "train"
    assert parse(BASE).entries[0].split is None


def test_weights_share_the_total_by_largest_remainder():
    entries = [{"weight": 1}, {"weight": 2, "env": "FrozenLake-v1"}]
    job = parse({"env": "CartPole-v1", "agent": "random", "episodes": 10, "entry": entries})
    assert [len(e.seeds) for e in job.entries] == [3, 7]


@pytest.mark.parametrize(
    "changes",
    [
        {"workers": 3},
        {"concurrency": 2},
        {"name": "other"},
        {"seeds": "5:7"},
        {"samples": 4},
        {"backend": {"b": {**MODEL, "base_url": "http://127.0.0.1:2/v1"}}},
        {"backend": {"b": {**MODEL, "timeout_s": 7}}},
        {"feedback": ["error", "scene", "object", "success"]},
    ],
    ids=str,
)
def test_what_says_how_a_job_runs_changes_no_episode_id(changes: dict[str, Any]):
    assert key_of(**changes) == key_of()


@pytest.mark.parametrize(
    "changes",
    [
        {"backend": {"b": {**MODEL, "model": "other"}}},
        {"backend": {"b": {**MODEL, "sampling": {"temperature": 0.1}}}},
        {"feedback": ["scene"]},
        {"budget": {"max_steps": 3}},
        {"agent": {"name": "llm", "backend": "b", "system_prompt": "Be brief."}},
    ],
    ids=str,
)
def test_what_shapes_content_changes_the_episode_ids(changes: dict[str, Any]):
    assert key_of(**changes) != key_of()


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, r"entry: missing; a job needs at least one"),
    ({"env": "CartPole-v1", "seeds": "0:2"}, r"agent: missing"),
    ({**BASE, "agent": "randm"}, r"agent: no agent 'randm'; did you mean 'random'\?"),
    ({**BASE, "agent": {"nme": "random"}}, r"agent\.name: expected the name of an agent, found None"),
    ({**BASE, "agent": {"name": "halving", "patienc": 3}}, r"agent\.patienc: unknown key; did you mean 'patience'\?"),
    ({**BASE, "agent": {"name": "halving", "patience": 0}}, r"agent\.patience: expected .* >= 1, found 0"),
    ({**BASE, "budgt": {}}, r"budgt: unknown key; did you mean 'budget'\?"),
    ({**BASE, "budget": {"max_step": 3}}, r"budget\.max_step: unknown key; did you mean 'max_steps'\?"),
    ({**BASE, "budget": {"max_steps": "ten"}}, r"budget\.max_steps: expected a whole number .*, found 'ten'"),
    ({**BASE, "budget": {"max_steps": 0}}, r"budget\.max_steps: expected .* >= 1, found 0"),
    ({**BASE, "seeds": "10"}, r'seeds: expected "FIRST:PAST_LAST"'),
    ({**BASE, "seeds": "5:5"}, r"seeds: expected at least one seed"),
    ({**BASE, "seeds": [-1]}, r"seeds: expected at least one seed, none below 0"),
    ({"env": "CartPole-v1", "agent": "random"}, r"seeds: give either `seeds` or `weight`"),
    (
        {**BASE, "split": "trian"},
        r"split: expected one of train, validation, test, found 'trian'; did you mean 'train'\?",
    ),
    ({**BASE, "feedback": ["sucess"]}, r"feedback: expected channels of .*, found 'sucess'; did you mean 'success'\?"),
    ({**BASE, "feedback": ["human"]}, r"feedback: expected channels of"),
    ({**BASE, "workers": -1}, r"workers: expected .* >= 0"),
    ({**BASE, "concurrency": 100_000}, r"concurrency: expected .* <= 4096, found 100000"),
    ({**BASE, "workers": "many"}, r"workers: .*found 'many'"),
    ({**BASE, "name": "../x"}, r"name: expected .*, found '\.\./x'"),
    ({**BASE, "episodes": 10}, r"episodes: only a job whose entries have `weight`"),
    ({**LLM, "backend": {}}, r"agent\.backend: expected the NAME of a \[backend\.NAME\] table, found 'b'"),
    ({**LLM, "backend": {"b": {"kind": "opnai"}}}, r"backend\.b\.kind: no backend 'opnai'; did you mean 'openai'\?"),
    ({**LLM, "backend": {"b": {}}}, r"backend\.b\.kind: expected the name of a backend"),
    ({**BASE, "seeds": "1:999999999"}, r"seeds: expected at most 10,000,000 seeds, found 999,999,998 in '1:999999999'"),
    ({**BASE, "seeds": f"0:{10**20}"}, r"seeds: expected seeds up to 2\*\*63 - 1"),
    ({**BASE, "seeds": "0:" + "9" * 5_000}, r"seeds: expected seeds up to 2\*\*63 - 1"),
    ({**BASE, "seeds": [10**30]}, r"seeds\[0\]: expected a whole number within 64 bits, found one of 100 bits"),
    ({**BASE, "samples": 1_000_001}, r"samples: expected .* <= 1000000, found 1000001"),
    ({**BASE, "trials": 10**9}, r"trials: expected .* <= 1000000, found 1000000000"),
    ({**BASE, "samples": 10_000, "trials": 1_000}, r"seeds: expected at most 10,000,000 episodes, found 100,000,000"),
    ({**BASE, "budget": {"step_timeout_s": 1e300}}, r"budget\.step_timeout_s: expected .* <= 10000000"),
    ({**BASE, "budget": {"episode_timeout_s": NAN}}, r"budget\.episode_timeout_s: expected a finite number, found nan"),
    ({**BASE, "budget": {"step_timeout_s": INF}}, r"budget\.step_timeout_s: expected a finite number, found inf"),
    ({**BASE, "options": {"a": [{"b": -INF}]}}, r"options\.a\[0\]\.b: expected a finite number, found -inf"),
    ({**BASE, "make_options": {"a": NAN}}, r"make_options\.a: expected a finite number, found nan"),
    ({**BASE, "agent": {"name": "halving", "patience": INF}}, r"agent\.patience: expected a finite number, found inf"),
    ({"entry": [{**BASE, "options": {"a": NAN}}]}, r"entry\[0\]\.options\.a: expected a finite number"),
    ({**BASE, "options": {"a": 2**64}}, r"options\.a: expected a whole number within 64 bits"),
    ({**BASE, "options": {"a": date(2026, 1, 1)}}, r"options\.a: expected a value that JSON has"),
    ({**BASE, "options": {"a": "\udcff"}}, r"options\.a: expected text in Unicode"),
    ({**BASE, "options": {"a": nested(100)}}, r"expected at most 64 tables and lists inside each other"),
    ({**BASE, "split": []}, r"split: expected at least one of train, validation, test, found none"),
    ({**BASE, "options": {"split": "test"}}, r"options\.split: say `split` beside `options`"),
    ({**BASE, "resources": {"GPU": 1.0}}, r"resources: not supported yet"),
    ({**MIX, "samples": 2}, r"entry\[0\]\.samples: an entry with `weight` takes 1, found 2"),
    ({**MIX, "trials": 3}, r"entry\[0\]\.trials: an entry with `weight` takes 1, found 3"),
    ({**MIX, "episodes": 10**8}, r"episodes: expected .* <= 10000000"),
    ({**MIX, "entry": [{"weight": 1e308}]}, r"entry\[0\]\.weight: expected .* <= 1"),
    ({**MIX, "entry": [{"weight": 5e-324}]}, r"entry\[0\]\.weight: expected .* >= 1e-09"),
    ({**BASE, "workers": 10**9}, r"workers: expected .* <= 65536"),
    ({"entry": [BASE, BASE]}, r"entry: 10 episodes of CartPole-v1 x random are asked for twice"),
    ({"entry": [{**BASE, "envs": "x"}]}, r"entry\[0\]\.envs: unknown key; did you mean 'env'\?"),
]


@pytest.mark.parametrize(("data", "message"), WRONG, ids=[m for _, m in WRONG])
def test_what_is_wrong_is_said_with_its_path(data: dict[str, Any], message: str):
    with pytest.raises(UserError, match=message):
        parse(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from(
    [
        *BASE,
        "split",
        "samples",
        "trials",
        "budget",
        "feedback",
        "wrappers",
        "options",
        "make_options",
        "resources",
        "episodes",
        "workers",
        "name",
        "entry",
        "backend",
        "x",
    ]
)


@settings(max_examples=1_000, deadline=None)
@given(st.dictionaries(keys, json_values, max_size=4))
def test_any_change_of_a_job_is_a_job_or_a_message(changes: dict[str, Any]):
    with contextlib.suppress(UserError):
        parse({**BASE, **changes})


def test_overrides_are_read_as_toml_and_bare_words_as_text():
    job = parse(BASE, ["budget.max_steps=7", 'env=["FrozenLake-v1"]', "split=test", "entry=[{}]", "entry.0.samples=2"])
    entry = job.entries[0]
    assert (entry.budget.max_steps, entry.env_id, entry.split, entry.samples) == (7, "FrozenLake-v1", "test", 2)


@pytest.mark.parametrize("text", ["novalue", "=3", "seeds.x=1", "entry.5.env=1"])
def test_an_override_that_goes_nowhere_is_refused(text: str):
    with pytest.raises(UserError):
        parse({**BASE, "entry": [{}]}, [text])


def test_the_largest_entry_is_a_job():
    job = parse({**BASE, "seeds": [0], "samples": 1_000_000, "trials": 10, "resources": {}})
    assert (job.entries[0].samples, job.entries[0].trials) == (1_000_000, 10)


@pytest.mark.parametrize("text", ["a = " + "9" * 5_000, "a = " + "[" * 5_000])
def test_toml_that_python_gives_up_on_is_said_to_be_none(tmp_path: Path, text: str):
    (tmp_path / "job.toml").write_text(text)
    with pytest.raises(UserError, match=r"job\.toml: not TOML: "):
        config.load(tmp_path / "job.toml")
    with pytest.raises(UserError, match=r"options\.a|seeds"):
        parse({**BASE, "seeds": "x"}, [f"options.{text.replace(' ', '')}"])


def test_a_file_that_is_no_toml_or_not_there_is_named(tmp_path: Path):
    (tmp_path / "job.toml").write_text("a = = 3")
    with pytest.raises(UserError, match=r"job\.toml: not TOML: .*line 1"):
        config.load(tmp_path / "job.toml")
    with pytest.raises(UserError, match=r"jbo\.toml: no such file; did you mean 'job\.toml'\?"):
        config.load(tmp_path / "jbo.toml")
    with pytest.raises(UserError, match="found a folder"):
        config.load(tmp_path)


def test_swept_options_multiply_and_a_list_in_options_stays_one_value():
    job = config.parse(
        {
            "env": "trajgen/Toolbox-v0",
            "agent": "oracle",
            "seeds": "0:1",
            "options": {"families": ["calculator", "units"]},
            "sweep": {"depth": [1, 2], "failures": [0.0, 0.1]},
        }
    )
    found = [(e.options["depth"], e.options["failures"], e.options["families"]) for e in job.entries]
    assert found == [(d, f, ["calculator", "units"]) for d in (1, 2) for f in (0.0, 0.1)]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"sweep": {"depth": []}}, "sweep.depth: expected at least one value"),
        ({"sweep": {"depth": [1]}, "options": {"depth": 2}}, "sweep.depth: depth is in `options` too"),
        ({"sweep": {"split": ["train"]}}, "sweep.split: say `split` beside `sweep`"),
        ({"sweep": {f"k{i}": list(range(10)) for i in range(9)}}, "sweep: expected at most 10,000 combinations"),
    ],
)
def test_a_sweep_that_means_nothing_is_refused_with_its_place(keys, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        config.parse({"env": "trajgen/Toolbox-v0", "agent": "oracle", "seeds": "0:1", **keys})
