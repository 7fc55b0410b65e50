"""The backlog as metrics: what is due in the table, what stands ready in the broker, what is in flight."""

import asyncio
import contextlib

import asyncpg
from headrace.bus.port import JOBS, Bus
from headrace.errors import Unavailable
from headrace.postgres.pool import Pool, transaction
from headrace.postgres.queries import load
from prometheus_client import CollectorRegistry, Gauge

_sql = load("headrace_control.dispatch")

PERIOD_SECONDS = 5.0


class Backlog:
    """Gauges for those who scale the fleet, read anew every few seconds.

    The backlog to scale on is `ready` in the broker plus `due` in the table.
    """

    def __init__(self, pool: Pool, bus: Bus, registry: CollectorRegistry) -> None:
        self._pool, self._bus = pool, bus
        self._due = Gauge(
            "headrace_dispatches_due", "Dispatches that are due and not sent.", registry=registry
        )
        self._sent = Gauge(
            "headrace_dispatches_in_flight", "Dispatches sent and not yet parked or ended.", registry=registry
        )
        self._oldest = Gauge(
            "headrace_dispatches_oldest_seconds", "Age of the oldest due dispatch.", registry=registry
        )
        self._ready = Gauge("headrace_jobs_ready", "Jobs ready in the broker.", registry=registry)

    async def run(self) -> None:
        """Work until cancelled; while a dependency is away the last figures stand, /ready tells."""
        while True:
            with contextlib.suppress(Unavailable, asyncpg.PostgresError):
                await self.read()
            await asyncio.sleep(PERIOD_SECONDS)

    async def read(self) -> None:
        async with transaction(self._pool) as db:
            row = await db.fetchrow(_sql.backlog)
        if row is not None:
            self._due.set(row["due"])
            self._sent.set(row["sent"])
            self._oldest.set(row["oldest_seconds"])
        self._ready.set((await self._bus.depth(JOBS)).ready)
