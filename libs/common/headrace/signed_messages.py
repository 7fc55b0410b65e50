"""Signatures of messages between servers, as the Standard Webhooks specification 1.0 has them: HMAC-SHA256, "v1". Pure.

Signed is `id.timestamp.body`, so an id holds no dot: with one, the same bytes could be read as another id and body.
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hmac
import re
import secrets
from collections.abc import Sequence

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
MAX_ID = 128
# Signatures of one message that are looked at: a sender has one for each of its secrets.
MAX_SIGNATURES = 10

_PREFIX = "whsec_"
_KEY_BYTES = 32
_VERSION = "v1,"
_ID = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_ID}}}")
_SECONDS = re.compile(r"[0-9]{1,12}")


def new_secret() -> str:
    """A fresh secret in the form that libraries of the specification take: `whsec_` and 32 bytes in base64."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()


def is_secret(text: str) -> bool:
    """Whether messages can be signed with it."""
    return _key(text) is not None


def is_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


def seconds_of(text: str) -> int | None:
    """A timestamp, in whole seconds since 1970; None when it is none."""
    return int(text) if _SECONDS.fullmatch(text) else None


def sign(secret: str, message_id: str, seconds: int, body: bytes) -> str:
    """One signature, as it stands in the header. Raises `ValueError` for what is no secret."""
    key = _key(secret)
    if key is None:
        raise ValueError("no secret of the form whsec_<base64>")
    mac = hmac.digest(key, f"{message_id}.{seconds}.".encode() + body, "sha256")
    return _VERSION + base64.b64encode(mac).decode()


def is_signed(secrets_: Sequence[str], header: str, message_id: str, seconds: int, body: bytes) -> bool:
    """Whether one of the header's signatures is by one of the secrets. All are compared, each in constant time."""
    given = [part.encode() for part in header.split(" ")[:MAX_SIGNATURES] if part.isascii()]
    genuine = False
    for secret in secrets_:
        expected = sign(secret, message_id, seconds, body).encode()
        for one in given:
            genuine |= hmac.compare_digest(one, expected)
    return genuine


def _key(text: str) -> bytes | None:
    if not text.startswith(_PREFIX):
        return None
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) >= 24 else None  # the specification's least
