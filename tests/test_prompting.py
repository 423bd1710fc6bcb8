"""Prompts are files that a person can read and replace, and tools read in them as they are called."""

import pytest

from trajgen.errors import ConfigError
from trajgen.prompting import PromptFiles, filled, tool_lines
from trajgen.spaces import tool
from trajgen.types import Tool
from trajgen_agents.llm.monologue import InnerMonologueAgent
from trajgen_agents.llm.react import ReactAgent


def test_a_tool_is_a_line_with_its_arguments_and_what_they_may_be():
    pick = tool("pick", "Pick up\n  an object.", object={"enum": ["red block", "blue bowl"]})
    push = Tool(
        "push",
        "Push.",
        {
            "type": "object",
            "properties": {
                "distance_m": {"type": "number", "minimum": 0.02, "maximum": 0.2},
                "times": {"type": "integer", "minimum": 1},
                "note": {"type": ["string", "null"]},
                "mode": {"const": "slow"},
            },
            "required": ["distance_m"],
        },
    )
    assert tool_lines([pick, push, tool("done", "End.")]).splitlines() == [
        'pick(object: "red block" | "blue bowl"): Pick up an object.',
        'push(distance_m: number from 0.02 to 0.2, times?: integer, at least 1, note?: string or null, mode?: "slow"): Push.',
        "done(): End.",
    ]


def test_many_choices_are_counted_instead_of_filling_the_prompt():
    line = tool_lines([tool("go", "Go.", room={"enum": [f"room {i}" for i in range(200)]})])
    assert '"room 29" | ... (200 in all)' in line
    assert "room 30" not in line


def test_a_prompt_names_what_it_cannot_fill_in_and_the_nearest_that_it_can():
    assert filled("$tools cost $$3", {"tools": "all"}) == "all cost $3"
    with pytest.raises(ConfigError, match=r"\$tolls.*did you mean 'tools'"):
        filled("$tolls", {"tools": "x", "example": "y"})
    with pytest.raises(ConfigError, match=r"\$\$"):
        filled("costs $ 3", {"tools": "x"})


def test_an_agents_prompts_are_the_files_beside_it():
    for agent, word in ((ReactAgent, "Thought:"), (InnerMonologueAgent, "Robot action:")):
        (text,) = agent.prompts
        assert word in text
        assert "$tools" in text
        assert text == text.strip()


def test_a_missing_prompt_file_is_named():
    class Agent:
        prompts = PromptFiles("nowhere.md")

    Agent.__module__ = "trajgen_agents.llm.react"
    with pytest.raises(FileNotFoundError, match=r"nowhere\.md"):
        Agent.prompts  # noqa: B018 - reading it is what fails
