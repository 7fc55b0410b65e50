"""What a reporter tells of each of its partitions: that one stands still is seen beside the others that go on."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest
from headrace.bus.open import open_bus
from headrace.bus.port import Bus, Outgoing, events_queue
from headrace.errors import DatabaseUnavailable
from headrace.ids import new_id
from headrace.messages import Event, EventBatch
from headrace.postgres.pool import WORKER, Pool, open_pool
from headrace.workflow.state import EventKind
from headrace_reporter.consumer import EventConsumer
from headrace_reporter.metrics import ReporterMetrics
from headrace_reporter.partitions import Partitions
from prometheus_client import CollectorRegistry

from tests.integration.applying import NOW

STUCK, WELL = events_queue(0), events_queue(1)


@dataclass
class Applying:
    """An applier that comes to no end with what was published to `STUCK` until it `may`; or fails, if it `fails`."""

    tried: asyncio.Queue[None] = field(default_factory=asyncio.Queue)
    may: asyncio.Event = field(default_factory=asyncio.Event)
    fails: bool = False

    async def apply(self, events: Sequence[Event]) -> None:
        if events[0].step == STUCK:
            self.tried.put_nowait(None)
            if self.fails:
                raise DatabaseUnavailable("away")
            await self.may.wait()


class Reporter:
    """One with two partitions. `now` is the clock by which batches are in hand."""

    def __init__(self, pool: Pool, bus: Bus) -> None:
        self.pool, self.registry, self.applier, self.now = pool, CollectorRegistry(), Applying(), 0.0
        metrics = ReporterMetrics(self.registry, clock=lambda: self.now)
        consumer = EventConsumer(pool, self.applier, lambda _: None, metrics=metrics)
        self.bus, self.partitions = bus, Partitions(pool, bus, consumer.handle, new_id(), 2, metrics)

    async def publish(self, *queues: str) -> None:
        for queue in queues:
            event = Event(new_id(), new_id(), 1, 1, EventKind.STARTED, NOW, queue)
            await self.bus.publish([Outgoing(queue, EventBatch(new_id(), [event]).encode())])

    def in_hand(self, queue: str) -> float | None:
        return self.registry.get_sample_value("headrace_events_in_hand_seconds", {"queue": queue})

    async def applied(self, queue: str, events: int) -> None:
        """Wait until so many are counted."""
        while self.counted(queue) != events:
            await asyncio.sleep(0.01)

    def counted(self, queue: str) -> float | None:
        return self.registry.get_sample_value("headrace_events_applied_total", {"queue": queue})


@pytest.fixture
async def reporter(database: str) -> AsyncIterator[Reporter]:
    pool = await open_pool(database, WORKER)
    bus = await open_bus(database, partitions=2)
    reporter = Reporter(pool, bus)
    working = asyncio.create_task(reporter.partitions.run())
    yield reporter
    working.cancel()
    await reporter.partitions.close(0)
    await bus.close()
    await pool.close()


async def test_a_partition_that_stands_still_is_told_of_beside_one_that_goes_on(reporter: Reporter) -> None:
    async with asyncio.timeout(30):
        await reporter.publish(STUCK, WELL)
        await reporter.applier.tried.get()
        await reporter.applied(WELL, 1)
        reporter.now = 90
        assert (reporter.counted(STUCK), reporter.counted(WELL)) == (0, 1)
        assert (reporter.in_hand(STUCK), reporter.in_hand(WELL)) == (90, 0)
        reporter.applier.may.set()
        await reporter.applied(STUCK, 1)
        assert reporter.in_hand(STUCK) == 0


async def test_a_batch_that_is_tried_again_is_in_hand_all_the_while(reporter: Reporter) -> None:
    reporter.applier.fails = True
    async with asyncio.timeout(30):
        await reporter.publish(STUCK)
        await reporter.applier.tried.get()
        reporter.now = 60
        await reporter.applier.tried.get()
        assert reporter.in_hand(STUCK) == 60
        reporter.applier.fails = False
        reporter.applier.may.set()
        await reporter.applied(STUCK, 1)
        assert reporter.in_hand(STUCK) == 0


async def test_a_partition_that_another_has_taken_is_told_of_there_alone(reporter: Reporter) -> None:
    async with asyncio.timeout(30):
        await reporter.publish(STUCK, WELL)
        await reporter.applied(WELL, 1)
        other = Reporter(reporter.pool, reporter.bus)
        working = asyncio.create_task(other.partitions.run())
        try:
            while other.in_hand(WELL) is None:
                await asyncio.sleep(0.01)
            assert reporter.in_hand(WELL) is None
            assert (reporter.in_hand(STUCK) is None, other.in_hand(STUCK)) == (False, None)
        finally:
            working.cancel()
            await other.partitions.close(0)
