"""The last part of a webhook's address: in base64url without padding (RFC 4648, section 5), tenant and webhook. Pure.

It is no secret: what comes by it has to be signed. But nobody guesses one, for ids are random for the most part.
"""

import base64
import binascii
from dataclasses import dataclass
from uuid import UUID

_LENGTH = 43


@dataclass(frozen=True, slots=True)
class Address:
    tenant_id: UUID
    webhook_id: UUID


def write_address(address: Address) -> str:
    raw = address.tenant_id.bytes + address.webhook_id.bytes
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def read_address(text: str) -> Address | None:
    """None when it is none, or not as it would be written."""
    if len(text) != _LENGTH or not text.isascii():
        return None
    try:
        raw = base64.b64decode(text + "=", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    address = Address(UUID(bytes=raw[:16]), UUID(bytes=raw[16:]))
    return address if write_address(address) == text else None
