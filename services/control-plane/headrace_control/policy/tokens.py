"""An approval's token: which call of which run it allows, until when, and a signature. Pure.

A token is, in base64url without padding (RFC 4648, section 5):
`version (1 byte) | tenant (16) | run (16) | nonce (16) | expiry (8, seconds since 1970) | digest (32) | HMAC-SHA256
(32) | step`. The signature is over all the rest, under a key of the tenant's own that signs nothing else.
"""

import base64
import binascii
import hmac
import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

MAX_TOKEN = 500  # characters; a row key has some 80 at most

_VERSION = 1
_HEAD = struct.Struct(">B16s16s16sQ32s")
_MAC = 32
_CONTEXT = b"headrace approval\0"


@dataclass(frozen=True, slots=True)
class ApprovalToken:
    """What an approval allows: the call of the row `step` whose digest (SHA-256) is this. `expires` is in whole seconds
    since 1970."""

    tenant_id: UUID
    run_id: UUID
    step: str
    digest: bytes
    nonce: UUID
    expires: int

    @property
    def expires_at(self) -> datetime:
        return datetime.fromtimestamp(self.expires, UTC)


def write_token(key: bytes, token: ApprovalToken) -> str:
    raw = _head(token) + _sign(key, token) + token.step.encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def read_token(key: bytes, text: str) -> ApprovalToken | None:
    """The token, if it was signed with the key; compared in constant time. None for everything else."""
    if len(text) > MAX_TOKEN or not text.isascii():
        return None
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        version, tenant, run, nonce, expires, digest = _HEAD.unpack_from(raw)
        step = raw[_HEAD.size + _MAC :].decode()
    except (binascii.Error, struct.error, UnicodeDecodeError, ValueError):
        return None
    token = ApprovalToken(UUID(bytes=tenant), UUID(bytes=run), step, digest, UUID(bytes=nonce), expires)
    genuine = hmac.compare_digest(raw[_HEAD.size : _HEAD.size + _MAC], _sign(key, token))
    return token if genuine and version == _VERSION else None


def _head(token: ApprovalToken) -> bytes:
    return _HEAD.pack(
        _VERSION,
        token.tenant_id.bytes,
        token.run_id.bytes,
        token.nonce.bytes,
        token.expires,
        token.digest,
    )


def _sign(key: bytes, token: ApprovalToken) -> bytes:
    """The tenant's key signs callback addresses; what signs approvals is derived from it (RFC 5869, section 3.2)."""
    own = hmac.digest(key, _CONTEXT + b"key", "sha256")
    return hmac.digest(own, _CONTEXT + _head(token) + token.step.encode(), "sha256")
