"""Times as they are written in JSON: RFC 3339, and dates alone."""

import re
from datetime import UTC, datetime

# The whole text; also what the published JSON Schema could not say in words. A day has no hour 24, as in RFC 3339: some
# releases of Python read it as the next day's first, and all runners have to read alike.
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d([Tt ]([01]\d|2[0-3]):\d\d(:\d\d(\.\d{1,9})?)?([Zz]|[+-]\d\d:\d\d)?)?",
    re.ASCII,
)
# The driver of the database takes these two for the infinities.
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
WORDS = "Write a time such as `2026-05-01T09:00:00Z`."


def read_time(text: str) -> datetime | None:
    """The time that `text` spells, None when it spells none.

    Without an offset it is in UTC, and a date alone is its midnight. Digits below a microsecond are dropped.
    It is good for comparing; to keep one, see `read_moment`.
    """
    if not _TIME.fullmatch(text):
        return None
    try:
        at = datetime.fromisoformat(text.upper().replace(" ", "T"))
    except ValueError:
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def read_moment(text: str) -> datetime | None:
    """The time that `text` spells, None when it spells none or one that can not be kept: in UTC, where times are kept,
    it has to lie inside the years 1 to 9999.

    Some systems write the end of their calendar with an offset, and then it is beyond ours.
    """
    at = read_time(text)
    if at is None:
        return None
    try:
        kept = at.astimezone(UTC)
    except OverflowError:
        return None
    return at if _FIRST < kept < _LAST else None


def spelled(at: datetime) -> str:
    """As the API spells times, with the offset that it has; that of UTC is `Z`."""
    return at.isoformat().replace("+00:00", "Z")
