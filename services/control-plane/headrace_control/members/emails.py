"""The one spelling of an e-mail address."""

import re

# ASCII alone: other letters have twins that look alike, and some become ASCII when they are put in lower case.
_SHAPE = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[a-z0-9-]+(\.[a-z0-9-]+)+")
MAX_LENGTH = 254


def read_email(text: str) -> str | None:
    """`text` in lower case and without space around it; None when it is no address that a member can have."""
    if not text.isascii():
        return None
    email = text.strip().lower()
    return email if len(email) <= MAX_LENGTH and _SHAPE.fullmatch(email) else None
