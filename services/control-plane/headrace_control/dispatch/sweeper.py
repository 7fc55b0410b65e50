"""The sweeper: what was sent and is in nobody's hands becomes due again, under the same dispatch id."""

import asyncio
from datetime import timedelta

import asyncpg
import structlog
from headrace.errors import Unavailable
from headrace.outage import Outage
from headrace.postgres.listen import DISPATCH_CHANNEL
from headrace.postgres.pool import Pool, transaction
from headrace.postgres.queries import load

_log = structlog.get_logger(__name__)
_sql = load("headrace_control.dispatch")

PERIOD_SECONDS = 1.0


class Sweeper:
    """Sweeps every second. `unclaimed_after` is how long a sent job may stand before it counts as lost."""

    def __init__(self, pool: Pool, unclaimed_after: timedelta) -> None:
        self._pool, self._unclaimed_after = pool, unclaimed_after
        self._hurry = asyncio.Event()

    def hurry(self) -> None:
        """Sweep now: a runner has given up its lease."""
        self._hurry.set()

    async def run(self) -> None:
        """Work until cancelled; trouble with Postgres is waited out."""
        outage = Outage("sweeper waits", "sweeper goes on")
        while True:
            try:
                async with asyncio.timeout(PERIOD_SECONDS):
                    await self._hurry.wait()
            except TimeoutError:
                pass
            self._hurry.clear()
            try:
                await self.sweep()
                outage.over()
            except (Unavailable, asyncpg.PostgresError) as error:
                outage.tried(error=type(error).__name__)

    async def sweep(self) -> int:
        """One pass; how many dispatches became due again."""
        async with transaction(self._pool) as db:
            swept = await db.fetch(_sql.sweep, self._unclaimed_after)
            if swept:
                await db.execute("SELECT pg_notify($1, '')", DISPATCH_CHANNEL)
                _log.info("swept", dispatches=len(swept))
            await db.execute(_sql.forget_runners)
        return len(swept)
