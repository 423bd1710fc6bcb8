"""Episodes built by hand, for tests of exporters. `story(turn("I look.", call("look", "A cup.")))` is one."""

from __future__ import annotations

from trajgen.ids import digest
from trajgen.messages import call_id
from trajgen.types import (
    AgentRecord,
    Episode,
    Failure,
    Feedback,
    ObservationRecord,
    Outcome,
    Provenance,
    Reset,
    Step,
    Task,
    ToolRecord,
    TurnRecord,
    UnexecutedCall,
    to_json,
)

ROLE = "agent"
SEARCH = {
    "type": "object",
    "properties": {"query": {"type": "string"}, "limit": {"type": "integer", "minimum": 1}},
    "required": ["query"],
}
MOVE = {
    "type": "object",
    "properties": {"joints": {"type": "array", "items": {"type": "number"}}, "slowly": {"type": "boolean"}},
    "required": ["joints"],
}
ORDER = {
    "type": "object",
    "properties": {
        "items": {"type": "array", "items": {"type": "object", "properties": {"id": {"type": "integer"}}}},
        "note": {"type": ["string", "null"]},
    },
}
NOTHING = {"type": "object", "properties": {}}
TOOLS = {
    "search": ("Search the facts.", SEARCH),
    "move": ("Move the arm.", MOVE),
    "order": ("Order things.", ORDER),
    "look": ("Look around.", NOTHING),
}


def call(tool, result="", *, feedback=(), raw=None, reward=0.0, never=None, **arguments):
    """One call. `never`: why it was not executed."""
    return {
        "tool": tool,
        "arguments": to_json(arguments),
        "result": result,
        "feedback": feedback,
        "raw": raw,
        "reward": reward,
        "never": never,
    }


def told(channel, text, *, shown=True):
    return Feedback(channel, text, shown, "engine" if channel == "error" else "env")


def turn(text, *calls, role=ROLE, **more):
    return {"text": text, "calls": calls, "role": role, **more}


def story(
    *turns,
    number=0,
    goal="Find the cup.",
    shown=(),
    tools=("search", "move", "order", "look"),
    split="train",
    success=True,
    failure=None,
    stop_reason="terminated",
    prompt=None,
    roles=(ROLE,),
    agent="oracle",
    model_calls=(),
    env_id="test/World-v0",
    oracle_steps=3,
    trial=0,
):
    records, steps = [], []
    for index, said in enumerate(turns):
        record, done = _turn(index, **said)
        records.append(record)
        steps += done
    group = digest("task", env_id, number)
    return Episode(
        episode_id=digest("episode", group, agent, trial),
        group_id=group,
        trial=trial,
        sample=0,
        task=Task(env_id, (), "{}", "{}", split, number, goal),
        agents=tuple(AgentRecord(role, agent, "1", "{}", None, prompt) for role in roles),
        tools=tuple(ToolRecord(role, t, TOOLS[t][0], to_json(TOOLS[t][1])) for role in roles for t in tools),
        reset=Reset(ObservationRecord(goal), tuple(shown)),
        turns=tuple(records),
        steps=tuple(steps),
        model_calls=tuple(model_calls),
        tokens_exact=None,
        outcome=Outcome(success, sum(s.reward for s in steps), "failure" if failure else stop_reason),
        failure=Failure(failure, "RuntimeError", "it broke") if failure else None,
        oracle_steps=oracle_steps,
        memory_in=None,
        reflection=None,
        provenance=Provenance("{}", None, None, None),
        created_at="2026-01-01T00:00:00Z",
    )


def _turn(index, text, calls, role, **more):
    steps, never = [], []
    for place, c in enumerate(calls):
        where = call_id(index, place) if c["tool"] else ""
        if c["never"]:
            never.append(UnexecutedCall(where, c["tool"], c["arguments"], c["raw"], c["never"]))
            continue
        steps.append(
            Step(
                turn=index,
                call_id=where,
                tool=c["tool"],
                arguments=c["arguments"],
                raw=c["raw"],
                observation=ObservationRecord(c["result"]),
                reward=c["reward"],
                terminated=False,
                truncated=False,
                success=None,
                feedback=tuple(c["feedback"]),
                state_digest=None,
                agent_s=0.0,
                env_s=0.0,
            )
        )
    return TurnRecord(turn=index, role=role, by="agent", text=text, unexecuted=tuple(never), **more), steps


def plain(number=0, **more):
    """A short successful episode whose tools and argument types depend on `number`."""
    kinds = (
        call("search", f"Fact {number}.", query=f"river {number} größer?", limit=number),
        call("move", "Moved.", joints=[0.5 * number, -1.25, 3], slowly=number % 2 == 0),
        call("order", "", items=[{"id": number}, {"id": 7, "extra": {"deep": [None, True]}}], note=None),
        call("look", "A cup, 日本語, 😀."),
    )
    first = kinds[number % len(kinds)]
    return story(
        turn("I look for it.", first),
        turn(None, call("look", "Here.", feedback=[told("success", "The last call worked.")], reward=1.0)),
        number=number,
        **more,
    )


def every_kind():
    """Every shape of episode that a chat can take, by name."""
    return {
        "unicode": story(
            turn("Où? 日本語 😀 \u2028", call("search", 'né\u0000\t"quoted"', query="ß \\ </s>")), number=1
        ),
        "empty observations and no feedback": story(turn("", call("look")), turn("", call("look")), number=2),
        "parallel calls": story(
            turn("Both.", call("search", "1", query="a"), call("move", "2", joints=[1.5]), call("look", "3")), number=3
        ),
        "a reply without a call": story(
            turn("I think.", call(None, "", feedback=[told("error", "Call a tool, such as look().")])),
            turn("Sorry.", call("look", "A cup.")),
            number=4,
        ),
        "calls that were never executed": story(
            turn("All.", call("look", "Done."), call("search", never="the episode had ended", query="x")), number=5
        ),
        "a model's nonsense": story(
            turn(None, call(None, "", feedback=[told("error", "Not a call.")])),
            turn("Hm.", call("find", "", raw="{query:", feedback=[told("error", "no tool 'find'")])),
            number=6,
            agent="llm",
            prompt="You are terse.",
        ),
        "200 steps": story(*(turn(f"Step {i}.", call("search", str(i), query=str(i))) for i in range(200)), number=7),
        "hidden feedback": story(
            turn("Go.", call("look", "A.", feedback=[told("progress", "0.5", shown=False), told("scene", "Half.")])),
            shown=[told("object", "A cup."), told("progress", "0", shown=False)],
            number=8,
        ),
        "reasoning and a last word": story(
            turn("I look.", call("look", "A cup."), reasoning="It must be near."),
            turn("Found it: the cup is here."),
            number=9,
            stop_reason="agent_stop",
        ),
        "a stop without a word": story(turn("I look.", call("look", "A cup.")), turn(None), number=10),
        "no tools at all": story(turn("Hello.", call(None, "Hi.")), number=11, tools=()),
    }
