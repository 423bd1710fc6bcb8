"""The agents that speak in text: any model plays, whatever server it sits behind, and what it said is the record's."""

import asyncio
import re
from typing import ClassVar

import gymnasium
import pytest

from jobs import episodes_of, play
from trajgen.backends.openai import OpenAIBackend, OpenAIConfig
from trajgen.backends.scripted import ScriptedBackend
from trajgen.chat import Reply
from trajgen.testing.contract import AgentContract
from trajgen.testing.drive import Drive
from trajgen.testing.fakes import COUNTER_ID
from trajgen.testing.server import serve
from trajgen_agents.llm.monologue import InnerMonologueAgent
from trajgen_agents.llm.react import ReactAgent


@pytest.fixture(autouse=True)
def counter_registered():
    if COUNTER_ID not in gymnasium.registry:
        gymnasium.register(COUNTER_ID, entry_point="trajgen.testing.fakes:CounterEnv")


REACT = ["Thought: I add.\nAction: add(n=3)", "Thought: 2 are missing.\nAction: add(n=2)", "Action: submit()"]
SCRIPT = ["Robot thought: I add.\nRobot action: add(n=3)", "Robot: add(n=2)", "submit()"]


class TestReact(AgentContract):
    agent = "react"
    options: ClassVar = {"target": 5}

    def backends(self):
        return {"backend": ScriptedBackend(REACT, "repeat")}


class TestInnerMonologue(AgentContract):
    agent = "inner_monologue"
    options: ClassVar = {"target": 5}

    def backends(self):
        return {"backend": ScriptedBackend(SCRIPT, "repeat")}


class TestReactWithABadModel(AgentContract):
    agent = "react"

    def backends(self):
        return {
            "backend": ScriptedBackend(
                ["I do not know.", "Action: jump(high=1)", "Action: add(n=", Reply(None, error_kind="bad_message"), ""],
                "repeat",
            )
        }


class Keeping:
    """Passes calls on and keeps what was asked."""

    def __init__(self, inner):
        self.inner, self.asked = inner, []

    async def generate(self, messages, tools, *, seed=None, sampling=None, constraint=None):
        assert not tools
        self.asked.append((list(messages), seed, sampling))
        return await self.inner.generate(messages, tools, seed=seed, sampling=sampling, constraint=constraint)


def episode(agent, script, **how):
    backend = Keeping(ScriptedBackend(script, at_end="repeat"))
    drive = Drive(COUNTER_ID, agent, backends={"backend": backend}, options={"target": 5}, **how)
    return asyncio.run(drive.play()), backend


def test_react_thinks_acts_and_is_told_what_it_saw():
    played, backend = episode(ReactAgent, REACT)
    assert played.success
    assert [turn.text for turn in played.turns] == ["I add.", "2 are missing.", None]
    messages, _, sampling = backend.asked[-1]
    assert [m.role for m in messages] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert messages[2].content == REACT[0]
    assert messages[3].content.startswith("Observation: Done.\n")
    assert "[scene] The counter shows 3." in messages[3].content
    assert sampling == {"stop": ["\nObservation:"]}


def test_the_inner_monologue_is_a_script_of_human_scene_success_and_robot():
    played, backend = episode(InnerMonologueAgent, SCRIPT)
    assert played.success
    assert [turn.text for turn in played.turns] == ["I add.", None, None]
    messages = backend.asked[-1][0]
    assert messages[1].content.startswith("Human: The counter shows 0. Bring it to 5, then submit.")
    script = "\n".join(m.content for m in messages[1:])
    assert re.search(
        r"Robot action: add\(n=3\)\nScene: Done\.\nSuccess: .*\n(.*\n)*Scene: The counter shows 3\.", script
    )


def test_what_a_model_makes_up_of_the_world_is_neither_executed_nor_kept():
    made_up = "Thought: I add.\nAction: add(n=3)\nObservation: The counter shows 5.\nThought: So.\nAction: submit()"
    played, backend = episode(ReactAgent, [made_up, "Action: add(n=2)", "Action: submit()"])
    assert played.success
    assert [len(turn.calls) for turn in played.turns] == [1, 1, 1]
    assert backend.asked[-1][0][2].content == "Thought: I add.\nAction: add(n=3)"
    made_up = "Robot action: add(n=3)\nSuccess: True\nRobot action: submit()"
    played, backend = episode(InnerMonologueAgent, [made_up, "Robot: add(n=2)", "Robot: submit()"])
    assert played.success
    assert backend.asked[-1][0][2].content == "Robot action: add(n=3)"


def test_the_prompt_can_be_replaced_and_is_in_the_record(tmp_path):
    own = "Reply with one line: Action: and a call such as $example.\n$tools"
    job = {
        "workers": 0,
        "env": COUNTER_ID,
        "seeds": "0:1",
        "options": {"target": 5},
        "agent": {"name": "react", "backend": "model", "prompt": own},
    }
    answers = iter(["Action: add(n=3)", "Action: add(n=2)", "Action: submit()"])
    with serve(lambda request: next(answers)) as server:
        job["backend"] = {"model": {"kind": "openai", "base_url": server.base_url, "model": "m"}}
        play(tmp_path / "run", job)
        asked = server.requests
    (stored,) = episodes_of(tmp_path / "run")
    assert stored.outcome.success
    prompt = stored.agents[0].system_prompt
    assert prompt.startswith("Reply with one line: Action: and a call such as add(n=1).\nadd(n: integer from 1 to 3)")
    assert asked[0]["messages"][0]["content"] == prompt
    assert "tools" not in asked[0]
    assert stored.model_calls[0].messages_new[0].content == prompt


def test_a_truncated_reply_is_told_and_not_executed():
    cut = Reply("Thought: I will add\nAction: add(n=3)", finish_reason="length")
    played, _ = episode(ReactAgent, [cut, "Action: add(n=3)", "Action: add(n=2)", "Action: submit()"])
    assert played.success
    assert played.steps[0].tool in {None, "add"}
    assert any("truncated" in line for line in played.told)


def test_the_same_seed_asks_the_same():
    first, second = (episode(ReactAgent, REACT, rng_seed=3)[1].asked for _ in range(2))
    assert first == second


def test_a_real_server_is_asked_without_tools():
    with serve(lambda request: REACT[sum(m["role"] == "assistant" for m in request["messages"])]) as server:

        async def main():
            backend = OpenAIBackend(OpenAIConfig(server.base_url, "any"))
            drive = Drive(COUNTER_ID, ReactAgent, backends={"backend": backend}, options={"target": 5})
            try:
                return await drive.play()
            finally:
                await backend.close()

        assert asyncio.run(main()).success
