"""What an environment says becomes lines with their source; what is asked for is shown; nothing stale is repeated."""

from __future__ import annotations

from typing import ClassVar

import gymnasium
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from test_rollout import by_llm
from trajgen.feedback import telling
from trajgen.feedback.telling import Said
from trajgen.messages import episode_messages
from trajgen.spaces import tool
from trajgen.testing.contract import EnvContract
from trajgen.testing.fakes import CounterEnv
from trajgen.toolenv import Acted
from trajgen.types import ACTIVE_CHANNELS, PASSIVE_CHANNELS, Line
from trajgen.verify import verify

ASKING_ID = "telling-test/Asking-v0"


class Telling:
    """Says what it is told to say."""

    def __init__(self, **by_channel):
        self.by_channel = by_channel

    def describe(self, channel):
        assert channel in (*PASSIVE_CHANNELS, *ACTIVE_CHANNELS)
        return self.by_channel.get(channel)


class AskingEnv(CounterEnv):
    """A counter that can be asked about; the answer has a source, and is told once."""

    tools = (*CounterEnv.tools, tool("ask", "Ask a human.", question={"type": "string"}))
    refusal = "Done."

    def begin(self, options):
        self._answer = None
        return super().begin(options)

    def step(self, action):
        self._answer = None
        return super().step(action)

    def act(self, call):
        if call.tool != "ask":
            return super().act(call)
        self._answer = Line(f"You need {self._target}.", f"target({self._target})")
        return Acted("Done.")

    def describe(self, channel):
        if channel == "human":
            return [self._answer] if self._answer else []
        if channel == "object":
            return (Line("A counter.", "visible(counter)"), Line(f"A note says {self._target}.", "visible(note)"))
        return super().describe(channel)


@pytest.fixture(autouse=True)
def asking():
    gymnasium.register(ASKING_ID, entry_point=AskingEnv)
    yield
    del gymnasium.registry[ASKING_ID]


class TestAskingKeepsTheContract(EnvContract):
    env_id: ClassVar = ASKING_ID
    seeds: ClassVar = range(3)


def test_a_sentence_is_one_line_from_the_environment():
    assert telling.asked(Telling(scene="Half."), "scene") == [Said("scene", "Half.", "env")]


@given(st.lists(st.tuples(st.text(), st.text().filter(lambda s: s != "engine"))))
def test_lines_keep_their_order_and_their_source(pairs):
    said = telling.asked(Telling(scene=[Line(*pair) for pair in pairs]), "scene")
    assert said == [Said("scene", *pair) for pair in pairs]
    assert said == telling.asked(Telling(scene=tuple(Line(*pair) for pair in pairs)), "scene")


def test_no_lines_are_the_same_as_none():
    assert telling.describe(Telling(scene=[], progress=(), human=[]), 2) == telling.describe(None, 2)
    assert telling.describe(None, 2) == [Said("progress", "reward so far: 2", "engine")]


def test_lines_of_progress_stand_in_for_the_engines():
    said = telling.describe(Telling(progress=[Line("1 of 2.", "goal()")]), 2)
    assert said == [Said("progress", "1 of 2.", "goal()")]


def test_the_engines_name_as_a_source_is_refused_and_says_why():
    with pytest.raises(ValueError, match=r"describe\('error'\)\[1\]: the source 'engine' marks .* always shown"):
        telling.describe(Telling(error=[Line("a"), Line("b", "engine")]), 0)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (7, r"describe\('scene'\): expected text, a sequence of Line, or None, found 7"),
        (b"Half.", r"describe\('scene'\): expected text, .* found b'Half.'"),
        ({Line("Half.")}, r"describe\('scene'\): expected text, .* found \{Line"),
        (Line("Half."), r"describe\('scene'\): expected text, .* found Line"),
        (["Half."], r"describe\('scene'\)\[0\]: expected Line\(text, source\), both text, found 'Half.'"),
        ([Line("Half."), None], r"describe\('scene'\)\[1\]: expected Line\(text, source\), both text, found None"),
        ([Line(7)], r"describe\('scene'\)\[0\]: expected Line\(text, source\), both text, found Line\(text=7"),
        ([Line("Half.", None)], r"describe\('scene'\)\[0\]: expected Line\(text, source\), both text, found Line"),
    ],
)
def test_what_is_no_line_is_refused_with_what_was_expected_and_found(wrong, said):
    with pytest.raises(TypeError, match=said):
        telling.describe(Telling(scene=wrong), 0)


def test_a_line_that_is_refused_fails_the_episode_as_the_environments_fault(monkeypatch):
    monkeypatch.setattr(AskingEnv, "describe", lambda _, channel: [Line("x", "engine")] if channel == "scene" else None)
    episode = by_llm(["submit()"], env=ASKING_ID)
    assert episode.failure.boundary == "env"
    assert "always shown" in episode.failure.message


def test_an_answer_is_shown_whatever_the_job_shows():
    said = [Said(channel, "Yes.", "env") for channel in ACTIVE_CHANNELS]
    assert all(line.shown for line in telling.lines(said, ()))
    assert not any(line.shown for line in telling.lines([Said("error", "No.", "env")], ()))


def test_after_a_refused_call_no_answer_and_nothing_of_the_call_before_is_repeated():
    everything = dict.fromkeys((*PASSIVE_CHANNELS, *ACTIVE_CHANNELS), "Old.")
    said = telling.refused(Telling(**everything), 0, "no tool 'x'")
    assert [(s.channel, s.text) for s in said] == [
        ("success", "The last call failed."),
        ("object", "Old."),
        ("scene", "Old."),
        ("progress", "Old."),
        ("error", "no tool 'x'"),
    ]


def test_asking_is_a_step_whose_answer_the_record_the_chat_and_the_replay_have_once():
    episode = by_llm(
        ['ask(question="How far?")', "nonsense()", "submit()"], env=ASKING_ID, options={"target": 9}, feedback=[]
    )
    asked, refused, last = ([f for f in s.feedback if f.channel == "human"] for s in episode.steps)
    assert [msgspec.structs.astuple(f) for f in asked] == [("human", "You need 9.", True, "target(9)")]
    assert refused == last == []
    chat = [m.content for m in episode_messages(episode)]
    assert "Done.\n[human] You need 9." in chat
    assert sum("[human]" in text for text in chat[1:]) == 1
    assert verify(episode).status == "replays"


def test_several_lines_of_one_channel_are_recorded_in_order_with_their_sources():
    episode = by_llm(["submit()"], env=ASKING_ID, feedback=["object"])
    seen = [(f.text[:6], f.source) for f in episode.reset.feedback if f.channel == "object"]
    assert seen == [("A coun", "visible(counter)"), ("A note", "visible(note)")]
    assert episode_messages(episode)[1].content.count("[object] ") == 2
