"""When runs have ended, by asking Postgres: on a connection of its own, and so seldom that it costs little."""

import asyncio
from collections.abc import Sequence
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
# Of one run: what has passed already is told to a twentieth, within these bounds.
_SINGLE_SHARE, _SINGLE_PAUSES = 0.05, (0.0005, 0.005)


class Watch:
    """Looks at runs of `tenants`. Raises `TimedOut` after `seconds`."""

    def __init__(self, db: asyncpg.Connection, seconds: float) -> None:
        self._db, self._seconds = db, seconds

    async def all_ended(self, tenants: Sequence[UUID], since: datetime) -> None:
        """Wait until none of the runs that began at `since` or later is unfinished; seen a tenth of a second late."""
        lowest = lowest_id(since)
        try:
            async with asyncio.timeout(self._seconds):
                while True:
                    if not await self._db.fetchval(_UNFINISHED, tenants, lowest):
                        return
                    await asyncio.sleep(_BURST_PAUSE)
        except TimeoutError:
            raise TimedOut(f"after {self._seconds:.0f} s there are runs that have not ended") from None

    async def all_waiting(self, tenants: Sequence[UUID], since: datetime) -> None:
        """Wait until each of the runs that began at `since` or later waits for something."""
        lowest = lowest_id(since)
        try:
            async with asyncio.timeout(self._seconds):
                while True:
                    if not await self._db.fetchval(_ADVANCING, tenants, lowest):
                        return
                    await asyncio.sleep(_BURST_PAUSE)
        except TimeoutError:
            raise TimedOut(f"after {self._seconds:.0f} s there are runs that do not wait") from None

    async def ended(self, run_id: str) -> None:
        """Wait until one run has; seen almost at once."""
        run, clock = UUID(run_id), asyncio.get_running_loop().time
        began, (shortest, longest) = clock(), _SINGLE_PAUSES
        try:
            async with asyncio.timeout(self._seconds):
                while True:
                    if await self._db.fetchval(_ENDED, run):
                        return
                    await asyncio.sleep(min(max((clock() - began) * _SINGLE_SHARE, shortest), longest))
        except TimeoutError:
            raise TimedOut(f"after {self._seconds:.0f} s run {run_id} has not ended") from None

    async def latency(self, tenants: Sequence[UUID], since: datetime) -> Latency:
        """From the start to the end of each run, as Postgres has noted them; in a burst that is mostly waiting."""
        ((count, found),) = await self._db.fetch(_LATENCY, tenants, lowest_id(since))
        p50, p95, p99 = (round(value * 1000, 1) for value in (found or (0, 0, 0)))
        return Latency(count=count, p50=p50, p95=p95, p99=p99)

    async def delays(self, tenant: UUID, since: datetime) -> list[float]:
        """Seconds from the start to the first claim, of each run."""
        return [row[0] for row in await self._db.fetch(_DELAYS, tenant, lowest_id(since))]
