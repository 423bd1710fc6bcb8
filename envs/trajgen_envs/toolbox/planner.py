"""How the scripted agent `planner` answers a question: it reads the words, plans, calls, reads what came, and replans.

It sees the goal's text, the tools, observations' text and shown feedback; it knows how questions and sentences are
worded (`phrases`) and which call answers what (`moves`), and nothing of the environment or its tasks.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from trajgen.types import Call, Turn
from trajgen_envs.toolbox import moves, phrases
from trajgen_envs.toolbox.phrases import BY_OP, RELATIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.random import Generator

    from trajgen.types import Feedback, Step, Tool, ToolCall
    from trajgen_envs.toolbox.phrases import Part

MAX_RETRIES = 4  # of one call that failed for the moment, or for no reason that was shown
_NOT_EXECUTED = "The call was not executed."

_SAY_PLAN = (
    "I see {n} things to find, one after the other. First comes {next}.",
    "This takes {n} look-ups or computations in a row; I begin with {next}.",
    "Let me break it down into {n} parts. The first is {next}.",
    "Step by step: {n} parts, and I start from {next}.",
)
_SAY_ONE = (
    "There is one thing to find: {next}.",
    "A single call should do; I look for {next}.",
    "I need {next}, and then I can answer.",
    "This asks for {next} and nothing else.",
)
_SAY_NEXT = (
    "That gave {last}. Now I need {next}.",
    "So it is {last}. Next comes {next}.",
    "I have {last} now; with it I look for {next}.",
    "Good, {last}. On to {next}.",
    "{last} is what I was after. The next part is {next}.",
)
_SAY_RETRY = (
    "That call failed for the moment; I make it again.",
    "The tool could not answer just now, so I try the same call once more.",
    "It did not go through. The call itself is fine, so I repeat it.",
)
_SAY_OTHER = (
    "What I wanted was not among that. I put the query for {next} differently.",
    "None of that tells me {next}; I reword the search.",
    "That did not hold {next}. Other words may.",
)
_SAY_ANSWER = (
    "The last part is {last}, so that is my answer.",
    "With {last} every part is known; I answer.",
    "All parts are found and the last gave {last}. I give that as the answer.",
    "{last} is the result, and nothing is left to find.",
)
_SAY_LOST = ("I see no way on from here.", "I cannot find what this needs, so I stop.")


class ToolboxPlanner:
    """Plays one question. Create one per episode; `start`, then `next` and `saw` in turn."""

    def start(self, goal: str, tools: Sequence[Tool], feedback: Sequence[Feedback], rng: Generator) -> None:
        """Read the question and lay out the plan."""
        question = phrases.read_goal(goal)
        self._parts: tuple[Part, ...] = question.parts if question is not None else ()
        self._tools = {tool.name for tool in tools}
        self._rng = rng
        self._found: list[str] = []  # one value a part, as the tools wrote it
        self._hints: list[str] = []  # what tells a found name apart, where a tool showed it beside the name
        self._wording = 0  # which way of asking for the present part
        self._retries = 0
        self._event = "begin"
        self._made: ToolCall | None = None  # the last call

    def next(self) -> Turn:
        """Return a thought and the next call; stop where the question is not understood or a part cannot be found."""
        if not self._parts or self._event == "lost":
            return self._stop()
        if len(self._found) == len(self._parts):
            answer = Call("answer", {"value": self._found[-1]})
            text = self._retry_text() or self._pick(_SAY_ANSWER)
            return Turn(text=text.format(last=self._found[-1]), calls=(answer,), plan=self._plan())
        if self._event != "retry":  # else the same call again, to the letter: that is what it says
            self._made = self._call()
        call = self._made
        if call is None or call.tool not in self._tools:
            return self._stop()
        return Turn(text=self._thought(), calls=(Call(call.tool, call.arguments),), plan=self._plan())

    def saw(self, step: Step) -> None:
        """Take in what the last call brought: a value, nothing of use, or a failure."""
        if _failed(step):
            self._retries += 1
            self._event = "retry"
            if _is_lasting(step) or self._retries > MAX_RETRIES:
                self._reword()
            return
        if len(self._found) == len(self._parts):
            return
        value = self._read(step.observation.text)
        if value is None:
            self._reword()
            return
        self._found.append(value[0])
        self._hints.append(value[1])
        self._wording = self._retries = 0
        self._event = "found"

    # ---- what it says

    def _pick(self, ways: Sequence[str]) -> str:
        return ways[int(self._rng.integers(len(ways)))]

    def _thought(self) -> str:
        said = self._retry_text()
        if said is None:
            plan = _SAY_PLAN if len(self._parts) > 1 else _SAY_ONE
            ways = {"begin": plan, "reword": _SAY_OTHER}.get(self._event, _SAY_NEXT)
            said = self._pick(ways)
        last = self._found[-1] if self._found else ""
        return said.format(n=len(self._parts), next=self._title(), last=last)

    def _retry_text(self) -> str | None:
        return self._pick(_SAY_RETRY) if self._event == "retry" else None

    def _title(self) -> str:
        part = self._parts[len(self._found)]
        return phrases.fill(part.op, 0, self._input(), part.params, part.ref)

    def _plan(self) -> str:
        lines = []
        for k, part in enumerate(self._parts):
            mark = f": {self._found[k]}" if k < len(self._found) else " (now)" if k == len(self._found) else ""
            lines.append(f"{k + 1}. {part.title}{mark}")
        return "\n".join([*lines, f"{len(self._parts) + 1}. answer"])

    def _stop(self) -> Turn:
        return Turn(text=self._pick(_SAY_LOST), stop=True)

    # ---- what it does

    def _input(self) -> str:
        """Return what stands in the present part's hole: written in the question, or found just before."""
        part = self._parts[len(self._found)]
        return part.x if part.x is not None else self._found[-1] if self._found else ""

    def _call(self) -> ToolCall | None:
        k = len(self._found)
        part, x, unit = self._parts[k], self._input(), None
        if part.op == "convert":
            x, unit = self._amount(part, x)
        ref = self._found[part.ref] if part.ref is not None and part.ref < k else None
        try:
            call = moves.move(part.op, x, part.params, unit=unit, ref=ref)
        except ValueError:
            return None  # what was found before is no number, so it cannot be right
        if call.tool != "search":
            return call if self._wording == 0 else None
        query = self._query(part.op, x)
        return None if query is None else type(call)("search", {"query": query})

    def _amount(self, part: Part, x: str) -> tuple[str, str]:
        if part.x is not None:
            number, _, unit = x.partition(" ")
            return number, unit
        before = self._parts[len(self._found) - 1]
        return x, before.params["u"] if before.op == "convert" else BY_OP[before.op].unit or ""

    def _query(self, op: str, x: str) -> str | None:
        """Put a search in words; each wording that failed is followed by another, then by none."""
        keywords = RELATIONS[BY_OP[op].relation or ""].keywords
        hint = self._hints[-1] if self._hints and self._parts[len(self._found)].x is None else ""
        ways = [f"{keywords} {x}", f"{x} {keywords}", f"What is the {keywords} of {x}?"]
        if self._wording == 0:
            return self._pick(ways)
        further = ([f"{keywords} {x} {hint}"] if hint else []) + [f"{keywords} {x}", x]
        return further[self._wording - 1] if self._wording <= len(further) else None

    def _reword(self) -> None:
        self._wording += 1
        self._retries = 0
        self._event = "reword"
        if self._call_is_hopeless():
            self._event = "lost"

    def _call_is_hopeless(self) -> bool:
        return len(self._found) == len(self._parts) or self._call() is None

    # ---- what it reads

    def _read(self, text: str) -> tuple[str, str] | None:
        """Return the present part's value and what tells it apart, read from an observation."""
        part = self._parts[len(self._found)]
        phrase = BY_OP[part.op]
        if phrase.relation is not None:
            return self._read_sentences(text, phrase.relation, backwards=phrase.backwards)
        if moves.is_sql(part.op):
            rows = text.splitlines()[1:]
            if len(rows) != 1 or rows[0] == "(no rows)":
                return None
            value, _, hint = rows[0].partition(" | ")
            return value, hint
        if part.op == "convert":
            return text.partition(" ")[0], ""
        return text.strip(), ""

    def _read_sentences(self, text: str, relation: str, *, backwards: bool) -> tuple[str, str] | None:
        wanted = {_folded(self._input())}
        if self._hints and self._hints[-1] and self._parts[len(self._found)].x is None:
            wanted.add(_folded(f"{self._input()} ({self._hints[-1]})"))
        for line in text.splitlines():
            stated = phrases.read_sentence(relation, line.partition(". ")[2])
            if stated is None:
                continue
            subject, value = stated
            if backwards and value == self._input():
                return subject, ""
            if not backwards and _folded(subject) in wanted:
                return value, ""
        return None


def _failed(step: Step) -> bool:
    if any(f.channel == "error" for f in step.feedback):
        return True
    said = [f.text for f in step.feedback if f.channel == "success"]
    return any("failed" in text for text in said) or step.observation.text == _NOT_EXECUTED


def _is_lasting(step: Step) -> bool:
    """Say whether the failure was explained, and not as one of the moment."""
    why = [f.text for f in step.feedback if f.channel == "error"]
    return bool(why) and not any("again" in text for text in why)


def _folded(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name)
    return "".join(c for c in plain if not unicodedata.combining(c)).casefold()
