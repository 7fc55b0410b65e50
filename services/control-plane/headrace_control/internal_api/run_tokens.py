"""Tokens of claims: what a runner shows when it asks for something on behalf of a run."""

import hashlib
import secrets
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RunToken:
    """A token just minted: 256 random bits, so its plain hash is all that is kept."""

    text: str = field(repr=False)

    @property
    def hash(self) -> bytes:
        return hash_run_token(self.text)


def mint_run_token() -> RunToken:
    return RunToken(secrets.token_urlsafe(32))


def hash_run_token(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
