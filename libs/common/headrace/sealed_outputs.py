"""Sensitive values of a run's outputs, and of its input, as they are written down: `{"$sealed": "<base64>"}`, by the
run's own key.

The run's key is derived (HKDF-SHA256, RFC 5869) from a root of its tenant. A sealed value is `version (1 byte) |
nonce (12 bytes) | ciphertext and tag` of AES-256-GCM, bound to its tenant, run, row and place within the row's output:
copied anywhere else it does not open.
"""

import base64
import binascii
import secrets
from dataclasses import dataclass
from uuid import UUID

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from headrace.json_types import Json
from headrace.redaction import MARKER
from headrace.workflow.sensitive import Marks

SEALED = "$sealed"
# The row that the run's input counts as; a step's key is never empty.
INPUT_ROW = ""
KEY_BYTES = 32
_VERSION = b"\x01"
_NONCE_BYTES = 12


class OutputUnreadable(Exception):
    """A sealed value does not open by this key, at this place."""


@dataclass(frozen=True, slots=True)
class OutputPlace:
    """Where a value stands: whose run's, in which row's output, at which JSON Pointer."""

    tenant_id: UUID
    run_id: UUID
    row: str
    pointer: str

    def bound(self) -> bytes:
        # Every part but the last has a fixed length or its length before it: no two places read the same.
        row = self.row.encode("utf-8", "surrogatepass")
        return b"".join(
            (
                b"headrace output",
                _VERSION,
                self.tenant_id.bytes,
                self.run_id.bytes,
                len(row).to_bytes(4, "big"),
                row,
                self.pointer.encode("utf-8", "surrogatepass"),
            )
        )


def run_key(root: bytes, tenant_id: UUID, run_id: UUID) -> bytes:
    """The key of one run."""
    info = b"headrace run outputs" + tenant_id.bytes + run_id.bytes
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=info).derive(root)


def naming_key(root: bytes, tenant_id: UUID) -> bytes:
    """The key by which a tenant's cached results are named: of no run, and for sealing nothing."""
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=b"headrace cached results" + tenant_id.bytes).derive(
        root
    )


def seal_value(key: bytes, place: OutputPlace, value: Json) -> Json:
    """`value` as a marker for `place`."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    sealed = _VERSION + nonce + AESGCM(key).encrypt(nonce, orjson.dumps(value), place.bound())
    return {SEALED: base64.b64encode(sealed).decode()}


def seal_input(key: bytes, tenant_id: UUID, run_id: UUID, marks: Marks, value: Json) -> Json:
    """A run's input as it is stored. A marker that somebody wrote in it is sealed too: none of theirs is opened."""

    def seal(part: Json, pointer: str) -> Json:
        return seal_value(key, OutputPlace(tenant_id, run_id, INPUT_ROW, pointer), part)

    return marks.replaced(value, seal, lambda part: marker_of(part) is not None)


def to_seal(marks: Marks, value: Json) -> bool:
    """Whether `seal_input` would seal anything of it."""
    found = False

    def put(part: Json, _pointer: str) -> Json:
        nonlocal found
        found = True
        return part

    marks.replaced(value, put, lambda part: marker_of(part) is not None)
    return found


def open_value(key: bytes, place: OutputPlace, marker: str) -> Json:
    """The value that was sealed for `place`. Raises `OutputUnreadable`."""
    try:
        sealed = base64.b64decode(marker, validate=True)
        if sealed[:1] != _VERSION:
            raise OutputUnreadable
        nonce, ciphertext = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        value: Json = orjson.loads(AESGCM(key).decrypt(nonce, ciphertext, place.bound()))
    except (InvalidTag, ValueError, binascii.Error):
        raise OutputUnreadable from None
    return value


def marker_of(value: Json) -> str | None:
    """What stands in a marker; None for what is none."""
    if isinstance(value, dict) and len(value) == 1:
        sealed = value.get(SEALED)
        return sealed if isinstance(sealed, str) else None
    return None


def mask(value: Json) -> Json:
    """`value` as people see it: what is sealed in it is hidden. The same object when nothing is."""
    if marker_of(value) is not None:
        return MARKER
    if isinstance(value, dict):
        shown = {name: mask(part) for name, part in value.items()}
        return shown if any(shown[name] is not part for name, part in value.items()) else value
    if isinstance(value, list):
        listed = [mask(part) for part in value]
        return listed if any(new is not old for new, old in zip(listed, value, strict=True)) else value
    return value
