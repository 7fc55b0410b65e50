"""Where a log-in or an authorization may end: never at an address of somebody else's choice."""

from collections.abc import Collection
from urllib.parse import urlsplit

from headrace.errors import InvalidInput, Problem

_LOOPBACK = frozenset({"127.0.0.1", "::1"})
_LONGEST = 500


def check_redirect(url: str, allowed: Collection[str], what: str, setting: str) -> str:
    """`url` when it is an entry of `allowed`, letter by letter, or http to a literal loopback address with a port
    (RFC 8252, 7.3; 8.3 says why not `localhost`). Raises `InvalidInput`, which says that `what` does not end there, and
    that the operator's `setting` could allow it."""
    if url in allowed or _is_loopback(url):
        return url
    mend = f"use http://127.0.0.1:PORT/..., or an address that {setting} names"
    raise InvalidInput([Problem("redirect", f"{what} does not end there", mend)])


def _is_loopback(url: str) -> bool:
    # What a browser reads otherwise than we do is not looked at twice.
    if len(url) > _LONGEST or not url.isascii() or not url.isprintable() or set(url) & set(" \\@#?%"):
        return False
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    if parts.scheme != "http" or parts.hostname not in _LOOPBACK or not port:
        return False
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return parts.netloc == f"{host}:{port}" and url.startswith(f"http://{host}:{port}")
