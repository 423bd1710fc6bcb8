"""A model that plays a script and checks what it is given; the fake behind tests and examples.

    ScriptedBackend(["get(cup)", "I have it. >> answer(3)"])

Which reply comes is a function of the messages alone: the n-th assistant message is the n-th reply. So one backend
serves any number of episodes at once, and an episode that is played again gets the same replies. Knows no network.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, Literal

from msgspec import Struct

from trajgen.backends.notation import TypedReply, arguments, parse
from trajgen.chat import EmittedCall, FunctionCall, Message, Reply, Usage
from trajgen.errors import UserError
from trajgen.strict import shown
from trajgen.types import Json, Tool, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class ScriptError(UserError, AssertionError):
    """The script does not fit what was asked of it, or what was asked is no legal chat.

    A failed assertion to a test; to a job, something its author can mend. Never retried.
    """


class ScriptedConfig(Struct, frozen=True):
    """Keys of the backend.

    Attributes:
        replies: In the notation of `trajgen.backends.notation`.
        at_end: What follows the last reply: an error, or the script from its beginning.
    """

    replies: list[str]
    at_end: Literal["error", "repeat"] = "error"

    def __post_init__(self) -> None:
        """Refuse a reply that is not in the notation."""
        for reply in self.replies:
            parse(reply)


class ScriptedBackend:
    """Plays a script.

    Args:
        script: A job's config; or replies, each in the notation or ready-made; or a function of the messages and
            tools that returns one.
        at_end: As in the config.
        likes: How `score` weighs a candidate: a function of the messages and the text that returns its log-likelihood
            (natural log). By default a text loses 1 for each word that it has and the reply whose turn it is has not,
            and the other way round.
    """

    config: ClassVar[type[Struct]] = ScriptedConfig
    not_identity: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self,
        script: ScriptedConfig | Sequence[str | Reply] | Callable[[Sequence[Message], Sequence[Tool]], str | Reply],
        at_end: Literal["error", "repeat"] = "error",
        likes: Callable[[Sequence[Message], str], float] | None = None,
    ) -> None:
        if isinstance(script, ScriptedConfig):
            at_end, script = script.at_end, script.replies
        self._play = script if callable(script) else None
        self._replies = () if callable(script) else tuple(script)
        self._at_end, self._likes = at_end, likes
        self.n_calls = self.n_scored = 0

    async def generate(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool],
        *,
        seed: int | None = None,
        sampling: Mapping[str, Json] | None = None,
        constraint: Mapping[str, Json] | None = None,
    ) -> Reply:
        """Return the reply whose turn it is; where no tool is offered, a text of the script is the reply itself.

        Raises:
            ScriptError: the messages are no legal chat, or the script has ended.
        """
        check_turn(messages)
        self.n_calls += 1
        number = sum(m.role == "assistant" for m in messages)
        given = self._play(messages, tools) if self._play is not None else self._next(number)
        if isinstance(given, Reply):
            return given
        if not tools:
            message = to_json({"role": "assistant", "content": given})
            return Reply(given, finish_reason="stop", model="scripted", raw=message)
        try:
            return reply_of(parse(given), tools, number)
        except ValueError as error:
            raise ScriptError(f"reply {number}: {error}") from None

    async def score(self, messages: Sequence[Message], candidates: Sequence[str]) -> Sequence[float]:
        """Return the log-likelihood of each candidate; see `likes`.

        Raises:
            ScriptError: the messages are no legal chat, there is no candidate or an empty one, or the script has ended.
        """
        check_turn(messages)
        if not candidates or not all(isinstance(text, str) and text.strip() for text in candidates):
            raise ScriptError(f"score: expected at least one candidate, none of them empty, found {shown(candidates)}")
        self.n_scored += 1
        if self._likes is not None:
            return [self._likes(messages, text) for text in candidates]
        meant = self._next(sum(m.role == "assistant" for m in messages))
        words = _words((meant.text or "") if isinstance(meant, Reply) else meant)
        return [-float(len(words ^ _words(text))) for text in candidates]

    async def close(self) -> None:
        """Do nothing: there is nothing to release."""

    def _next(self, number: int) -> str | Reply:
        n = len(self._replies)
        if number >= n and (self._at_end == "error" or n == 0):
            raise ScriptError(
                f"the script has {n} replies, and one more was asked for; add one that ends the episode, "
                'or set at_end = "repeat"'
            )
        return self._replies[number % n]


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))


def reply_of(typed: TypedReply, tools: Sequence[Tool], number: int) -> Reply:
    """Return what a server would have sent for a reply in the notation.

    Args:
        number: Of the reply in its chat; call ids are made of it.

    Raises:
        ValueError: a value has no argument to go to.
    """
    calls = tuple(
        EmittedCall(f"scripted_{number}_{i}", call.tool, to_json(arguments(call, tools)))
        for i, call in enumerate(typed.calls)
    )
    sent = [{"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}} for c in calls]
    message = {"role": "assistant", "content": typed.text, **({"tool_calls": sent} if sent else {})}
    reason = "tool_calls" if calls else "stop"
    return Reply(typed.text, calls, finish_reason=reason, usage=Usage(), model="scripted", raw=to_json(message))


def check_chat(messages: Sequence[Message], tools: Sequence[Tool]) -> None:
    """Check that a server and a trainer would take this request.

    Legal is: an optional system message, a user message, then turns of an assistant; each of its calls is answered
    once, right after it and in any order; a reply without a call is answered by a user message.

    Raises:
        ScriptError: names the message.
    """
    if not tools:
        raise ScriptError("no tool is offered")
    check_turn(messages)


def check_turn(messages: Sequence[Message]) -> None:
    """Check the messages alone; see `check_chat`.

    Raises:
        ScriptError: names the message.
    """
    chat = _Chat()
    for message in messages:
        chat.add(message)
    if "assistant" not in chat.expected:
        raise ScriptError(f"it is not the model's turn after {len(messages)} messages{chat.still()}")


class _Chat:
    """What may come next in a chat."""

    def __init__(self) -> None:
        self.expected = {"system", "user"}
        self._unanswered: set[str] = set()
        self._seen: set[str] = set()
        self._n = 0

    def add(self, message: Message) -> None:
        """Take the next message in, or raise what is wrong with it."""
        where = f"message {self._n} ({message.role}, {shown(message.content, 40)})"
        self._n += 1
        if message.role not in self.expected:
            raise ScriptError(f"{where}: expected {' or '.join(sorted(self.expected))}{self.still()}")
        if message.tool_calls and message.role != "assistant":
            raise ScriptError(f"{where}: only an assistant calls")
        if message.role == "tool":
            self._answer(message.tool_call_id, where)
        elif message.tool_call_id is not None:
            raise ScriptError(f"{where}: only a tool message answers a call")
        for call in message.tool_calls:
            self._call(call, where)
        self.expected = self._may_follow(message.role)

    def still(self) -> str:
        return f"; not answered yet: {', '.join(sorted(self._unanswered))}" if self._unanswered else ""

    def _answer(self, call_id: str | None, where: str) -> None:
        if call_id not in self._unanswered:
            raise ScriptError(f"{where}: answers {call_id!r}, which is not waited for{self.still()}")
        self._unanswered.discard(call_id)

    def _call(self, call: FunctionCall, where: str) -> None:
        if not call.id or not call.name or call.id in self._seen:
            raise ScriptError(f"{where}: a call needs a name and an id of its own, found {call}")
        self._seen.add(call.id)
        self._unanswered.add(call.id)

    def _may_follow(self, role: str) -> set[str]:
        if role == "system":
            return {"user"}
        if self._unanswered:
            return {"tool"}
        return {"user"} if role == "assistant" else {"assistant"}
