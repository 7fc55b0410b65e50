"""Log records outlast an outage of their store, on every bus, however long it is."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from bus_inbox import reaches
from headrace.bus.port import DEAD, LOGS, MAX_DELIVERIES, Bus, Outgoing
from headrace.errors import LogStoreUnavailable
from headrace.ids import new_id
from headrace.messages import LogBatch, LogLevel, LogRecord
from headrace.refusals.audit import Refusal
from headrace_reporter.consumer import LogConsumer


class Store:
    """Away for so many insertions."""

    def __init__(self, away: int) -> None:
        self._away = away
        self.stored: asyncio.Queue[Sequence[LogRecord]] = asyncio.Queue()

    async def append(self, records: Sequence[LogRecord]) -> None:
        self._away -= 1
        if self._away >= 0:
            raise LogStoreUnavailable("away")
        await self.stored.put(records)


def nobody(refusal: Refusal) -> None:
    raise AssertionError(refusal)


async def test_records_that_are_held_for_too_long_are_put_back_and_not_given_up(bus: Bus) -> None:
    store = Store(away=2 * MAX_DELIVERIES)
    tenant_id, run_id, at = new_id(), new_id(), datetime(2026, 11, 1, tzinfo=UTC)
    record = LogRecord(new_id(), tenant_id, run_id, at, LogLevel.INFO, "step first succeeded")
    await bus.consume(LOGS, LogConsumer(store, nobody, hold_seconds=0).handle, 1)
    await bus.publish([Outgoing(LOGS, LogBatch([record]).encode())])
    assert list(await store.stored.get()) == [record]
    await reaches(bus, LOGS, 0)
    assert (await bus.depth(DEAD)).ready == 0
