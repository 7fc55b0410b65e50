"""What may stand in a request's head: methods, header names and values."""

import re
from functools import lru_cache

_TOKEN = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\x20-\x7e\t]*")


def is_token(text: str) -> bool:
    """A method or a header's name (RFC 9110, 5.6.2)."""
    return _is_token(text) if len(text) < 64 else _TOKEN.fullmatch(text) is not None


def is_field_value(text: str) -> bool:
    """Visible ASCII, space and tab (RFC 9110, 5.5): other bytes have no agreed meaning in a header."""
    return _VALUE.fullmatch(text) is not None


@lru_cache(1024)  # the same few names, over and over
def _is_token(text: str) -> bool:
    return _TOKEN.fullmatch(text) is not None
