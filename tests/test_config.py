"""Job files: what they mean, and that whatever is wrong is said with path, expected, found and nearest name."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trajgen import config
from trajgen.config import parse
from trajgen.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

BASE: dict[str, Any] = {"env": "CartPole-v1", "agent": "random", "seeds": "0:10"}
MODEL = {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", "model": "m"}
LLM: dict[str, Any] = {**BASE, "agent": {"name": "llm", "backend": "b"}, "backend": {"b": MODEL}}


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
        {"resources": {"GPU": 1.0}},
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


def test_a_file_that_is_no_toml_or_not_there_is_named(tmp_path: Path):
    (tmp_path / "job.toml").write_text("a = = 3")
    with pytest.raises(UserError, match=r"job\.toml: not TOML: .*line 1"):
        config.load(tmp_path / "job.toml")
    with pytest.raises(UserError, match=r"jbo\.toml: no such file; did you mean 'job\.toml'\?"):
        config.load(tmp_path / "jbo.toml")
    with pytest.raises(UserError, match="found a folder"):
        config.load(tmp_path)
