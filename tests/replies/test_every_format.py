"""What holds for every format: what was written is read, and no mutation of it raises, or executes what cannot be stored."""

import json
import random
import re
import shlex
import time
from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trajgen.chat import EmittedCall, Reply
from trajgen.errors import ConfigError
from trajgen.replies.formats import FORMATS, detect, reader
from trajgen.types import Tool, Turn, to_json

NAMES = ["get", "put_down", "look-at", "Search", "x1"]
KEYS = ["thing", "n", "where", "now", "tags"]
KINDS = ["string", "integer", "number", "boolean", "array", "object"]
LETTERS = "ab 'c\"\\{}[](),:;=<>/|.#`\n\t\rTé€😀-1"
MARKS = [
    *("<tool_call>", "</tool_call>", "<function=get>", "</function>", "<parameter=thing>", "</parameter>"),
    *("<think>", "</think>", "[TOOL_CALLS]", "[ARGS]", "[CALL_ID]", "<|python_tag|>", "<|eom_id|>", "```", "```json\n"),
    *("\nAction: ", "\nAction Input: ", "\nObservation: ", "\nThought: ", "Finish[", "NaN", "\ud800", "\x00", "null"),
    *('"', "'", "{", "}", "[", "]", "(", ")", ",", ":", "\\", "\n", ">", "9" * 400, "[" * 40, '{"name": ', "get("),
]
FINISHES = ["stop", "stop", "stop", "stop", None, "tool_calls", "length"]


def a_text(rng):
    return "".join(rng.choice(LETTERS) for _ in range(rng.randint(0, 8)))


def a_value(rng, kind):
    if kind == "string":
        return a_text(rng)
    if kind == "integer":
        return rng.randint(-9, 9) if rng.randint(0, 4) else 3**50
    if kind == "number":
        return rng.randint(-99, 99) / 8
    if kind == "boolean":
        return bool(rng.randint(0, 1))
    items = [a_value(rng, rng.choice(KINDS[:4])) for _ in range(rng.randint(0, 2))]
    return items if kind == "array" else {a_text(rng) + str(i): item for i, item in enumerate(items)}


def some_tools(rng):
    tools = []
    for name in NAMES[: rng.randint(1, len(NAMES))]:
        properties = {key: {"type": rng.choice(KINDS)} for key in KEYS[: rng.randint(0, 4)]}
        tools.append(Tool(name, "", {"type": "object", "properties": properties, "required": list(properties)}))
    return tuple(tools)


def some_calls(rng, tools, most):
    calls = []
    for _ in range(rng.randint(1, most)):
        tool = rng.choice(tools)
        given_ = tool.parameters["properties"]
        calls.append((tool.name, {key: a_value(rng, schema["type"]) for key, schema in given_.items()}))
    return calls


def dumped(rng, value):
    return json.dumps(value, ensure_ascii=bool(rng.randint(0, 1)), indent=rng.choice([None, None, 1]))


def write_hermes(rng, calls, tools):
    return "\n".join(
        f"<tool_call>\n{dumped(rng, {'name': name, 'arguments': arguments})}\n</tool_call>" for name, arguments in calls
    )


def write_qwen(rng, calls, tools):
    def parameter(key, value):
        return f"<parameter={key}>\n{value if isinstance(value, str) else dumped(rng, value)}\n</parameter>\n"

    return "\n".join(
        f"<tool_call>\n<function={name}>\n{''.join(parameter(*item) for item in arguments.items())}</function>\n</tool_call>"
        for name, arguments in calls
    )


def write_llama3(rng, calls, tools):
    form = rng.randint(0, 2)
    if form == 0:
        return "<|python_tag|>" + rng.choice(["; ", "\n"]).join(
            dumped(rng, {"name": n, "parameters": a}) for n, a in calls
        )
    if form == 1:
        return "".join(f"<function={n}>{dumped(rng, a)}</function>" for n, a in calls)
    return "<|python_tag|>[" + ", ".join(pythonic(n, a) for n, a in calls) + "]<|eot_id|>"


def pythonic(name, arguments):
    return f"{name}({', '.join(f'{k}={v!r}' for k, v in arguments.items())})"


def write_mistral(rng, calls, tools):
    if rng.randint(0, 1):
        return "[TOOL_CALLS]" + dumped(rng, [{"name": n, "arguments": a} for n, a in calls])
    return "".join(
        f"[TOOL_CALLS]{n}{rng.choice(['[CALL_ID]abc123def[ARGS]', '[ARGS]', ''])}{dumped(rng, a)}" for n, a in calls
    )


def write_react(rng, calls, tools):
    ((name, arguments),) = calls
    if rng.randint(0, 1):
        return f"Thought: so.\nAction: {pythonic(name, arguments)}\nObservation: made up"
    return f"Thought: so.\nAction: {name}\nAction Input: {json.dumps(arguments)}"


def write_fenced(rng, calls, tools):
    keys = rng.choice(["tool", "name", "function"]), rng.choice(["arguments", "parameters", "args", "input"])
    objects = [dict(zip(keys, call, strict=True)) for call in calls]
    return f"```json\n{dumped(rng, objects if len(calls) > 1 else objects[0])}\n```"


def write_command(rng, calls, tools):
    ((name, arguments),) = calls
    words = [value if isinstance(value, str) else json.dumps(value) for value in arguments.values()]
    if len(tools) == 1 or rng.randint(0, 1) or any("\n" in word or "\r" in word for word in words):
        return pythonic(name, arguments)
    return "> " * rng.randint(0, 1) + " ".join([name, *map(shlex.quote, words)])


WRITERS = {
    "hermes": (write_hermes, 3),
    "qwen": (write_qwen, 3),
    "llama3": (write_llama3, 3),
    "mistral": (write_mistral, 3),
    "react": (write_react, 1),
    "fenced": (write_fenced, 3),
    "command": (write_command, 1),
}


def a_valid_reply(rng, name):
    write, most = WRITERS[name]
    tools = some_tools(rng)
    calls = some_calls(rng, tools, most)
    thought = "" if name == "command" else rng.choice(["", "I see. ", "<think>Hm {</think>\n", "It is\n\nso.\n"])
    return thought + write(rng, calls, tools), calls, tools


def mutated(rng, text):
    at = rng.randint(0, len(text))
    to = min(len(text), at + rng.randint(1, 4))
    kind = rng.randint(0, 4)
    if kind == 0:
        return text[:at] + text[to:]
    if kind == 1:
        return text[:to] + text[at:]
    if kind == 2:
        return text[:at] + text[at:to][::-1] + text[to:]
    if kind == 3:
        return text[:at]
    return text[:at] + rng.choice(MARKS) + text[at:]


def check(turn, tools, finish):
    assert isinstance(turn, Turn)
    said = [turn.text, turn.reasoning, turn.problem, *(t for c in turn.calls for t in (c.raw, c.problem, c.tool))]
    msgspec.msgpack.encode(said)
    assert turn.text != ""
    assert turn.reasoning != ""
    for call in turn.calls:
        assert call.tool is None or re.fullmatch("[A-Za-z0-9_-]{1,64}", call.tool)
        if call.problem is None:
            assert call.tool is not None
            assert finish != "length"
            # msgspec reads whole numbers beyond 64 bits as floats
            assert json.loads(to_json(call.arguments)) == call.arguments
        else:
            assert 0 < len(call.problem) < 700
            assert call.arguments == {}
    if finish == "length":
        assert turn.calls or turn.problem
        assert not turn.stop


def read_all(text, tools, finish):
    for read in FORMATS.values():
        check(read(Reply(text, finish_reason=finish), tools), tools, finish)


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=100, deadline=None)
@given(rng=st.randoms(use_true_random=False))
def test_what_was_written_is_read(name, rng):
    text, calls, tools = a_valid_reply(rng, name)
    found = FORMATS[name](Reply(text, finish_reason="stop"), tools)
    assert [(c.tool, dict(c.arguments), c.problem) for c in found.calls] == [(n, a, None) for n, a in calls]
    if name != "command":
        assert detect(Reply(text, finish_reason="stop"), tools) == found


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=100, deadline=None)
@given(rng=st.randoms(use_true_random=False))
def test_no_mutation_raises_or_executes_what_cannot_be_stored(name, rng):
    text, _, tools = a_valid_reply(rng, name)
    for _ in range(rng.randint(1, 4)):
        text = mutated(rng, text)
    read_all(text, tools, rng.choice(FINISHES))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(MARKS) | st.text(st.characters(), max_size=5), max_size=12).map("".join))
def test_no_heap_of_marks_raises(text):
    read_all(text, some_tools(random.Random(1)), "stop")


@pytest.mark.slow
def test_ten_thousand_replies_of_which_a_third_are_nearly_valid():
    rng = random.Random(20)
    counts = Counter()
    for i in range(10_000):
        name = list(WRITERS)[i % len(WRITERS)]
        text, _, tools = a_valid_reply(rng, name)
        n_mutations = rng.choice([0, 1, 1, 1, 2, 5, 20])
        for _ in range(n_mutations):
            text = mutated(rng, text)
        counts["valid" if n_mutations == 0 else "nearly valid" if n_mutations == 1 else "bad"] += 1
        finish = rng.choice(FINISHES)
        read_all(text, tools, finish)
        found = FORMATS[name](Reply(text, finish_reason=finish), tools)
        counts[
            "executable" if found.calls and all(c.problem is None for c in found.calls) else "refused or no call"
        ] += 1
        if n_mutations == 0 and finish != "length":
            assert found.calls
            assert all(c.problem is None for c in found.calls)
    print(dict(counts))  # noqa: T201 - quoted where the figures are
    assert counts["nearly valid"] >= 10_000 / 3
    assert counts["refused or no call"] > 2_000


MEGABYTE = 1_000_000
HOSTILE = [
    *MARKS,
    *(
        "<tool_call>{</tool_call>",
        '<tool_call>"</tool_call>',
        "<tool_call>{}</tool_call>",
        '<tool_call>{"name":"a b"}</tool_call>',
    ),
    *(
        "<function=get>{</function>",
        "<function=get>",
        "<function=",
        "<function=a><parameter=b>",
        "<parameter=a></parameter>",
    ),
    *("[TOOL_CALLS]get{", "[TOOL_CALLS]get[ARGS]", "[TOOL_CALLS][", '[TOOL_CALLS]"', "[TOOL_CALLS]a\n"),
    *('{"name": "get", ', '{"name": "get"}', '{"tool": "get"};', "```{", "```{}", "```\n{'a'}\n```", '```{"name": "a'),
    *(
        "Action: get[",
        "\nAction:\n",
        "\n Thought:",
        "get(get(",
        "[get(a=1), ",
        "'a', ",
        "\\",
        "\\'",
        '"\\',
        "\n",
        " ",
        "a ",
        "> ",
    ),
    *(
        "<|eot_id|>",
        "<|eot_id|> ",
        "<|",
        "<think></think>",
        "{ ",
        "[ ",
        "{ } ",
        "\n\n \t",
        "a'b",
        'a"b" ',
        "-",
        "1,",
        "()",
        "[(",
        "é",
    ),
]
OPENINGS = [
    "",
    '{"name": "get", "arguments": {"thing": "',
    "[get(thing=",
    "get ",
    "get(",
    "Action: get[",
    "<function=get><parameter=thing>",
]


def slowest_read(opening, patterns):
    """Return CPU seconds, format and pattern of the slowest reading of a megabyte."""
    tools = some_tools(random.Random(3))
    slowest = (0.0, "", "")
    for pattern in patterns:
        text = opening + pattern * (MEGABYTE // len(pattern))
        for name, read in FORMATS.items():
            begun = time.process_time()
            read(Reply(text, finish_reason="stop"), tools)
            slowest = max(slowest, (time.process_time() - begun, name, pattern))
    return slowest


# a quadratic reader takes minutes; the bound is wide for a busy machine
def test_a_hostile_megabyte_is_read_in_linear_time():
    found = slowest_read("", HOSTILE[::6])
    assert found[0] < 5, found


@pytest.mark.slow
@pytest.mark.parametrize("opening", OPENINGS)
def test_no_hostile_megabyte_is_slow_in_any_format(opening):
    found = slowest_read(opening, HOSTILE)
    print(found)  # noqa: T201 - the figure
    assert found[0] < 5, found


def test_an_unknown_format_names_the_nearest():
    with pytest.raises(ConfigError, match=r"^format: expected one of auto, .*found 'hermse'; did you mean 'hermes'\?"):
        reader("hermse")
    assert reader("auto") is detect
    assert reader("qwen") is FORMATS["qwen"]


def test_calls_that_the_server_read_win_over_marks_in_the_text():
    reply = Reply("<tool_call>", (EmittedCall("x", "get", "{}"),), finish_reason="stop")
    for read in FORMATS.values():
        assert [(c.tool, c.problem) for c in read(reply, ()).calls] == [("get", None)]


def test_a_reply_without_marks_or_text_is_a_turn_without_a_call():
    for text in ("I wait.", "", None, "An [odd] (sentence) {here}.", "<think><tool_call></think>Yes."):
        found = detect(Reply(text, finish_reason="stop"), ())
        assert (found.calls, found.problem) == ((), None)


def test_an_unreadable_reply_is_no_turn_in_any_format():
    for read in FORMATS.values():
        found = read(Reply("x", error_kind="too_large"), ())
        assert found.calls == ()
        assert "too_large" in found.problem
