"""Which partitions this reporter works on: leases in Postgres, shared out evenly among the reporters alive.

The broker alone would give every partition to the first consumer. A lease decides who subscribes; that a
partition has one active consumer even when a lease is late is the bus's promise.
"""

import asyncio
import contextlib
from datetime import timedelta
from uuid import UUID

import asyncpg
from headrace.bus.port import BatchHandler, Bus, Consumption, events_queue
from headrace.errors import Unavailable
from headrace.outage import Outage
from headrace.postgres.pool import Pool, transaction
from headrace.postgres.queries import load

from headrace_reporter.metrics import ReporterMetrics

_sql = load("headrace_reporter")

LEASE = timedelta(seconds=8)
RENEW_SECONDS = 2.0
# Messages per batch: with the runners' bound on a message, what one transaction has in hand stays far below what
# its time limit allows.
BATCH = 50
# How long a step's progress waits for the run's next word: a short run alone is applied in one transaction.
LINGER_SECONDS = 0.05


class Partitions:
    """Keeps as many partitions subscribed as this reporter's fair share, until closed."""

    def __init__(
        self,
        pool: Pool,
        bus: Bus,
        handler: BatchHandler,
        reporter_id: UUID,
        count: int,
        metrics: ReporterMetrics,
    ) -> None:
        self._pool, self._bus, self._handler, self._metrics = pool, bus, handler, metrics
        self._id, self._count = reporter_id, count
        self._mine: dict[int, Consumption] = {}

    async def run(self) -> None:
        """Work until cancelled. While Postgres is away nothing new is taken; the handler waits by itself."""
        outage = Outage("partition leases wait", "partition leases go on")
        while True:
            try:
                await self._turn()
                outage.over()
            except (Unavailable, asyncpg.PostgresError) as error:
                outage.tried(error=type(error).__name__)
            await asyncio.sleep(RENEW_SECONDS)

    async def close(self, grace: float) -> None:
        """Stop consuming, then give the leases up, so that another reporter goes on at once."""
        await asyncio.gather(*(c.close(grace) for c in self._mine.values()), return_exceptions=True)
        self._mine.clear()
        with contextlib.suppress(Unavailable, asyncpg.PostgresError):
            async with transaction(self._pool) as db:
                await db.execute(_sql.give_up_all, self._id)
                await db.execute(_sql.leave, self._id)

    async def _turn(self) -> None:
        async with transaction(self._pool) as db:
            await db.execute(_sql.renew_reporter, self._id, LEASE)
            await db.execute(_sql.forget_reporters)
            alive = await db.fetchval(_sql.reporters_alive)
            held = {row["partition"] for row in await db.fetch(_sql.renew_partitions, self._id, LEASE)}
            share = -(-self._count // max(alive, 1))
            if len(held) < share:
                taken = await db.fetch(_sql.take_partitions, self._id, LEASE, share - len(held), self._count)
                held |= {row["partition"] for row in taken}
        excess = sorted(held)[share:]
        for partition in [p for p in self._mine if p not in held or p in excess]:
            try:
                await self._mine.pop(partition).close(grace=5.0)
            finally:
                self._metrics.left(events_queue(partition))
        if excess:
            async with transaction(self._pool) as db:
                await db.execute(_sql.give_up_partitions, self._id, excess)
        for partition in sorted(held - set(excess) - self._mine.keys()):
            queue = events_queue(partition)
            self._metrics.subscribing(queue)
            self._mine[partition] = await self._bus.consume_batches(
                queue, self._handler, BATCH, LINGER_SECONDS
            )
