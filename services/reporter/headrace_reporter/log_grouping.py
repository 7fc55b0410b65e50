"""Several messages' log records in one insertion: what comes while one is under way goes with the next.

A store takes hundreds of records at little more than the cost of a few, and no run waits for them.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Protocol, TypeAlias

from headrace.errors import LogStoreUnavailable
from headrace.messages import LogRecord

from headrace_reporter.grouping import settle

# How long more is waited for after an insertion: for each of its records, and at most. After one of a lone run's few
# lines it is not.
SECONDS_PER_RECORD, GATHER_SECONDS, FEW = 0.002, 0.15, 10

# A message's records, and what its consumer waits for.
Waiting: TypeAlias = "tuple[Sequence[LogRecord], asyncio.Future[None]]"


class Appends(Protocol):
    async def append(self, records: Sequence[LogRecord]) -> None: ...


class GroupedAppends:
    """A log store in front of a log store, for so many `consumers`: when all of them wait, nobody else can come."""

    def __init__(self, store: Appends, consumers: int) -> None:
        self._store, self._consumers = store, consumers
        self._waiting: list[Waiting] = []
        self._taken: list[Waiting] = []
        self._arrived, self._full = asyncio.Event(), asyncio.Event()
        self._failed = False

    async def append(self, records: Sequence[LogRecord]) -> None:
        """Return when the records are stored. Raises as the store does: for all of a group, when it is away."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((records, done))
        self._arrived.set()
        if len(self._waiting) >= self._consumers:
            self._full.set()
        await done

    async def run(self) -> None:
        """Store until cancelled; what is under way then is delivered again, elsewhere."""
        try:
            while True:
                await self._arrived.wait()
                self._taken = self._next()
                await self._append(self._taken)
                await self._gather(sum(len(records) for records, _ in self._taken))
        finally:
            for _, done in (*self._taken, *self._waiting):
                settle(done, LogStoreUnavailable("the reporter is leaving"))

    def _next(self) -> list[Waiting]:
        """All that wait; after a failure one, so that a message that no store takes does not keep the others."""
        most = 1 if self._failed else len(self._waiting)
        group, self._waiting = self._waiting[:most], self._waiting[most:]
        self._full.clear()
        if not self._waiting:
            self._arrived.clear()
        return group

    async def _append(self, group: Sequence[Waiting]) -> None:
        error: Exception | None = None
        try:
            await self._store.append([record for records, _ in group for record in records])
        except LogStoreUnavailable as away:
            error = away
        except Exception as wrong:
            if len(group) > 1:  # a message is given up after some failures: let each have its own
                for one in group:
                    await self._append([one])
                return
            error = wrong
        self._failed = error is not None
        for _, done in group:
            settle(done, error)

    async def _gather(self, stored: int) -> None:
        if stored > FEW and not self._failed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(stored * SECONDS_PER_RECORD, GATHER_SECONDS)):
                    await self._full.wait()
