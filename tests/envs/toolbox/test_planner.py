"""The planner solves questions from text and shown feedback alone, replans when told that it failed, and thinks aloud."""

from __future__ import annotations

import ast
import inspect
from typing import TYPE_CHECKING

import numpy as np
import pytest

from trajgen.registry import planner
from trajgen.types import Feedback, ObservationRecord, Step, to_json
from trajgen_envs.toolbox import moves, phrases, scores
from trajgen_envs.toolbox.env import ToolboxEnv
from trajgen_envs.toolbox.planner import ToolboxPlanner

if TYPE_CHECKING:
    from trajgen.protocols import PlannerStrategy

TOOLS = ToolboxEnv.tools


def _step(call, text, *feedback):
    return Step(
        turn=0,
        call_id="call_0_0",
        tool=call.tool,
        arguments=to_json(call.arguments),
        raw=None,
        observation=ObservationRecord(text),
        reward=0.0,
        terminated=False,
        truncated=False,
        success=False,
        feedback=tuple(Feedback(channel, said, shown=True) for channel, said in feedback),
        state_digest=None,
        agent_s=0.0,
        env_s=0.0,
    )


def _started(goal, seed=0):
    made = ToolboxPlanner()
    made.start(goal, TOOLS, (), np.random.default_rng(seed))
    return made


CAPITAL = "Question: What is the population of the capital of Peru?\nCall answer with an exact number."


def test_it_is_the_registered_strategy():
    assert planner("trajgen/Toolbox-v0") is ToolboxPlanner
    strategy: PlannerStrategy = ToolboxPlanner()
    assert strategy


@pytest.mark.parametrize("depth", range(1, 9))
@pytest.mark.parametrize("options", [{}, {"ambiguous": True, "failures": 0.3, "distractors": 12}])
def test_it_solves_questions_of_every_depth(depth, options):
    env = ToolboxEnv()
    played = [scores.play_planner(env, seed, {**options, "depth": depth, "split": "train"}) for seed in range(10)]
    assert sum(p.success for p in played) >= 9


@pytest.mark.parametrize("shown", [(), ("success",), ("error",), ("scene",)])
def test_it_gets_on_with_any_channels(shown):
    env = ToolboxEnv()
    options = {"depth": 3, "split": "train", "failures": 0.5}
    assert all(scores.play_planner(env, seed, options, shown).success for seed in range(10))


def test_it_imports_neither_the_environment_nor_its_tasks():
    allowed = {"trajgen", "trajgen.types", "trajgen_envs.toolbox", "trajgen_envs.toolbox.phrases"}
    for module in (inspect.getmodule(ToolboxPlanner), moves, phrases):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("trajgen"):
                assert node.module in allowed
                if node.module == "trajgen_envs.toolbox":
                    assert {alias.name for alias in node.names} <= {"moves", "phrases"}


def test_it_goes_from_part_to_part_and_answers_with_what_it_read():
    made = _started(CAPITAL)
    first = made.next()
    assert first.calls[0].tool == "search"
    assert "Peru" in first.calls[0].arguments["query"]
    made.saw(_step(first.calls[0], "1. The capital of Guinea is Conakry.\n2. The capital of Peru is Lima."))
    second = made.next()
    assert "Lima" in second.calls[0].arguments["query"]
    assert "capital of Peru: Lima" in second.plan
    made.saw(_step(second.calls[0], "1. The population of Lima is 10 (GeoNames)."))
    assert made.next().calls[0].arguments == {"value": "10"}


def test_it_makes_a_call_again_that_failed_for_the_moment():
    made = _started(CAPITAL)
    first = made.next().calls[0]
    made.saw(_step(first, "The call was not executed.", ("error", "search: busy; make the same call again")))
    again = made.next()
    assert again.calls[0].tool == "search"
    assert "Peru" in again.calls[0].arguments["query"]
    assert any(word in again.text for word in ("again", "once more", "repeat"))


def test_it_rewords_a_search_that_brought_nothing_of_use_and_stops_in_the_end():
    made = _started(CAPITAL)
    queries = []
    for _ in range(20):
        turn = made.next()
        if turn.stop:
            break
        queries.append(turn.calls[0].arguments["query"])
        made.saw(_step(turn.calls[0], "Nothing was found."))
    assert turn.stop
    assert 2 <= len(queries) <= 6


def test_it_takes_the_city_that_the_database_named_and_not_its_namesake():
    made = _started("Question: What is the population of the city the database gives for the customer whose id is 7?")
    call = made.next().calls[0]
    made.saw(_step(call, "city | country\nValencia | Spain"))
    call = made.next().calls[0]
    text = "1. The population of Valencia (Venezuela) is 1 (GeoNames).\n2. The population of Valencia (Spain) is 2 (GeoNames)."
    made.saw(_step(call, text))
    assert made.next().calls[0].arguments == {"value": "2"}


def test_it_stops_where_it_does_not_understand_the_goal():
    assert _started("Fetch me a cup of tea.").next().stop


def test_the_same_seed_says_the_same_and_another_says_otherwise():
    said = [[_started(CAPITAL, seed).next().text for seed in (s, s)] for s in range(8)]
    assert all(one == two for one, two in said)
    assert len({one for one, _ in said}) > 2


def test_it_never_says_a_value_that_no_tool_has_shown():
    env = ToolboxEnv()
    for seed in range(10):
        observation, _ = env.reset(seed=seed, options={"depth": 4})
        made = _started(observation.text, seed)
        seen = observation.text
        for _ in range(20):
            turn = made.next()
            hidden = [n.value.text for n in env._task.nodes if len(n.value.text) > 4 and n.value.text not in seen]
            assert not any(value in f"{turn.text}{turn.plan}" for value in hidden)
            call = turn.calls[0]
            result, _, terminated, _, _ = env.step(scores.ToolCall(call.tool, call.arguments))
            seen += result.text
            made.saw(_step(call, result.text, *((f.channel, f.text) for f in scores.lines(env, scores.SHOWN))))
            if terminated:
                break
