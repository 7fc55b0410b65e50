"""The one place where the figures are read by which the fleet is scaled."""

import asyncio
from collections.abc import Callable, Mapping

from headrace.bus.port import DEAD, JOBS, LOGS, Bus, events_queue, jobs_queue
from headrace.errors import NotFound
from headrace.postgres.pool import Pool, transaction

from headrace_control.dispatch.choosing import BY_QUEUE
from headrace_control.scaling.model import PoolFigures, QueueDepth, Scaling
from headrace_control.scaling.tables import PoolTables, oldest_unclaimed, read_tables

# However many ask: figures so young are not read again.
FRESH_SECONDS = 1.0


class Signals:
    """Over a pool of the role headrace_worker, and the bus. `clock` is in seconds."""

    def __init__(
        self, pool: Pool, bus: Bus, partitions: int, clock: Callable[[], float] | None = None
    ) -> None:
        self._pool, self._bus = pool, bus
        self._queues = [JOBS, LOGS, DEAD, *(events_queue(n) for n in range(partitions))]
        self._clock = clock or asyncio.get_running_loop().time
        self._turn = asyncio.Lock()
        self._last: tuple[float, Scaling] | None = None

    async def current(self) -> Scaling:
        """The figures, at most `FRESH_SECONDS` old. Raises `Unavailable` while Postgres or the bus is away: old figures
        would have the fleet follow what is no more."""
        async with self._turn:
            if self._last is None or self._clock() - self._last[0] >= FRESH_SECONDS:
                self._last = None
                began = self._clock()
                self._last = began, await self._read()
            return self._last[1]

    async def _read(self) -> Scaling:
        depths = {queue: (await self._bus.depth(queue)).ready for queue in self._queues}
        async with transaction(self._pool, BY_QUEUE) as db:
            tables = await read_tables(db)
            jobs = {pool: await self._ready(jobs_queue(pool), depths) for pool in tables.pools}
            waiting = await oldest_unclaimed(db) if tables.whole.in_flight else {}
        pools = {
            pool: _figures(own, jobs[pool], waiting.get(pool, 0.0)) for pool, own in tables.pools.items()
        }
        unacked = {jobs_queue(pool): own.unacked for pool, own in pools.items()}
        depths |= {jobs_queue(pool): ready for pool, ready in jobs.items()}
        every = pools.values()
        return Scaling(
            backlog=sum(own.backlog for own in every),
            load=sum(own.load for own in every),
            ready=sum(own.ready for own in every),
            unacked=sum(own.unacked for own in every),
            due=sum(own.due for own in every),
            oldest_seconds=max((own.oldest_seconds for own in every), default=0.0),
            runs_in_flight=sum(own.runs_in_flight for own in every),
            runners=sum(own.runners for own in every),
            capacity=sum(own.capacity for own in every),
            held=sum(own.held for own in every),
            queues={queue: QueueDepth(ready, unacked.get(queue)) for queue, ready in depths.items()},
            tenants=tables.tenants,
            pools=pools,
        )

    async def _ready(self, queue: str, known: Mapping[str, int]) -> int:
        """What stands ready in a pool's queue; nothing in one that no relay has made yet."""
        if queue in known:
            return known[queue]
        try:
            return (await self._bus.depth(queue)).ready
        except NotFound:
            return 0


def _figures(tables: PoolTables, ready: int, unclaimed: float) -> PoolFigures:
    # The broker's protocol tells what is ready, not what was taken: that is what was sent and is not there.
    unacked = max(tables.in_flight - ready, 0)
    # A job that was sent again stands there twice, and is taken once.
    backlog = min(ready, tables.in_flight) + tables.takable
    return PoolFigures(
        backlog=backlog,
        load=backlog + unacked,
        ready=ready,
        unacked=unacked,
        due=tables.due,
        # Also of what is not ready: a runner that can not claim keeps the jobs that it took.
        oldest_seconds=max(unclaimed, tables.oldest_takable),
        runs_in_flight=tables.in_flight,
        runners=tables.runners,
        capacity=tables.capacity,
        held=tables.held,
    )
