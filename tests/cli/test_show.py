"""`trajgen show`: what is told of a run and of an episode, and that hostile text steers no terminal."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.console import Console

from trajgen.cli.output import one_line
from trajgen.cli.story import story
from trajgen.store.reader import find_episode, iter_episodes, open_run
from trajgen.types import Feedback, UnexecutedCall
from trajgen.words import inert

HOSTILE = "\x1b[31mred\x1b]0;title\x07 [bold]markup[/bold] :smile: \u202ereversed\u2066 \u200b\x9b31m\x00 \r gone"


def is_safe(text: str) -> bool:
    return all(c in "\n " or unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} for c in text)


@pytest.fixture
def solved(small_run):
    return next(e for e in iter_episodes(open_run(small_run)) if e.outcome.success and len(e.steps) > 1)


def told(episode, width: int = 80) -> str:
    console = Console(width=width, markup=False, emoji=False, highlight=False, force_terminal=False)
    with console.capture() as printed:
        for part in story(episode):
            console.print(part)
    return printed.get()


# ------------------------------------------------------------------------------------- an episode


def test_an_episode_is_told_from_its_goal_to_its_outcome(cli, small_run, solved):
    said = cli("show", small_run, solved.episode_id[:10])
    assert said.code == 0
    labels = [line[:10].partition("(")[0].strip() for line in said.out.splitlines()]
    places = [labels.index(w) for w in ("goal", "turn 1", "calls", "sees", "outcome")]
    assert places == sorted(places)
    assert f"solved after {len(solved.steps)} steps (its oracle needs {solved.oracle_steps})" in said.out


def test_an_episode_can_be_named_by_its_place(cli, small_run):
    first = next(iter_episodes(open_run(small_run)))
    assert first.episode_id[:12] in cli("show", small_run, "0").out


def test_what_the_agent_was_not_shown_is_marked_in_words(solved):
    lines = [line for line in told(solved).splitlines() if "[progress]" in line]
    assert lines
    assert all("(not shown)" in line and "hears" not in line for line in lines)


def test_a_thought_a_skipped_call_and_a_lesson_are_told(solved):
    skipped = UnexecutedCall("call_0_9", "answer", '{"text": "7"}', None, "the episode had ended")
    turn = replace(solved.turns[0], text="First I look.", reasoning="Hm.", unexecuted=(skipped,))
    text = told(replace(solved, turns=(turn, *solved.turns[1:]), reflection="Look first.", memory_in="Be quick."))
    for expected in ("thinks", "First I look.", "reasons", "skips", "learns", "recalls", 'answer(text="7")'):
        assert expected in text


def test_hostile_text_anywhere_in_a_record_is_inert_and_readable(solved):
    feedback = (Feedback("scene", HOSTILE, shown=True), Feedback("progress", HOSTILE, shown=False))
    steps = [
        replace(
            s,
            tool=HOSTILE,
            arguments=HOSTILE,
            raw=HOSTILE,
            feedback=feedback,
            observation=replace(s.observation, text=HOSTILE),
        )
        for s in solved.steps
    ]
    turns = [replace(t, text=HOSTILE, reasoning=HOSTILE, plan=HOSTILE) for t in solved.turns]
    tools = [replace(t, name=HOSTILE) for t in solved.tools]
    agents = [replace(a, name=HOSTILE) for a in solved.agents]
    task = replace(solved.task, goal=HOSTILE, env_id=HOSTILE)
    hostile = replace(
        solved, steps=tuple(steps), turns=tuple(turns), tools=tuple(tools), agents=tuple(agents), task=task,
        reset=replace(solved.reset, feedback=feedback), memory_in=HOSTILE, reflection=HOSTILE,
    )  # fmt: skip
    text = told(hostile, width=200)
    assert is_safe(text)
    assert "\\x1b[31mred" in text
    assert "[bold]markup[/bold] :smile:" in text
    assert "\\u202ereversed" in text


@given(st.text())
def test_inert_text_is_safe_and_changes_nothing_that_was(text):
    assert is_safe(inert(text))
    assert inert(inert(text)) == inert(text)
    if is_safe(text) and all(unicodedata.category(c)[0] != "C" for c in text if c != "\n"):
        assert inert(text) == text


@given(st.text(), st.integers(4, 50))
def test_one_line_is_one_short_line(text, limit):
    line = one_line(text, limit)
    assert "\n" not in line
    assert len(line) <= limit


def test_hostile_names_typed_or_stored_are_inert_in_messages(cli):
    said = cli("show", "\x1b[31m\u202enope")
    assert said.code == 2
    assert is_safe(said.err)
    assert "u202e" in said.err


def test_a_models_hostile_reply_is_inert_from_the_job_to_the_screen(cli, tmp_path):
    job = tmp_path / "hostile.toml"
    job.write_text(
        r"""
        workers = 0
        out = "hostile"
        [backend.s]
        kind = "scripted"
        replies = ["\u001b[2J[red]I look.[/red]\u202e >>"]
        at_end = "repeat"
        [[entry]]
        env = "trajgen-testing/Counter-v0"
        agent = { name = "llm", backend = "s" }
        seeds = "0:1"
        budget = { max_steps = 2 }
        """
    )
    assert cli("run", job).code == 0
    for words in (("show", "hostile", "0"), ("show", "hostile", "0", "--json")):
        said = cli(*words)
        assert is_safe(said.out)
        assert "[red]I look.[/red]" in said.out


# ------------------------------------------------------------------------------------- a run


def test_the_table_fits_eighty_columns(cli, small_run):
    assert max(map(len, cli("show", small_run).out.splitlines()[1:])) <= 80


def test_json_gives_the_table_and_an_episode(cli, small_run):
    entries = cli("show", small_run, "--json").json["entries"]
    counts = [(e["agent"], e["episodes"], e["missing"]) for e in entries]
    assert counts == [("oracle", 6, 0), ("random", 6, 0), ("random", 6, 0)]
    episode = cli("show", small_run, "0", "--json").json
    assert find_episode(open_run(small_run), "0").episode_id == episode["episode_id"]


def test_no_failed_episode_is_said_in_words(cli, small_run):
    assert cli("show", small_run, "--failed").out.strip() == "no episode failed"
