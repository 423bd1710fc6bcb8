"""What goes to a model and comes back: messages in, one reply out. Imports nothing of ours; knows no wire format.

The canonical form of every prompt and export. A stored episode holds messages and usage as they are here.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Role = Literal["system", "user", "assistant", "tool"]


class FunctionCall(Struct, frozen=True):
    """A tool call inside an assistant message; `arguments` is a JSON object as a string."""

    id: str
    name: str
    arguments: str


class Message(Struct, frozen=True, omit_defaults=True):
    """One chat message in the OpenAI sense; the canonical form of every prompt and export."""

    role: Role
    content: str
    reasoning_content: str | None = None
    tool_calls: tuple[FunctionCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None


class Usage(Struct, frozen=True):
    """Tokens of one model call, as the server counted them."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None


class EmittedCall(Struct, frozen=True):
    """A call as a server returned it; `arguments` is the untouched string."""

    id: str | None
    name: str | None
    arguments: str


class Reply(Struct, frozen=True):
    """One answer of a backend.

    Attributes:
        raw: The server's `message` object as JSON, as received.
        prompt_token_ids: None where the server gives none; likewise `token_ids` and `logprobs` (natural log).
        error_kind: Why the reply could not be read as a chat completion; None when it could.
    """

    text: str | None
    calls: tuple[EmittedCall, ...] = ()
    reasoning: str | None = None
    finish_reason: str | None = None
    usage: Usage = Usage()
    model: str | None = None
    raw: str = ""
    prompt_token_ids: tuple[int, ...] | None = None
    token_ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    error_kind: str | None = None
