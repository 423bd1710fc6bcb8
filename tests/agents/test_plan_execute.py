"""Plans first, acts on the plan, and plans anew when the world says that something failed."""

import asyncio
from typing import ClassVar

import gymnasium
import pytest

from trajgen.backends.scripted import ScriptedBackend
from trajgen.testing.contract import AgentContract
from trajgen.testing.drive import Drive
from trajgen.testing.fakes import COUNTER_ID
from trajgen_agents.llm.plan_execute import REMINDER, PlanExecuteAgent


@pytest.fixture(autouse=True)
def counter_registered():
    if COUNTER_ID not in gymnasium.registry:
        gymnasium.register(COUNTER_ID, entry_point="trajgen.testing.fakes:CounterEnv")


def model(replies):
    """Plan `plan N` where no tool is offered; else play the replies in order, by how often the model spoke."""
    plans = iter(range(100))
    asked = []

    def answer(messages, tools):
        asked.append((list(messages), bool(tools)))
        if not tools:
            return f"plan {next(plans)}: add(3)\nthen: add(2)\nthen: submit()"
        return replies[sum(m.role == "assistant" for m in messages) % len(replies)]

    return ScriptedBackend(answer), asked


class TestPlanExecute(AgentContract):
    agent = "plan_execute"
    options: ClassVar = {"target": 5}

    def backends(self):
        return {"backend": model(["add(3)", "add(2)", "submit()"])[0]}


def played(replies, **how):
    backend, asked = model(replies)
    drive = Drive(COUNTER_ID, PlanExecuteAgent, backends={"backend": backend}, options={"target": 5}, **how)
    return asyncio.run(drive.play()), asked


def test_the_plan_is_made_once_while_it_holds_and_stands_at_the_end_of_every_request():
    found, asked = played(["add(3)", "add(2)", "submit()"])
    assert found.success
    assert [turn.plan is not None for turn in found.turns] == [True, False, False]
    assert found.turns[0].plan.startswith("plan 0")
    assert [tools for _, tools in asked] == [False, True, True, True]
    for messages, tools in asked:
        if tools:
            assert messages[-1].content.endswith("\n\n" + REMINDER + found.turns[0].plan)


def test_a_failed_call_makes_a_new_plan_that_knows_of_the_failure():
    found, asked = played(["subtract(1)", "add(3)", "add(2)", "submit()"])
    assert found.success
    assert [(turn.plan or "")[:6] for turn in found.turns] == ["plan 0", "plan 1", "", ""]
    second = [messages for messages, tools in asked if not tools][1]
    assert "cannot go below 0" in second[-1].content
    assert second[-1].content.endswith(PlanExecuteAgent.prompts[0])


def test_a_plan_that_is_used_up_is_followed_by_another():
    found, _ = played(["add(1)", "add(1)", "add(1)", "add(1)", "add(1)", "submit()"])
    assert found.success
    assert [(turn.plan or "")[:6] for turn in found.turns] == ["plan 0", "", "", "plan 1", "", ""]
