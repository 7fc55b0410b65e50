"""The time as the database has it, as far as the last answer told."""

import time
from datetime import UTC, datetime, timedelta


class Clock:
    """Server time: set by claims and heartbeats, carried on by this machine's monotonic clock."""

    def __init__(self) -> None:
        self._at, self._read = datetime.now(UTC), time.monotonic()

    def set(self, now: datetime) -> None:
        self._at, self._read = now, time.monotonic()

    def now(self) -> datetime:
        return self._at + timedelta(seconds=time.monotonic() - self._read)
