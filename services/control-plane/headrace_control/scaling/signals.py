"""The one place where the figures are read by which the fleet is scaled."""

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from headrace.bus.port import DEAD, JOBS, LOGS, Bus, events_queue
from headrace.postgres.pool import Pool, transaction
from headrace.postgres.queries import load

from headrace_control.scaling.model import QueueDepth, Scaling, TenantBacklog

_sql = load("headrace_control.scaling")

# However many ask: figures so young are not read again.
FRESH_SECONDS = 1.0
MAX_TENANTS = 20


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
            rows = await db.fetch(_sql.tenants, MAX_TENANTS)
            waiting = await db.fetchval(_sql.oldest_unclaimed) if ready else 0.0
            (fleet,) = await db.fetch(_sql.runners)
        sums: Mapping[str, Any] = dict(rows[0]) if rows else _NOTHING
        # The broker's protocol tells what is ready, not what was taken: that is what was sent and is not there.
        unacked = max(sums["all_in_flight"] - ready, 0)
        backlog = ready + sums["all_takable"]
        return Scaling(
            backlog=backlog,
            load=backlog + unacked,
            ready=ready,
            unacked=unacked,
            due=sums["all_due"],
            oldest_seconds=max(waiting, sums["oldest_takable"] or 0.0),
            runs_in_flight=sums["all_in_flight"],
            runners=fleet["runners"],
            capacity=fleet["capacity"],
            held=fleet["held"],
            queues={
                queue: QueueDepth(depth, unacked if queue == JOBS else None)
                for queue, depth in depths.items()
            },
            tenants=[
                TenantBacklog(row["tenant_id"], row["due"], row["in_flight"], row["oldest_seconds"])
                for row in rows
            ],
        )


_NOTHING = MappingProxyType({"all_due": 0, "all_in_flight": 0, "all_takable": 0, "oldest_takable": 0})
