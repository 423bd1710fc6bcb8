"""Exchanges with a model, kept in a file and played again: the same job without the model, to the byte.

The file is JSON lines, each message and set of tools once: {"message": ...}, {"tools": ...}, {"reply": ...}. One exchange
is appended by one `write` to a file opened `O_APPEND`, so several workers can share it; a line that a killed process
left half written is skipped. Where a request was recorded twice, the last answer counts.

An exchange is found by what was asked: messages, tools, seed, sampling and constraint. Where the file lies (`path`) and
whether it is played or written (`mode`) is not part of an episode's id; the `backend` table is, so keep the table when
you switch to `replay`, and the ids stay.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import msgspec
from msgspec import Struct

from trajgen import registry
from trajgen.chat import Message, Reply
from trajgen.errors import ConfigError, UserError
from trajgen.strict import convert, shown
from trajgen.types import Json, Tool, to_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trajgen.protocols import Backend

_DIGEST_BYTES = 16


class CassetteMiss(UserError, LookupError):
    """The exchange was never recorded; the message says what the nearest recorded one asked."""


class CassetteConfig(Struct, frozen=True):
    """Keys of the backend.

    Attributes:
        path: The file; relative to where the job runs.
        mode: `replay` never asks the model, `record` always does, `auto` does where the exchange was not recorded.
        backend: The model: `kind` and its keys. Not needed to replay.
    """

    path: str
    mode: Literal["replay", "record", "auto"] = "replay"
    backend: dict[str, Json] | None = None


class Exchange(Struct, frozen=True, omit_defaults=True):
    """One recorded exchange; `messages` and `tools` are digests of lines before it."""

    key: str
    messages: tuple[str, ...]
    tools: str
    seed: int | None
    sampling: Json
    constraint: Json
    reply: Reply


class _Line(Struct, frozen=True, omit_defaults=True):
    """One line: a digest with its content, or an exchange."""

    digest: str | None = None
    message: Message | None = None
    tools: Json = None
    exchange: Exchange | None = None


_line_decoder = msgspec.json.Decoder(_Line)
_line_encoder = msgspec.json.Encoder()


class CassetteBackend:
    """Plays or records a cassette.

    Raises:
        ConfigError: there is nothing to replay, or no model to record.
    """

    config: ClassVar[type[Struct]] = CassetteConfig
    not_identity: ClassVar[frozenset[str]] = frozenset({"path", "mode"})

    def __init__(self, config: CassetteConfig, inner: Backend | None = None) -> None:
        self._mode, self._path = config.mode, Path(config.path)
        self._inner = inner
        if config.mode == "replay":
            if not self._path.is_file():
                raise ConfigError(f'path: no cassette {config.path!r}; record one with mode = "auto" and a backend')
        elif inner is None:
            self._inner = _inner(config.backend, config.mode)
        self._known: set[str] = set()
        self._messages: dict[str, Message] = {}
        self._exchanges: dict[str, Exchange] = {}
        self.n_damaged = 0
        self._load()

    async def generate(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool],
        *,
        seed: int | None = None,
        sampling: Mapping[str, Json] | None = None,
        constraint: Mapping[str, Json] | None = None,
    ) -> Reply:
        """Return the recorded reply, or ask the model and record it.

        Raises:
            CassetteMiss: mode is `replay` and the exchange was never recorded.
        """
        asked = _asked(messages, tools, seed, sampling, constraint)
        if self._mode != "record" and (found := self._exchanges.get(asked.key)) is not None:
            return found.reply
        if self._mode == "replay" or self._inner is None:
            raise CassetteMiss(self._miss(asked, messages))
        reply = await self._inner.generate(messages, tools, seed=seed, sampling=sampling, constraint=constraint)
        if self._mode == "auto" and (earlier := self._exchanges.get(asked.key)) is not None:
            return earlier.reply  # another episode asked the same meanwhile; a replay must agree with both
        self._append(msgspec.structs.replace(asked, reply=reply), messages, tools)
        return reply

    async def close(self) -> None:
        """Close the model."""
        if self._inner is not None:
            await self._inner.close()

    # ---- the file

    def _load(self) -> None:
        if not self._path.is_file():
            return
        for text in self._path.read_bytes().split(b"\n"):
            if not text:
                continue
            try:
                line = _line_decoder.decode(text)
            except (msgspec.MsgspecError, ValueError, RecursionError):
                self.n_damaged += 1
                continue
            if line.digest is not None:
                self._known.add(line.digest)
                if line.message is not None:
                    self._messages[line.digest] = line.message
            if line.exchange is not None:
                self._exchanges[line.exchange.key] = line.exchange

    def _append(self, exchange: Exchange, messages: Sequence[Message], tools: Sequence[Tool]) -> None:
        lines = []
        for digest, message in zip(exchange.messages, messages, strict=True):
            if digest not in self._known:
                lines.append(_Line(digest=digest, message=message))
                self._messages[digest] = message
        if exchange.tools not in self._known:
            lines.append(_Line(digest=exchange.tools, tools=list(tools)))
        # a leading newline ends a line that a killed process left half written
        data = b"".join(b"\n" + _line_encoder.encode(line) for line in [*lines, _Line(exchange=exchange)]) + b"\n"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            if os.write(file, data) != len(data):
                raise OSError(f"{self._path}: only a part of an exchange could be written; is the disk full?")
        finally:
            os.close(file)
        self._known.update(line.digest for line in lines if line.digest)
        self._exchanges[exchange.key] = exchange

    # ---- a miss

    def _miss(self, asked: Exchange, messages: Sequence[Message]) -> str:
        start = f"{self._path}: no recorded exchange fits this request of {len(messages)} messages"
        if self.n_damaged:
            start += f" ({self.n_damaged} damaged lines were skipped)"
        if not self._exchanges:
            return f"{start}; the cassette is empty"
        nearest = max(self._exchanges.values(), key=lambda e: (_n_common(e, asked), len(e.messages) == len(messages)))
        return f'{start}; the nearest differs in {self._difference(nearest, asked, messages)}; mode = "auto" records it'

    def _difference(self, recorded: Exchange, asked: Exchange, messages: Sequence[Message]) -> str:
        common = _n_common(recorded, asked)
        if common < len(messages) and common < len(recorded.messages):
            was = self._messages.get(recorded.messages[common])
            return _message_difference(common, was, messages[common])
        if len(messages) != len(recorded.messages):
            return f"length: it has {len(recorded.messages)} messages, of which {common} are the same"
        for name in ("tools", "seed", "sampling", "constraint"):
            was, now = getattr(recorded, name), getattr(asked, name)
            if was != now:
                return f"{name}: recorded {shown(was)}, asked {shown(now)}"
        return "nothing but its key: the line was edited by hand"


def _inner(table: dict[str, Json] | None, mode: str) -> Backend:
    keys = dict(table or {})
    kind = keys.pop("kind", None)
    if not isinstance(kind, str):
        raise ConfigError(f'backend: mode = "{mode}" needs the model: backend = {{ kind = "openai", ... }}')
    factory = registry.backend(kind)
    return factory(convert(keys, factory.config, "backend"))


def _digest(value: Any) -> str:  # JSON data or a record
    return blake2b(to_json(value).encode(), digest_size=_DIGEST_BYTES).hexdigest()


def _asked(
    messages: Sequence[Message],
    tools: Sequence[Tool],
    seed: int | None,
    sampling: Mapping[str, Json] | None,
    constraint: Mapping[str, Json] | None,
) -> Exchange:
    """Return the request as an exchange that has no reply yet."""
    digests = tuple(map(_digest, messages))
    offered = _digest(list(tools))
    plain, bound = dict(sampling) if sampling else None, dict(constraint) if constraint else None
    return Exchange(_digest([digests, offered, seed, plain, bound]), digests, offered, seed, plain, bound, Reply(None))


def _n_common(recorded: Exchange, asked: Exchange) -> int:
    common = 0
    for was, now in zip(recorded.messages, asked.messages, strict=False):
        if was != now:
            break
        common += 1
    return common


def _message_difference(number: int, was: Message | None, now: Message) -> str:
    if was is None:
        return f"message {number}, whose recorded text is damaged"
    for name in ("role", "content", "tool_calls", "tool_call_id", "reasoning_content", "name"):
        before, after = getattr(was, name), getattr(now, name)
        if before != after:
            if isinstance(before, str) and isinstance(after, str):
                before, after = _around(before, after)
            return f"message {number} ({now.role}), {name}: recorded {shown(before)}, asked {shown(after)}"
    return f"message {number}"


def _around(before: str, after: str) -> tuple[str, str]:
    """Cut two texts to where they begin to differ."""
    at = next((i for i, (b, a) in enumerate(zip(before, after, strict=False)) if b != a), min(len(before), len(after)))
    start = max(0, at - 15)
    return before[start : at + 40], after[start : at + 40]
