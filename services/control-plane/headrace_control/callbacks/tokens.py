"""The last part of a callback address: which step of which run it is for, until when, and a signature. Pure.

A token is, in base64url without padding (RFC 4648, section 5):
`version (1 byte) | tenant (16) | run (16) | expiry (8, seconds since 1970) | HMAC-SHA256 (32) | step`.
The signature is over all the rest, under a key of the tenant's own. The same values make the same token, so a run's
addresses are the same at each of its claims.
"""

import base64
import binascii
import hmac
import secrets
import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

KEY_BYTES = 32
MAX_TOKEN = 400  # characters; a step's key has 63 at most

_VERSION = 1
_HEAD = struct.Struct(">B16s16sQ")
_MAC = 32
_CONTEXT = b"headrace callback\0"
# Stands in for the key of a tenant that has none, so that a guess takes as long as a near miss.
_NO_KEY = secrets.token_bytes(KEY_BYTES)


@dataclass(frozen=True, slots=True)
class Token:
    """What a callback address is for. `expires` is in whole seconds since 1970."""

    tenant_id: UUID
    run_id: UUID
    step: str
    expires: int

    @property
    def expires_at(self) -> datetime:
        return datetime.fromtimestamp(self.expires, UTC)


@dataclass(frozen=True, slots=True)
class Presented:
    """A token as somebody brought it. It says nothing until `is_genuine`."""

    token: Token
    mac: bytes

    def is_genuine(self, key: bytes | None) -> bool:
        """Whether it was signed with the tenant's key; compared in constant time. None: the tenant has no key."""
        genuine = hmac.compare_digest(self.mac, _sign(key or _NO_KEY, self.token))
        return genuine and key is not None


def write_token(key: bytes, token: Token) -> str:
    raw = _head(token) + _sign(key, token) + token.step.encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def read_token(text: str) -> Presented | None:
    """What `text` says that it is; None when it is no token at all."""
    if len(text) > MAX_TOKEN or not text.isascii():
        return None
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        version, tenant, run, expires = _HEAD.unpack_from(raw)
        step = raw[_HEAD.size + _MAC :].decode()
        token = Token(UUID(bytes=tenant), UUID(bytes=run), step, expires)
        token.expires_at  # noqa: B018 - beyond what a time can be, it is none of ours
    except (binascii.Error, struct.error, UnicodeDecodeError, ValueError, OverflowError, OSError):
        return None
    if version != _VERSION or not step or "\0" in step:
        return None
    return Presented(token, raw[_HEAD.size : _HEAD.size + _MAC])


def _head(token: Token) -> bytes:
    return _HEAD.pack(_VERSION, token.tenant_id.bytes, token.run_id.bytes, token.expires)


def _sign(key: bytes, token: Token) -> bytes:
    return hmac.digest(key, _CONTEXT + _head(token) + token.step.encode(), "sha256")
