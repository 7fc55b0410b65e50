"""The keys that wrap the tenants' data keys: the port to whoever keeps them, and keys of our own."""

import base64
import binascii
import hashlib
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from headrace.errors import InvalidInput, Problem

from headrace_control.vault.envelope import KEY_BYTES, SecretUnreadable

_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A data key as it may be stored: who wrapped it, under which of their keys, and the bytes."""

    provider: str
    wrapped_by: str
    wrapped: bytes = field(repr=False)


class KeyProvider(Protocol):
    """Wraps and unwraps data keys. Asynchronous, because a key management service is asked over the network.

    `tenant_id` binds a wrapped key to its tenant. A provider that can not be reached raises `Unavailable`;
    one that does not know the key, or finds it changed, raises `SecretUnreadable`.
    """

    async def wrap(self, tenant_id: UUID, data_key: bytes) -> WrappedKey: ...

    async def unwrap(self, tenant_id: UUID, key: WrappedKey) -> bytes: ...

    @property
    def wraps_with(self) -> tuple[str, str]:
        """The provider and the key that `wrap` names now; data keys that name others are to be wrapped anew."""

    def forget(self, tenant_id: UUID) -> None:
        """Drop what is remembered of this tenant's data keys, if anything is."""


class OwnKeys:
    """A provider whose keys are given to the process: the first wraps, the others still unwrap.

    A key's id is taken from its digest, so ids need no file of their own.
    """

    NAME = "own"

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Raises `InvalidInput` unless there is at least one key and each has `KEY_BYTES` bytes."""
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise _bad_key()
        self._keys = {_key_id(key): key for key in keys}
        self._current = _key_id(keys[0])

    async def wrap(self, tenant_id: UUID, data_key: bytes) -> WrappedKey:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        cipher = AESGCM(self._keys[self._current])
        wrapped = nonce + cipher.encrypt(nonce, data_key, tenant_id.bytes)
        return WrappedKey(self.NAME, self._current, wrapped)

    @property
    def wraps_with(self) -> tuple[str, str]:
        return self.NAME, self._current

    def forget(self, tenant_id: UUID) -> None:
        """Nothing: data keys are unwrapped anew each time."""

    async def unwrap(self, tenant_id: UUID, key: WrappedKey) -> bytes:
        own = self._keys.get(key.wrapped_by) if key.provider == self.NAME else None
        if own is None:
            raise SecretUnreadable
        try:
            return AESGCM(own).decrypt(
                key.wrapped[:_NONCE_BYTES], key.wrapped[_NONCE_BYTES:], tenant_id.bytes
            )
        except (InvalidTag, ValueError):
            raise SecretUnreadable from None


def read_keys(text: str) -> OwnKeys:
    """The provider of the keys in `text`: one per line, in base64 or hexadecimal, the one that wraps first."""
    return OwnKeys([_decode(line) for line in text.split()])


def open_key_file(path: Path) -> OwnKeys:
    """The provider of the keys in a file; see `read_keys`. Raises `InvalidInput`."""
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        words = f"the key file can not be read ({type(error).__name__})"
        raise InvalidInput([Problem("key_file", words, "check its path and its owner")]) from None
    return read_keys(text)


def create_key_file(path: Path) -> bool:
    """Make a key file with one fresh key, readable by its owner alone; False when it is there already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w") as file:
        file.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode() + "\n")
    return True


def _decode(text: str) -> bytes:
    try:
        return bytes.fromhex(text) if len(text) == 2 * KEY_BYTES else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise _bad_key() from None


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"headrace key id" + key).hexdigest()[:16]


def _bad_key() -> InvalidInput:
    words = f"a key of {KEY_BYTES} bytes is needed, in base64 or hexadecimal"
    return InvalidInput([Problem("key", words, "make one with: openssl rand -base64 32")])
