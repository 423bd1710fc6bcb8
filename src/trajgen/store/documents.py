"""Small JSON files that carry their own checksum: plan and commit records. Knows no field of either."""

from __future__ import annotations

from hashlib import blake2b
from typing import TypeVar

import msgspec
from msgspec import Struct

T = TypeVar("T", bound=Struct)


class _Sealed(Struct, frozen=True, forbid_unknown_fields=True):
    checksum: str
    body: msgspec.Raw


def _checksum(body: bytes) -> str:
    return blake2b(body, digest_size=16).hexdigest()


def seal(body: Struct) -> bytes:
    """Return the document as JSON bytes: `{"checksum": blake2b-16 of body's bytes, "body": ...}`."""
    raw = msgspec.json.encode(body)
    return msgspec.json.encode(_Sealed(_checksum(raw), msgspec.Raw(raw))) + b"\n"


def body_of(data: bytes) -> bytes | None:
    """Return the body's bytes; None where the document is torn or any of its bits was changed."""
    try:
        sealed = msgspec.json.decode(data, type=_Sealed)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    body = bytes(sealed.body)
    return body if _checksum(body) == sealed.checksum else None


def unseal(data: bytes, type_: type[T]) -> T | None:
    """Read a document; None where it is torn, changed, or not a `type_`."""
    body = body_of(data)
    if body is None:
        return None
    try:
        return msgspec.json.decode(body, type=type_)
    except msgspec.DecodeError:
        return None
