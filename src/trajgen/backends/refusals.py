"""What a chat server says instead of an answer -> whose fault it is, and what to check. Knows no socket.

The table of who is to blame for what is in `trajgen.backends.openai`. No text that leaves here holds the key: some
servers quote the one they refuse.
"""

from __future__ import annotations

import re
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import orjson

from trajgen.chat import Reply
from trajgen.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yarl import URL

    from trajgen.backends.wire import NotACompletion

_ERROR_CHARS = 500
_BODY_CHARS = 200  # of a 200 that is no answer; often a page of HTML
_TOO_LONG = ("context_length_exceeded", "maximum context length", "context size", "context window", "too many tokens")
_TOO_LONG_STATUSES = frozenset({400, 413, 422})
_LATER = frozenset({408, 425, 429})
_PRESSURE = frozenset({429, 503})
_SERVER_ERROR = 500  # and above
_SETTINGS = frozenset({401, 403, 404})  # wrong for every request alike
_CHECK = {
    400: "the server refused the request: check `sampling`, and that the model takes tools",
    404: "check `base_url` (it ends in /v1 on most servers) and `model`",
    405: "check `base_url` (it ends in /v1 on most servers)",
    422: "the server refused the request: check `sampling`",
}


class ProviderError(Exception):
    """The server did not answer, or answered nothing of use, or refused.

    Attributes:
        status: HTTP status, or the one that an error inside a 200 names; None where there is neither.
        retry_after_s: How long the server asked to wait, where it did.
        unreachable: No connection came about.
    """

    def __init__(
        self,
        message: str,
        status: int | None = None,
        retry_after_s: float | None = None,
        *,
        unreachable: bool = False,
    ) -> None:
        super().__init__(message)
        self.status, self.retry_after_s, self.unreachable = status, retry_after_s, unreachable

    @property
    def may_pass(self) -> bool:
        """Whether the same request may work a little later, or with another replica."""
        return self.status in _LATER or self.is_broken

    @property
    def is_broken(self) -> bool:
        """Whether the server itself is in trouble, so that another replica is the better choice."""
        return self.status is None or self.status >= _SERVER_ERROR

    @property
    def is_pressure(self) -> bool:
        """Whether fewer calls at once may help."""
        return self.status in _PRESSURE or self.retry_after_s is not None or self.unreachable


class SettingsRefused(ProviderError, UserError):
    """The server refused the key, the address or the model: no other request would fare better, so the job stops."""


class Refusals:
    """Reads refusals.

    Args:
        key: What was sent as the key; never repeated.
        key_name: The environment variable it came from.
    """

    def __init__(self, key: str | None, key_name: str | None) -> None:
        self._key, self._key_name = key, key_name

    def refused(self, url: URL, status: int, reason: str | None, headers: Mapping[str, str], body: bytes) -> Reply:
        """Raise what a status other than 200 means; a prompt that is too long is a reply.

        Raises:
            ProviderError: with the server's words and what to check.
        """
        said = self._said(body)
        if _is_too_long(status, said):
            return Reply(None, raw=said, error_kind="context")
        if headers.get("Location"):
            check = self.without_key(f"it redirects to {headers['Location']}")[:200] + ": check `base_url`"
        elif status in {401, 403}:
            check = self._about_key()
        else:
            check = _CHECK.get(status, "")
        message = f"{url}: HTTP {status}: {said or self.without_key(reason or '')}"
        kind = SettingsRefused if status in _SETTINGS else ProviderError
        raise kind(f"{message}; {check}" if check else message, status, read_retry_after_s(headers))

    def not_a_completion(self, url: URL, body: bytes, problem: NotACompletion) -> Reply:
        """Raise the failure that a 200 hides; a prompt that is too long is a reply here too.

        Raises:
            ProviderError: with the beginning of the body.
        """
        status, said = _status_in(body), self._said(body)
        if status is not None and _is_too_long(status, said):
            return Reply(None, raw=said, error_kind="context")
        inside = "" if status is None else f", error {status}"
        found = f": {said[:_BODY_CHARS]}" if said else ""
        raise ProviderError(
            f"{url}: expected a chat completion, found HTTP 200 with {problem}{inside}{found}; check `base_url`",
            status,
        ) from problem

    def without_key(self, text: str) -> str:
        """Replace the key in what a server or a library says; it must not reach a log or a record."""
        return text.replace(self._key, "***") if self._key else text

    def _said(self, body: bytes) -> str:
        return self.without_key(_message_in(body))[:_ERROR_CHARS]

    def _about_key(self) -> str:
        if self._key_name is None:
            return "the server wants a key: set `api_key_env` to the name of the environment variable that holds it"
        return f"check the key in the environment variable {self._key_name}"


def read_retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Read `Retry-After`: seconds, or a date; None where it is neither."""
    given = headers.get("Retry-After", "")
    try:
        return max(0.0, float(given))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(given).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None


def _is_too_long(status: int, said: str) -> bool:
    return status in _TOO_LONG_STATUSES and any(words in said for words in _TOO_LONG)


def _error_in(body: bytes) -> Any:  # whatever the server wrote
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return (data.get("error") or data.get("detail") or data) if isinstance(data, dict) else None


def _status_in(body: bytes) -> int | None:
    """Return the HTTP status that some gateways put into a body with status 200; as a number or as text.

    `context_length_exceeded`, OpenAI's word for a prompt that is too long, stands for the 400 it comes with.
    """
    error = _error_in(body)
    code = str(error.get("code")) if isinstance(error, dict) else ""
    if code == "context_length_exceeded":
        return 400
    return int(code) if re.fullmatch("[45][0-9][0-9]", code) else None


def _message_in(body: bytes) -> str:
    error = _error_in(body)
    message = error.get("message", error) if isinstance(error, dict) else error
    if message is None:
        return body.decode("utf-8", "replace").strip()
    if isinstance(message, str):
        return message
    try:
        return orjson.dumps(message).decode()
    except orjson.JSONEncodeError:  # nested deeper than it writes, though not than it reads
        return body.decode("utf-8", "replace").strip()
