"""The agent that plays a model: its messages are those the record reads back as, whatever the model writes."""

import asyncio
from typing import ClassVar

import gymnasium
import pytest

from trajgen.backends.openai import OpenAIBackend, OpenAIConfig
from trajgen.backends.scripted import ScriptedBackend, check_chat
from trajgen.chat import EmittedCall, Reply
from trajgen.errors import ConfigError
from trajgen.messages import SYSTEM_PROMPT, PlacedCall, Transcript, default_system_prompt
from trajgen.testing.contract import AgentContract
from trajgen.testing.drive import Drive, play
from trajgen.testing.fakes import COUNTER_ID
from trajgen.testing.server import calling, serve
from trajgen_agents.llm.agent import LlmAgent

SCRIPT = ["I add. >> add(3)", "add(2); submit()"]


@pytest.fixture(autouse=True)
def counter_registered():
    if COUNTER_ID not in gymnasium.registry:
        gymnasium.register(COUNTER_ID, entry_point="trajgen.testing.fakes:CounterEnv")


class Keeping:
    """Passes calls on and keeps what was asked."""

    def __init__(self, inner):
        self.inner, self.asked = inner, []

    async def generate(self, messages, tools, *, seed=None, sampling=None, constraint=None):
        self.asked.append((list(messages), tools, seed, sampling))
        return await self.inner.generate(messages, tools, seed=seed, sampling=sampling, constraint=constraint)


class TestLlmAgent(AgentContract):
    agent = "llm"
    options: ClassVar = {"target": 5}

    def backends(self):
        return {"backend": ScriptedBackend(SCRIPT)}


class TestLlmAgentWithABadModel(AgentContract):
    agent = "llm"

    def backends(self):
        return {
            "backend": ScriptedBackend(["no call >>", "jump(high=1)", Reply(None, error_kind="bad_message")], "repeat")
        }


def episode(script, options=None, **how):
    backend = Keeping(ScriptedBackend(script, at_end="repeat"))
    drive = Drive(COUNTER_ID, LlmAgent, backends={"backend": backend}, options=options or {"target": 5}, **how)
    return asyncio.run(drive.play()), backend


def test_it_solves_a_task_with_parallel_calls_and_thoughts():
    played, backend = episode(SCRIPT)
    assert played.success
    assert [t.text for t in played.turns] == ["I add.", None]
    last = backend.asked[-1][0]
    assert [m.role for m in last] == ["system", "user", "assistant", "tool"]
    assert last[0].content == default_system_prompt(["add", "subtract", "submit"])
    assert last[2].tool_calls[0].id == last[3].tool_call_id == "call_0_0"
    assert "[scene] The counter shows 3." in last[3].content


BAD = [
    Reply(
        None, (EmittedCall("a", "add", '{"n": NaN}'), EmittedCall("a", "add", '{"n": 1}')), finish_reason="tool_calls"
    ),
    Reply("cut", (EmittedCall("a", "add", '{"n"'),), finish_reason="length"),
    Reply("cu", finish_reason="length"),
    Reply(None, (EmittedCall(None, None, ""),)),
    Reply(None, error_kind="bad_message"),
    Reply(None),
    "no call >>",
    "jump(height=3)",
    "add(n=9)",
]


def rebuilt(played, prompt=None):
    """Write the messages again, from what the record would hold."""
    transcript = Transcript(prompt, [t.name for t in played.tools])
    messages = transcript.messages
    for number, turn in enumerate(played.turns):
        steps = [s for s in played.steps if s.turn == number]
        transcript.turn(turn.text, turn.reasoning, [PlacedCall(s.call_id, s.tool, s.arguments) for s in steps])
        for step in steps:
            transcript.step(step)
    return messages


def test_whatever_the_model_writes_the_next_request_is_legal_and_is_what_the_record_reads_back_as():
    played, backend = episode(BAD, max_steps=30)
    for messages, tools, _, _ in backend.asked:
        check_chat(messages, tools)
    last = backend.asked[-1][0]
    again = rebuilt(played)
    assert len(last) > 15
    assert [last[0], *last[2:]] == again[: len(last) - 1]


def test_nothing_of_a_cut_off_reply_is_executed():
    played, _ = episode([BAD[1]], max_steps=2)
    assert all("truncated" in f.text for s in played.steps for f in s.feedback if f.channel == "error")


def test_each_call_has_a_seed_of_its_own_drawn_from_the_generator():
    _, one = episode(SCRIPT, rng_seed=1)
    _, same = episode(SCRIPT, rng_seed=1)
    _, other = episode(SCRIPT, rng_seed=2)
    seeds = [[seed for _, _, seed, _ in b.asked] for b in (one, same, other)]
    assert seeds[0] == seeds[1] != seeds[2]
    assert len(set(seeds[0])) == len(seeds[0])


def test_its_config_gives_prompt_and_sampling():
    played, backend = episode(SCRIPT, config={"system_prompt": "Count.", "sampling": {"temperature": 0}})
    messages, _, _, sampling = backend.asked[0]
    assert messages[0].content == played.agent.system_prompt == "Count."
    assert sampling == {"temperature": 0}


def test_a_lesson_goes_to_the_end_of_the_prompt_and_the_prompt_says_so():
    played, backend = episode(SCRIPT, memory="Add before you submit.")
    prompt = backend.asked[0][0][0].content
    assert prompt == played.agent.system_prompt
    assert prompt.startswith(SYSTEM_PROMPT)
    assert prompt.endswith("Add before you submit.")
    assert episode(SCRIPT)[0].agent.system_prompt is None


def test_it_plays_over_a_real_connection():
    def model(request):
        n = sum(m["role"] == "assistant" for m in request["messages"])
        return calling("add", {"n": 3}) if n < 2 else calling("submit", "")

    with serve(model) as server:
        backend = OpenAIBackend(OpenAIConfig(server.base_url, "m"))

        async def main():
            drive = Drive(COUNTER_ID, LlmAgent, backends={"backend": backend}, options={"target": 6})
            try:
                return await drive.play()
            finally:
                await backend.close()

        assert asyncio.run(main()).success
        assert server.n_requests == 3


def test_the_seed_of_the_task_reaches_no_prompt():
    seed = 918_273_645
    _, backend = episode(SCRIPT, seed=seed)
    assert str(seed) not in "".join(m.content for m in backend.asked[-1][0])


def test_without_a_backend_it_cannot_be_made():
    with pytest.raises(KeyError):
        play(COUNTER_ID, LlmAgent)


WRITTEN = {
    "hermes": 'I add.\n<tool_call>\n{"name": "add", "arguments": {"n": 3}}\n</tool_call>',
    "qwen": "I add.\n<tool_call>\n<function=add>\n<parameter=n>\n3\n</parameter>\n</function>\n</tool_call>",
    "llama3": 'I add.<|python_tag|>{"name": "add", "parameters": {"n": 3}}',
    "mistral": 'I add.[TOOL_CALLS][{"name": "add", "arguments": {"n": 3}}]',
    "fenced": 'I add.\n```json\n{"name": "add", "arguments": {"n": 3}}\n```',
    "react": "Thought: I add.\nAction: add(n=3)",
}


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("named", [False, True])
def test_calls_that_the_server_left_in_the_text_are_found_and_go_back_as_calls(written, named):
    config = {"format": written if named else "auto"}
    script = [Reply(WRITTEN[written], finish_reason="stop"), "add(2); submit()"]
    if named:
        script = [Reply(WRITTEN[written], finish_reason="stop")]
    played, backend = episode(script, config=config, max_steps=2)
    assert played.turns[0].text == "I add."
    assert (played.steps[0].tool, played.steps[0].arguments) == ("add", '{"n":3}')
    assistant = backend.asked[1][0][2]
    assert assistant.content == "I add."
    assert assistant.tool_calls[0].name == "add"


def test_a_format_that_is_none_is_named_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'hermes'"):
        LlmAgent.config(format="hermez")
