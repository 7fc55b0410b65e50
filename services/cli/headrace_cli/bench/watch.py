"""When runs have ended, by asking Postgres: on a connection of its own, and so seldom that it costs little."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
from headrace.errors import TimedOut
from headrace.ids import lowest_id

from headrace_cli.bench.report import Latency

# Read off runs_by_status, so that what has ended before costs nothing.
_UNFINISHED = """SELECT EXISTS (SELECT FROM runs WHERE tenant_id = ANY($1::uuid[])
    AND status = ANY('{QUEUED,RUNNING,WAITING,PAUSED,COMPENSATING}'::text[]) AND id >= $2)"""
_ADVANCING = """SELECT EXISTS (SELECT FROM runs WHERE tenant_id = ANY($1::uuid[])
    AND status = ANY('{QUEUED,RUNNING}'::text[]) AND id >= $2)"""
_ENDED = "SELECT finished_at IS NOT NULL FROM runs WHERE id = $1"
_LATENCY = """SELECT count(*)::int AS count,
    percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - created_at)) AS p
    FROM runs WHERE tenant_id = ANY($1::uuid[]) AND id >= $2 AND finished_at IS NOT NULL"""
_DELAYS = """SELECT extract(epoch FROM started_at - created_at)::float8 FROM runs
    WHERE tenant_id = $1 AND id >= $2 AND started_at IS NOT NULL"""
_BURST_PAUSE = 0.1
# Of one run: it is looked at when something is told, and so often otherwise.
_SINGLE_PAUSE = 0.05


class Watch:
    """Looks at runs of `tenants`. Raises `TimedOut` after `seconds`."""

    def __init__(self, db: asyncpg.Connection, seconds: float) -> None:
        self._db, self.seconds = db, seconds
        self._news = asyncio.Event()

    async def all_ended(self, tenants: Sequence[UUID], since: datetime) -> None:
        """Wait until none of the runs that began at `since` or later is unfinished; seen a tenth of a second late."""
        lowest = lowest_id(since)
        try:
            async with asyncio.timeout(self.seconds):
                while True:
                    if not await self._db.fetchval(_UNFINISHED, tenants, lowest):
                        return
                    await asyncio.sleep(_BURST_PAUSE)
        except TimeoutError:
            raise TimedOut(f"after {self.seconds:.0f} s there are runs that have not ended") from None

    async def all_waiting(self, tenants: Sequence[UUID], since: datetime) -> None:
        """Wait until each of the runs that began at `since` or later waits for something."""
        lowest = lowest_id(since)
        try:
            async with asyncio.timeout(self.seconds):
                while True:
                    if not await self._db.fetchval(_ADVANCING, tenants, lowest):
                        return
                    await asyncio.sleep(_BURST_PAUSE)
        except TimeoutError:
            raise TimedOut(f"after {self.seconds:.0f} s there are runs that do not wait") from None

    @contextlib.asynccontextmanager
    async def told(self, channel: str) -> AsyncIterator[None]:
        """Meanwhile whoever writes tells on this channel, so that nothing has to be asked in vain."""

        def hear(*_: object) -> None:
            self._news.set()

        await self._db.add_listener(channel, hear)
        try:
            yield
        finally:
            await self._db.remove_listener(channel, hear)

    async def ended(self, run_id: str) -> None:
        """Wait until one run has; seen at once where that is `told`."""
        await self.true(_ENDED, UUID(run_id))

    async def true(self, query: str, *arguments: object) -> None:
        """Wait until a query answers true, as `ended` does."""
        try:
            async with asyncio.timeout(self.seconds):
                while True:
                    self._news.clear()
                    if await self._db.fetchval(query, *arguments):
                        return
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_SINGLE_PAUSE):
                            await self._news.wait()
        except TimeoutError:
            raise TimedOut(f"after {self.seconds:.0f} s a run has not ended") from None

    async def latency(self, tenants: Sequence[UUID], since: datetime) -> Latency:
        """From the start to the end of each run, as Postgres has noted them; in a burst that is mostly waiting."""
        ((count, found),) = await self._db.fetch(_LATENCY, tenants, lowest_id(since))
        p50, p95, p99 = (round(value * 1000, 1) for value in (found or (0, 0, 0)))
        return Latency(count=count, p50=p50, p95=p95, p99=p99)

    async def delays(self, tenant: UUID, since: datetime) -> list[float]:
        """Seconds from the start to the first claim, of each run."""
        return [row[0] for row in await self._db.fetch(_DELAYS, tenant, lowest_id(since))]
