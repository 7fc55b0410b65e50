"""The proof that who brings a code is who asked for it (RFC 7636), and what stands beside it in addresses."""

import base64
import hashlib
import re
import secrets

# A client's own state, as it goes through the browser.
STATE = re.compile(r"[A-Za-z0-9._~-]{1,200}")


def new_verifier() -> str:
    return secrets.token_urlsafe(48)


def s256(verifier: str) -> str:
    """The challenge of a verifier (RFC 7636, 4.2)."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
