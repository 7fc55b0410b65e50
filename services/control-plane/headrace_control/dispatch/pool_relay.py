"""The relay of the pools beside the default one: each has a window and a fairness of its own.

It shares the default relay's lock, for tenants' limits are counted over all pools. While there are no such pools it
costs one look in a while.
"""

import asyncio
from dataclasses import dataclass, replace

import structlog
from headrace.bus.port import Bus, jobs_queue
from headrace.errors import BusUnavailable, NotFound
from headrace.gathering import pause_after
from headrace.messages import Job
from headrace.postgres.listen import DISPATCH_CHANNEL, POOLS_CHANNEL, Listener
from headrace.postgres.pool import Db, Pool, one_statement, transaction
from headrace.postgres.queries import load

from headrace_control.dispatch.alarm import Alarm
from headrace_control.dispatch.choosing import RELAY_BEGINS, choose
from headrace_control.dispatch.relay import (
    BATCH,
    FULL_WINDOW_SECONDS,
    GATHER_SECONDS,
    Relay,
    Rest,
    relay_again_and_again,
    until_due,
)

_log = structlog.get_logger(__name__)
_sql = load("headrace_control.dispatch")

# Whoever makes a pool tells; what was told while nobody listened is found by looking.
LOOK_SECONDS = 30.0
# While nobody takes anything from a full window, how seldom it is looked at.
UNTOUCHED_SECONDS = 1.0
# After trouble with one pool's queue the others go on.
TROUBLE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Full:
    """A window that has no room: how many jobs stood ready, and when it is looked at again, by the loop's clock."""

    ready: int
    pause: float
    until: float


class PoolRelay:
    """Publishes due dispatches of the pools until closed. `window` is each pool's own; `relay` puts jobs on the bus."""

    def __init__(self, pool: Pool, bus: Bus, listener: Listener, window: int, relay: Relay) -> None:
        self._pool, self._bus, self._window, self._relay = pool, bus, window, relay
        self._alarm, self._changed = Alarm(), asyncio.Event()
        self._changed.set()
        self._pool_count, self._looked_at = 0, float("-inf")
        self._full: dict[str, _Full] = {}
        listener.subscribe(DISPATCH_CHANNEL, self._hear)
        listener.subscribe(POOLS_CHANNEL, lambda _: self._hear_of_pools())

    def _hear(self, payload: str) -> None:
        """Of a run that is due: nothing to get up for while there are no pools."""
        if self._pool_count:
            self._alarm.hear(payload)

    def _hear_of_pools(self) -> None:
        self._changed.set()
        self._alarm.hear()

    async def run(self) -> None:
        """Work until cancelled. Trouble with Postgres or the bus is waited out."""
        await relay_again_and_again(self._turn, self._alarm)

    async def _turn(self) -> Rest:
        if self._changed.is_set() or self._now() > self._looked_at + LOOK_SECONDS:
            self._pool_count = await self._learn()
            self._looked_at = self._now()
        return await self._cycle() if self._pool_count else Rest(LOOK_SECONDS)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def _learn(self) -> int:
        """See to the pools' queues; how many pools there are beside the default one."""
        self._changed.clear()  # before it is read: what changes meanwhile is read again
        try:
            async with one_statement(self._pool) as db:
                pools = [row["name"] for row in await db.fetch(_sql.pools)]
        except BaseException:
            self._changed.set()
            raise
        for pool in pools:
            try:
                await self._bus.add_pool(pool)
            except BusUnavailable as error:  # it is seen to at the next look
                _log.warning("pool waits", pool=pool, error=type(error).__name__)
        return len(pools)

    async def _cycle(self) -> Rest:
        """Send what there is room for in each pool."""
        async with transaction(self._pool, RELAY_BEGINS) as db:
            sent, looks = 0, []
            for row in await db.fetch(_sql.pools_waiting):
                pool = row["pool"]
                full = self._full.get(pool)
                if full is None or full.until <= self._now():
                    sent += await self._send(db, pool)
                if pool in self._full:
                    looks.append(self._full[pool].until - self._now())
            if sent > 1:  # there may be more that is due
                return Rest(pause_after(sent, GATHER_SECONDS), sound=True)
            rest = until_due(await db.fetchrow(_sql.next_due))
        return replace(rest, seconds=max(min([rest.seconds, *looks]), 0.0))

    async def _send(self, db: Db, pool: str) -> int:
        """How many jobs were sent. A pool whose queue can not be reached keeps nobody else waiting."""
        queue = jobs_queue(pool)
        try:
            ready = (await self._bus.depth(queue)).ready
            room = self._window - ready
            if room < (self._window + 1) // 2:
                self._rest(pool, ready)
                return 0
            self._full.pop(pool, None)
            rows = await choose(db, min(room, BATCH), pool)
            if rows:
                jobs = [Job(row["tenant_id"], row["run_id"], row["id"]) for row in rows]
                await self._relay.publish(db, queue, jobs)
                await db.execute(_sql.mark_sent, [job.dispatch_id for job in jobs], pool)
        except (BusUnavailable, NotFound) as error:
            _log.warning("pool waits", pool=pool, error=type(error).__name__)
            self._full[pool] = _Full(0, TROUBLE_SECONDS, self._now() + TROUBLE_SECONDS)
            self._changed.set()  # its queue may have to be made again
            return 0
        return len(rows)

    def _rest(self, pool: str, ready: int) -> None:
        """Look again soon; later and later while nobody takes from it."""
        before = self._full.get(pool)
        pause = FULL_WINDOW_SECONDS
        if before is not None and ready >= before.ready:
            pause = min(before.pause * 2, UNTOUCHED_SECONDS)
        self._full[pool] = _Full(ready, pause, self._now() + pause)
