"""Identifiers: UUID version 7 (RFC 9562), so that ids sort by the time they were minted."""

import uuid
from datetime import UTC, datetime

import uuid_utils


def new_id(at: datetime | None = None) -> uuid.UUID:
    """A fresh UUIDv7; `at` (aware) sets its time part, the clock otherwise. Unique, not guess-proof."""
    if at is None:
        return uuid.UUID(int=uuid_utils.uuid7().int)
    return uuid.UUID(int=uuid_utils.uuid7(nanoseconds=int(at.timestamp() * 1000) * 1_000_000).int)


def minted_at(value: uuid.UUID) -> datetime:
    """When a UUIDv7 was minted, to the millisecond, in UTC."""
    return datetime.fromtimestamp((value.int >> 80) / 1000, UTC)


def lowest_id(at: datetime) -> uuid.UUID:
    """Not above any UUIDv7 minted at or after the millisecond of `at` (aware); for windows over ids.

    The ends of time that 48 bits can not say are taken for the nearest that they can.
    """
    milliseconds = min(max(int(at.timestamp() * 1000), 0), 2**48 - 1)
    return uuid.UUID(int=milliseconds << 80)
