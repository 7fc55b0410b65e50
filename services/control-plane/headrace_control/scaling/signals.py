"""The one place where the figures are read by which the fleet is scaled."""

import asyncio
from collections.abc import Callable

from headrace.bus.port import DEAD, JOBS, LOGS, Bus, events_queue
from headrace.postgres.pool import Pool, transaction

from headrace_control.scaling.model import QueueDepth, Scaling
from headrace_control.scaling.tables import oldest_unclaimed, read_tables

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
        ready = depths[JOBS]
        async with transaction(self._pool) as db:
            tables = await read_tables(db)
            waiting = await oldest_unclaimed(db) if ready else 0.0
        # The broker's protocol tells what is ready, not what was taken: that is what was sent and is not there.
        unacked = max(tables.in_flight - ready, 0)
        backlog = ready + tables.takable
        return Scaling(
            backlog=backlog,
            load=backlog + unacked,
            ready=ready,
            unacked=unacked,
            due=tables.due,
            oldest_seconds=max(waiting, tables.oldest_takable),
            runs_in_flight=tables.in_flight,
            runners=tables.runners,
            capacity=tables.capacity,
            held=tables.held,
            queues={
                queue: QueueDepth(depth, unacked if queue == JOBS else None)
                for queue, depth in depths.items()
            },
            tenants=tables.tenants,
        )
