"""The map from an episode to chat messages, and what ids and digests depend on."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from test_rollout import COUNTER_ID, by_llm, played
from trajgen.chat import Reply
from trajgen.ids import content_digest, digest, episode_id, task_id
from trajgen.messages import default_system_prompt, episode_messages


def test_an_episode_without_a_prompt_reads_like_one_of_a_model():
    oracle = episode_messages(played({"env": COUNTER_ID, "agent": "oracle"}))
    assert oracle[0].content == default_system_prompt(["add", "subtract", "submit"])
    assert [m.role for m in oracle[1:4]] == ["user", "assistant", "tool"]
    model = episode_messages(by_llm(["submit()"], env=COUNTER_ID))
    assert model[:2] == oracle[:2]


def test_every_tool_message_answers_a_call_of_the_assistant_before_it():
    episode = by_llm(["add(n=1)", Reply("hm"), "nonsense()", "submit()"], env=COUNTER_ID)
    open_calls: set[str] = set()
    for message in episode_messages(episode):
        if message.role == "assistant":
            assert not open_calls
            open_calls = {call.id for call in message.tool_calls}
        elif message.role == "tool":
            open_calls.remove(message.tool_call_id or "")
    assert not open_calls


def test_only_shown_feedback_is_told_unless_asked_for_otherwise():
    episode = played({"env": COUNTER_ID, "agent": "oracle", "feedback": ["scene"]})
    told = "\n".join(m.content for m in episode_messages(episode)[1:])
    assert "[scene]" in told
    assert "[object]" not in told
    everything = "\n".join(m.content for m in episode_messages(episode, shows=lambda _: True))
    assert "[object]" in everything
    assert "[progress]" in everything


def test_feedback_lines_stand_behind_the_observation():
    message = episode_messages(played({"env": COUNTER_ID, "agent": "oracle"}))[3]
    assert message.content.splitlines()[:2] == ["Done.", "[success] The last call worked."]


def test_digests_leave_out_times_and_hosts_and_nothing_else():
    one = by_llm(["submit()"], env=COUNTER_ID)
    later = msgspec.structs.replace(
        one,
        created_at="later",
        provenance=msgspec.structs.replace(one.provenance, host="elsewhere"),
        steps=tuple(msgspec.structs.replace(s, agent_s=9.0, env_s=9.0) for s in one.steps),
        model_calls=tuple(msgspec.structs.replace(c, latency_s=9.0) for c in one.model_calls),
    )
    assert content_digest(later) == content_digest(one)


@pytest.mark.parametrize(
    "name", [f for f in played({"env": COUNTER_ID, "agent": "oracle"}).__struct_fields__ if f != "created_at"]
)
def test_digests_depend_on_every_other_field(name: str):
    episode = by_llm(["submit()"], env=COUNTER_ID)
    value = getattr(episode, name)
    other: Any = "other" if not isinstance(value, tuple) else (*value, *value) or ("x",)
    if isinstance(value, msgspec.Struct):
        first = next(f for f in value.__struct_fields__ if f != "observation")
        other = msgspec.structs.replace(value, **{first: "other"})
    changed = msgspec.structs.replace(episode, **{name: other})
    assert content_digest(changed) != content_digest(episode)


def test_provider_ids_in_a_raw_message_do_not_count():
    episode = by_llm(["submit()"], env=COUNTER_ID)

    def with_id(name: str) -> Any:
        raw = msgspec.json.encode({"tool_calls": [{"id": name, "function": {"name": "submit"}}]}).decode()
        call = msgspec.structs.replace(episode.model_calls[0], raw=raw)
        return msgspec.structs.replace(episode, model_calls=(call,))

    assert content_digest(with_id("chatcmpl-1")) == content_digest(with_id("chatcmpl-2"))


def test_ids_do_not_depend_on_the_order_of_keys():
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    one = task_id("E-v0", [], {"x": 1, "y": 2}, {}, "train", 3)
    assert one == task_id("E-v0", [], {"y": 2, "x": 1}, {}, "train", 3)
    assert len({episode_id("k", one, s, t) for s in range(3) for t in range(3)}) == 9
