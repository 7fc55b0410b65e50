"""Pages and their cursors, for both adapters. A cursor is the time and the id of a page's last record."""

import base64
import binascii
import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from headrace.errors import InvalidInput, Problem
from headrace.logstore.port import MAX_PAGE, LogPage
from headrace.messages import LogRecord

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_PACKED = struct.Struct(">Bq16s")
_VERSION = 1


def check_size(first: int) -> None:
    """Raises `InvalidInput` for a page of no record or of more than `MAX_PAGE`."""
    if not 1 <= first <= MAX_PAGE:
        problem = Problem("first", f"not between 1 and {MAX_PAGE}", f"ask for at most {MAX_PAGE}", "BAD_SIZE")
        raise InvalidInput([problem])


def page(found: Sequence[LogRecord], first: int) -> LogPage:
    """A page of what was found by asking for `first + 1`: the one too many says that there is more."""
    if len(found) <= first:
        return LogPage(found, None)
    last = found[first - 1]
    return LogPage(found[:first], encode(last.at, last.id))


def encode(at: datetime, record_id: UUID) -> str:
    """Text that is safe in a URL. It is not secret and grants nothing: a search is always within a tenant."""
    return base64.urlsafe_b64encode(_PACKED.pack(_VERSION, micros(at), record_id.bytes)).decode().rstrip("=")


def decode(cursor: str) -> tuple[datetime, UUID]:
    """Raises `InvalidInput` for anything that `encode` does not give."""
    try:
        packed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        _, at, record_id = _PACKED.unpack(packed)
        position = moment(at), UUID(bytes=record_id)
    except (ValueError, OverflowError, struct.error, binascii.Error):
        raise _refused() from None
    # Another version, or another spelling of the same bytes.
    if encode(*position) != cursor:
        raise _refused()
    return position


def _refused() -> InvalidInput:
    return InvalidInput(
        [Problem("after", "not a cursor of a log page", "pass `after` of the page before", "BAD_CURSOR")]
    )


def micros(at: datetime) -> int:
    """Microseconds since 1970, exactly. `at` is aware."""
    return (at - _EPOCH) // _MICROSECOND


def moment(value: int) -> datetime:
    """The inverse of `micros`, in UTC. Raises `OverflowError` outside the years 1 to 9999."""
    return _EPOCH + value * _MICROSECOND
