"""Another choice of shown feedback is given where it is honest, and refused, counted and explained where it is not."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.episodes import call, story, told, turn
from export.test_trl import expected_chat, export, only_row
from test_rollout import COUNTER_ID, by_llm, played
from trajgen import registry
from trajgen.errors import ConfigError
from trajgen.export.rendering import dishonesty, rendered
from trajgen.export.trl import TrlConfig, TrlExporter
from trajgen.messages import episode_messages
from trajgen.strict import convert
from trajgen.testing.drive import play
from trajgen.types import ACTIVE_CHANNELS, DEFAULT_SHOWN, PASSIVE_CHANNELS, Feedback

READERS = ("planner", "llm", "somebody-elses")
LINES = (told("success", "Worked."), told("scene", "Half.", shown=False))


def told_of(agent, *feedback, version="1"):
    """One step of an agent, with these lines beside its result, and a second one that follows from them."""
    episode = story(turn("Go.", call("look", "A.", feedback=feedback)), turn("On.", call("look", "B.")), agent=agent)
    return msgspec.structs.replace(episode, agents=(msgspec.structs.replace(episode.agents[0], version=version),))


def outcome(tmp_path, *episodes, **options):
    report = export(episodes, tmp_path / "out", **options)
    return report.n_out, dict(report.rejected)


# ------------------------------------------------------------------------------------- agents that read nothing


@pytest.mark.parametrize("channels", [[], ["scene"], ["object", "scene"], list(PASSIVE_CHANNELS)])
def test_an_oracles_run_reads_exactly_as_if_it_had_been_played_so(datasets, tmp_path, channels):
    made = played({"env": COUNTER_ID, "agent": "oracle", "feedback": ["success", "progress"]})
    as_played = played({"env": COUNTER_ID, "agent": "oracle", "feedback": channels})
    report = export([made], tmp_path / "out", feedback=channels)
    row = only_row(datasets, tmp_path / "out")
    assert row["messages"] == expected_chat(as_played)
    assert row["episode_id"] == made.episode_id
    hidden = sum(not f.shown for told_ in (as_played.reset, *as_played.steps) for f in told_.feedback)
    assert (f"{hidden:,} feedback lines that are not shown" in report.loss) == (hidden > 0)


def test_a_random_agents_run_may_be_rendered_anew_too(tmp_path):
    episode = played({"env": COUNTER_ID, "agent": "random", "feedback": []})
    assert outcome(tmp_path, episode, feedback=["object"]) == (1, {})


@pytest.mark.parametrize("agent", ["oracle", "random"])
def test_an_agent_that_says_it_reads_no_feedback_plays_alike_whatever_is_shown(agent):
    turns = [play(COUNTER_ID, registry.agent(agent), shown=s).turns for s in (DEFAULT_SHOWN, PASSIVE_CHANNELS, ())]
    assert turns[0] == turns[1] == turns[2]
    assert turns[0]


# ------------------------------------------------------------------------------------- agents that read


@pytest.mark.parametrize("agent", READERS)
def test_what_an_agent_acted_on_is_not_left_out(tmp_path, agent):
    n_out, rejected = outcome(tmp_path, told_of(agent, *LINES), feedback=[])
    (reason,) = rejected
    assert n_out == 0
    assert reason.startswith("the agent acted on [success], which --feedback leaves out")


@pytest.mark.parametrize("agent", READERS)
def test_what_an_agent_did_not_see_is_not_put_in(tmp_path, agent):
    n_out, rejected = outcome(tmp_path, told_of(agent, *LINES), feedback=["success", "scene"])
    (reason,) = rejected
    assert n_out == 0
    assert reason.startswith("the agent was not shown [scene], which --feedback adds")


def test_both_faults_are_named_at_once_and_counted_together(tmp_path):
    lines = (*LINES, told("object", "A cup."), told("progress", "0", shown=False))
    _, rejected = outcome(tmp_path, *[told_of("planner", *lines)] * 3, feedback=["scene", "progress"])
    assert rejected == {
        "the agent acted on [success] [object], which --feedback leaves out and was not shown [scene] [progress], "
        "which --feedback adds": 3
    }


def test_exactly_what_it_was_shown_changes_nothing(datasets, tmp_path):
    episode = by_llm(["add(n=1)", "nonsense()", "submit()"], env=COUNTER_ID, feedback=["scene", "object"])
    assert outcome(tmp_path, episode, feedback=["object", "scene"]) == (1, {})
    assert only_row(datasets, tmp_path / "out")["messages"] == expected_chat(episode)


def test_a_channel_on_which_nothing_was_ever_said_may_be_chosen_or_not(tmp_path):
    episode = told_of("planner", *LINES)
    assert outcome(tmp_path, episode, feedback=["success", "object", "progress"]) == (1, {})


def test_a_line_at_the_reset_counts_like_any_other():
    episode = story(turn("Go.", call("look")), agent="planner", shown=[told("object", "A cup.")])
    assert "[object]" in dishonesty(episode, [])
    assert dishonesty(episode, ["object"]) is None


def test_honest_and_dishonest_episodes_of_one_export_are_told_apart(tmp_path):
    episodes = [told_of("oracle", *LINES), told_of("planner", *LINES), told_of("planner", LINES[0])]
    n_out, rejected = outcome(tmp_path, *episodes, feedback=["success", "scene"])
    assert (n_out, list(rejected.values())) == (2, [1])


def test_one_role_that_reads_is_enough():
    record = told_of("oracle", *LINES)
    hand = msgspec.structs.replace(record.agents[0], role="hand", name="planner")
    assert dishonesty(record, []) is None
    assert dishonesty(msgspec.structs.replace(record, agents=(*record.agents, hand)), []) is not None


# ------------------------------------------------------------------------------------- who reads


def test_an_agent_that_is_not_installed_counts_as_reading_and_says_so(tmp_path):
    _, rejected = outcome(tmp_path, told_of("somebody-elses", *LINES), feedback=[])
    (reason,) = rejected
    assert reason == (
        "the agent acted on [success], which --feedback leaves out (somebody-elses of version 1 is not installed here, "
        "so it counts as an agent that reads feedback)"
    )


def test_so_does_another_version_of_an_agent_that_reads_nothing():
    assert dishonesty(told_of("oracle", *LINES), []) is None
    assert "oracle of version 0 is not installed here" in dishonesty(told_of("oracle", *LINES, version="0"), [])


@pytest.mark.parametrize(("says", "honest"), [(False, True), (True, False), (None, False), (0, False)])
def test_only_a_plain_false_is_a_promise(monkeypatch, says, honest):
    monkeypatch.setattr(registry.agent("oracle"), "reads_feedback", says)
    assert (dishonesty(told_of("oracle", *LINES), []) is None) == honest


def test_a_strangers_agent_that_says_nothing_of_it_counts_as_reading(monkeypatch):
    monkeypatch.delattr(registry.agent("oracle"), "reads_feedback")
    assert dishonesty(told_of("oracle", *LINES), []) is not None


# ------------------------------------------------------------------------------------- what is never a choice


def test_the_engines_errors_and_answers_that_were_asked_for_stay(datasets, tmp_path):
    lines = (told("error", "no tool 'x'"), Feedback("human", "The red one.", shown=True), told("success", "Failed."))
    episode = told_of("oracle", *lines)
    assert outcome(tmp_path, episode, feedback=[]) == (1, {})
    (result,) = [m["content"] for m in only_row(datasets, tmp_path / "out")["messages"] if m["content"][:2] == "A."]
    assert result == "A.\n[error] no tool 'x'\n[human] The red one."


def test_an_error_that_the_environment_told_is_a_choice():
    episode = told_of("oracle", Feedback("error", "The lid is shut.", shown=True, source="open(lid)"))
    (step, _) = rendered(episode, []).steps
    assert not step.feedback[0].shown


lines_of_any_kind = st.builds(
    Feedback,
    st.sampled_from((*PASSIVE_CHANNELS, *ACTIVE_CHANNELS)),
    st.text(min_size=1),
    st.booleans(),
    st.sampled_from(("env", "engine", "in(a, b)")),
)
choices = st.lists(st.sampled_from(PASSIVE_CHANNELS))


@given(st.lists(lines_of_any_kind), choices)
def test_rendering_changes_nothing_but_what_is_shown_and_doing_it_twice_nothing_more(lines, channels):
    episode = told_of("oracle", *lines)
    once = rendered(episode, channels)
    assert rendered(once, channels) == once
    assert [(f.channel, f.text, f.source) for f in once.steps[0].feedback] == [
        (f.channel, f.text, f.source) for f in lines
    ]
    for was, now in zip(lines, once.steps[0].feedback, strict=True):
        free = was.channel in PASSIVE_CHANNELS and (was.channel, was.source) != ("error", "engine")
        assert now.shown == (was.channel in channels if free else was.shown)


@given(st.lists(lines_of_any_kind), choices)
def test_a_reading_agents_episode_is_admitted_exactly_where_its_chat_stays_the_same(lines, channels):
    episode = told_of("planner", *lines)
    same = rendered(episode, channels) == episode
    assert (dishonesty(episode, channels) is None) == same
    if same:
        assert episode_messages(rendered(episode, channels)) == episode_messages(episode)


# ------------------------------------------------------------------------------------- the option


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        (["objecct"], "feedback: expected channels of .*, found 'objecct'; did you mean 'object'"),
        (["scene", "human"], "found 'human'; answers to a tool that asked are always shown"),
        (["?"], "found '[?]'$"),
        ("object", "trl.feedback: expected a list or nothing, found 'object'"),
        ([7], "trl.feedback.*: expected text, found 7"),
    ],
)
def test_a_channel_that_nobody_knows_is_refused_with_the_nearest(given_, said):
    with pytest.raises(ConfigError, match=said):
        convert({"feedback": given_}, TrlConfig, "trl")


def test_a_choice_of_feedback_and_messages_as_seen_exclude_each_other():
    with pytest.raises(ConfigError, match=r"as, feedback: .*--as seen.*--feedback"):
        convert({"feedback": [], "as": "seen"}, TrlConfig, "trl")
    with pytest.raises(ConfigError, match=r"as, feedback: "):
        TrlConfig(as_="seen", feedback=("object",))


def test_without_a_choice_each_line_stays_as_it_was(datasets, tmp_path):
    episode = told_of("planner", *LINES)
    TrlExporter().export(iter([episode]), tmp_path / "out", TrlConfig())
    assert only_row(datasets, tmp_path / "out")["messages"] == json.loads(json.dumps(expected_chat(episode)))
