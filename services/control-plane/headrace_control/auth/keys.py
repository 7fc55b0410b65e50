"""API keys: `hr_<prefix>_<random>`, shown once and kept as a hash.

The random part has 256 bits, so nobody can guess it and a plain SHA-256 is enough: slow hashes protect
secrets that people choose, and would cost every request.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass, field

_SHAPE = re.compile(r"hr_[0-9a-f]{8}_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just minted. `text` is for its owner's eyes, once; `prefix` tells keys apart in lists."""

    text: str = field(repr=False)
    prefix: str

    @property
    def hash(self) -> bytes:
        return hash_key(self.text)


def mint_key() -> NewKey:
    prefix = f"hr_{secrets.token_hex(4)}"
    return NewKey(f"{prefix}_{secrets.token_urlsafe(32)}", prefix)


def is_key(text: str) -> bool:
    """Whether `text` has the shape of a key; what has not need not be looked up."""
    return _SHAPE.fullmatch(text) is not None


def prefix_of(text: str) -> str | None:
    """What tells a key apart in lists, of a text of the shape of a key; None of any other."""
    return text[:11] if is_key(text) else None


def hash_key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
