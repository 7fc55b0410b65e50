"""Opaque tokens: `<kind>_<random>`, shown once and kept as a hash.

As with API keys the random part has 256 bits, so that a plain SHA-256 is enough.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass, field
from enum import StrEnum

_RANDOM = re.compile(r"[A-Za-z0-9_-]{43}")


class TokenKind(StrEnum):
    """What a token is for; its first letters. One kind is never taken for another."""

    SESSION = "hs"
    INVITATION = "hi"
    LOGIN_CODE = "hl"
    LOGIN_STATE = "ht"
    BROWSER = "hb"
    AUTHORIZATION_STATE = "hx"
    AUTHORIZATION_CODE = "hf"


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token just minted. `text` goes to its owner and nowhere else."""

    text: str = field(repr=False)
    hash: bytes = field(repr=False)


def mint_token(kind: TokenKind) -> NewToken:
    text = f"{kind}_{secrets.token_urlsafe(32)}"
    return NewToken(text, _digest(text))


def token_hash(kind: TokenKind, text: str | None) -> bytes | None:
    """What to look for; None when `text` has not the shape of such a token."""
    begin, _, rest = (text or "").partition("_")
    return _digest(text or "") if begin == kind and _RANDOM.fullmatch(rest) else None


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
