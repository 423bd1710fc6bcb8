"""ReAct: `Thought: ... Action: tool[argument]`, or `Action: tool` and `Action Input: ...` (arXiv 2210.03629). Never raises.

Only the first action is read. What a model makes up from an `Observation:` on is no part of the turn. `Finish[answer]`
ends the episode, unless there is a tool of that name; the answer stays in the text.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from trajgen.replies import pythonic, scan
from trajgen.replies.arguments import parse_object
from trajgen.replies.calls import UNFINISHED, Written
from trajgen.replies.reading import Found, joined, read
from trajgen.replies.values import as_json, known, properties, typed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trajgen.chat import Reply
    from trajgen.types import Json, Tool, Turn

FINISH = "finish"
_LABEL = re.compile(
    r"^[ \t>*#]*+(Thought|Action[ \t]++Input|Action|Observation)[ \t]*+\d*+[ \t*]*+:[ \t*]*+",
    re.IGNORECASE | re.MULTILINE,
)
_BRACKET = re.compile(r"[`*]*+([A-Za-z_][\w.-]*+)[ \t]*+\[")
_FENCE = re.compile(r"```[A-Za-z]*+\s*+")


def turn_of(reply: Reply, tools: Sequence[Tool]) -> Turn:
    """Read one reply as a turn; see `native.turn_of`. It has one call at most."""
    return read(reply, tools, _found)


def has_action(text: str) -> bool:
    """Say whether a line of a text begins with `Action:`."""
    return any(_kind(label) == "action" for label in _LABEL.finditer(text))


def _found(text: str, tools: Sequence[Tool]) -> Found:
    labels: list[re.Match[str]] = []
    end = len(text)
    for label in _LABEL.finditer(text):
        if _kind(label) == "observation":
            end = label.start()
            break
        labels.append(label)
    number = next((i for i, label in enumerate(labels) if _kind(label) == "action"), None)
    if number is None:
        return Found(_thought(text[:end]))
    ends = [*(label.start() for label in labels[number + 1 :]), end, end]
    thought = _thought(text[: labels[number].start()])
    action = text[labels[number].end() : ends[0]].strip()
    has_input = number + 1 < len(labels) and _kind(labels[number + 1]) == "input"
    given = text[labels[number + 1].end() : ends[1]].strip() if has_input else None
    call = _written(action, given, tools)
    if _is_finish(call, tools):
        return Found(joined([thought, given or action]), stop=True)
    return Found(thought, [call])


def _kind(label: re.Match[str]) -> str:
    return label[1].split()[-1].lower()


def _thought(text: str) -> str:
    return joined(_LABEL.sub(_without_thought, text).splitlines())


def _without_thought(label: re.Match[str]) -> str:
    return "" if _kind(label) == "thought" else label[0]


def _is_finish(call: Written, tools: Sequence[Tool]) -> bool:
    named = call.name is not None and call.name.lower() == FINISH
    return named and call.problem != UNFINISHED and not any(t.name.lower() == FINISH for t in tools)


def _written(action: str, given: str | None, tools: Sequence[Tool]) -> Written:
    if action.startswith("{"):
        end = scan.value_end(action, 0)
        return scan.unfinished(action) if end is None else scan.call_of(action[:end])
    if given is None and (bracket := _BRACKET.match(action)) is not None:
        line_end = action.find("\n")
        close = action.rfind("]", 0, len(action) if line_end < 0 else line_end)
        close = action.rfind("]") if close < bracket.end() else close
        if close < bracket.end():
            return Written(bracket[1], action[bracket.end() :], UNFINISHED)
        return _of_text(bracket[1], action[bracket.end() : close].strip(), tools, split=True)
    if given is None and (call := pythonic.call_at(action.lstrip("`*"))) is not None:
        return pythonic.written(call, tools)
    name = action.partition("\n")[0].strip(" \t`*\"'.")
    return _of_text(name, given or "", tools, split=False)


def _of_text(name: str, text: str, tools: Sequence[Tool], *, split: bool) -> Written:
    """Read arguments that are a JSON object, or the value of the only argument, or (`split`) values between commas."""
    text = _unfenced(text)
    if text.startswith("{"):
        end = scan.value_end(text, 0)
        if end is None:
            return Written(name, text, UNFINISHED)
        # what a model says in further lines is no part of the input
        return Written(name, text[:end] if text[end:].lstrip(" \t").startswith("\n") else text)
    if not text or (text.startswith('"') and parse_object(text).decoded_twice):
        return Written(name, text)
    if known(name, tools) is None:
        return Written(name, text, arguments="")  # the action space says that there is no such tool
    return _of_values(name, text, properties(name, tools), split=split)


def _of_values(name: str, text: str, schemas: Mapping[str, Json], *, split: bool) -> Written:
    if not schemas:
        return Written(name, text, f"{name} takes no arguments")
    values = [text] if len(schemas) == 1 else text.split(",", len(schemas))
    if len(values) > len(schemas) or (len(schemas) > 1 and not split):
        return Written(name, text)  # which is no JSON object, and is told so
    return Written(name, text, arguments=as_json(_pair(schemas, i, value.strip()) for i, value in enumerate(values)))


def _pair(schemas: Mapping[str, Json], index: int, text: str) -> tuple[str, Json]:
    name = list(schemas)[index]
    value = typed(text, schemas[name])
    return name, _unquoted(value) if isinstance(value, str) else value


def _unquoted(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] == "'" and text.count("'") == 2:  # noqa: PLR2004 - the two around it
        return text[1:-1]
    if not text.startswith('"'):
        return text
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, str) else text


def _unfenced(text: str) -> str:
    fence = _FENCE.match(text)
    if fence is None or not text.endswith("```"):
        return text
    return text[fence.end() : -3].strip()
