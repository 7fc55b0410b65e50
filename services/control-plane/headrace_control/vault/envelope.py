"""Sealing one value, pure: AES-256-GCM, bound to the place where the value is stored.

A sealed value is `version (1 byte) | nonce (12 bytes) | ciphertext and tag`. Nonces are random, which NIST
SP 800-38D (section 8.3) allows for 2^32 values under one key; a tenant's data key seals far fewer.
"""

import secrets
from dataclasses import dataclass
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from headrace.errors import Conflict, HeadraceError

KEY_BYTES = 32
_VERSION = 1
_NONCE_BYTES = 12


class SecretUnreadable(HeadraceError):
    """A stored value does not open: its key is gone, or it was copied from another place or changed."""

    code = "SECRET_UNREADABLE"

    def __init__(self) -> None:
        super().__init__("a stored secret can not be opened")


class KeysShredded(Conflict):
    """The tenant's data keys were deleted for good: nothing of it opens, and nothing more is sealed for it."""

    code = "KEYS_SHREDDED"
    MESSAGE = "the tenant's keys were shredded: its secrets can not be read, and none can be set"

    def __init__(self) -> None:
        super().__init__(self.MESSAGE)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value is stored: whose it is, which row, which field. A value opens at its own place only."""

    tenant_id: UUID
    owner: str  # "connection", "secret", "callback", "output" or "signing"
    owner_id: UUID
    field: str


def seal(key: bytes, key_id: UUID, place: Place, value: str) -> bytes:
    """`value` sealed for `place` under the data key `key_id`."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return bytes([_VERSION]) + nonce + AESGCM(key).encrypt(nonce, value.encode(), _bound_to(place, key_id))


def unseal(key: bytes, key_id: UUID, place: Place, sealed: bytes) -> str:
    """The value sealed for `place`. Raises `SecretUnreadable`."""
    if sealed[:1] != bytes([_VERSION]):
        raise SecretUnreadable
    nonce, ciphertext = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, _bound_to(place, key_id)).decode()
    except (InvalidTag, ValueError):
        raise SecretUnreadable from None


def _bound_to(place: Place, key_id: UUID) -> bytes:
    # Every part but the last has a fixed length or its length before it: no two places read the same.
    owner = place.owner.encode()
    return b"".join(
        (
            b"headrace",
            bytes([_VERSION]),
            place.tenant_id.bytes,
            key_id.bytes,
            len(owner).to_bytes(2, "big"),
            owner,
            place.owner_id.bytes,
            place.field.encode(),
        )
    )
