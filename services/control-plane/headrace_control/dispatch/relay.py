"""The relay: the only publisher of jobs. It moves what is due from the table to the bus, fairly.

One cycle is one transaction: choose, publish, wait for the confirms, mark as sent, commit. When the relay
dies in between, nothing is marked and the same jobs are published again; a claim tells copies apart.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg
import structlog
from headrace.bus.port import JOBS, Bus, Outgoing
from headrace.errors import HeadraceError, Unavailable
from headrace.gathering import pause_after
from headrace.messages import Job
from headrace.postgres.listen import DISPATCH_CHANNEL, Listener
from headrace.postgres.pool import Db, Pool, transaction
from headrace.postgres.queries import load
from headrace.telemetry.traces import Span, Traces, ended

from headrace_control.tracing import SentJobs

_log = structlog.get_logger(__name__)
_sql = load("headrace_control.dispatch")

# How often the relay looks by itself; it is woken by notifications and by its own next due time.
SAFETY_NET_SECONDS = 5.0
# While the window is more than half full, how often it is looked at again. There is work for the fleet meanwhile, and
# few large cycles cost less than many small ones.
FULL_WINDOW_SECONDS = 0.05
# At most, while runs become due several at once.
GATHER_SECONDS = 0.02
# Jobs per cycle at most: bounds the transaction and the publish.
BATCH = 500


@dataclass(frozen=True, slots=True)
class Rest:
    """What comes before the next cycle: so many seconds, or less when a run becomes due. A `sound` one is not disturbed
    by that."""

    seconds: float
    sound: bool = False


class Relay:
    """Publishes due dispatches of the default pool until closed; those of other pools are `PoolRelay`'s.

    `window` bounds how many jobs stand ready in the broker: order and fairness are decided here, not there,
    and a job in a long queue would be old news when it is taken.
    """

    def __init__(
        self, pool: Pool, bus: Bus, listener: Listener, window: int, traces: Traces | None = None
    ) -> None:
        self._pool, self._bus, self._window, self._traces = pool, bus, window, traces
        self._awake = asyncio.Event()
        listener.subscribe(DISPATCH_CHANNEL, lambda _: self._awake.set())

    async def run(self) -> None:
        """Work until cancelled. Trouble with Postgres or the bus is waited out."""
        await relay_again_and_again(self._cycle, self._awake)

    async def _cycle(self) -> Rest:
        """Send what there is room for."""
        async with transaction(self._pool, _sql.one_relay_at_a_time) as db:
            room = self._window - (await self._bus.depth(JOBS)).ready
            if room < (self._window + 1) // 2:
                return Rest(FULL_WINDOW_SECONDS, sound=True)
            most = min(room, BATCH)
            rows = await db.fetch(_sql.due_dispatches, most)
            if rows:
                jobs = [Job(row["tenant_id"], row["run_id"], row["id"]) for row in rows]
                await self.publish(db, JOBS, jobs)
                await db.execute(_sql.mark_sent, [job.dispatch_id for job in jobs], None)
                if len(jobs) > 1 or most == 1:  # there may be more that is due
                    return Rest(pause_after(len(jobs), GATHER_SECONDS), sound=True)
            (upcoming,) = await db.fetch(_sql.next_due)
        return Rest(until_due(upcoming["due_at"], upcoming["now"]))

    async def publish(self, db: Db, queue: str, jobs: Sequence[Job]) -> None:
        """Put jobs into the queue of their pool. Returns when the bus has them."""
        spans: Sequence[Span] = ()
        if self._traces is not None:
            stored = await db.fetch(_sql.traced, [job.run_id for job in jobs])
            sent = SentJobs(self._traces, jobs, {row["id"]: row["traceparent"] for row in stored})
            jobs, spans = sent.jobs, sent.spans
        with ended(spans):
            await self._bus.publish([Outgoing(queue, job.encode()) for job in jobs])


async def relay_again_and_again(cycle: Callable[[], Awaitable[Rest]], awake: asyncio.Event) -> None:
    """Run cycles until cancelled, and rest between them. Trouble with Postgres or the bus is waited out."""
    pause = 0.5
    while True:
        awake.clear()
        try:
            rest = await cycle()
            pause = 0.5
        except (Unavailable, asyncpg.PostgresError) as error:
            _log.warning("relay waits", error=type(error).__name__)
            await asyncio.sleep(pause)
            pause = min(pause * 2, 5.0)
            continue
        except HeadraceError as error:
            _log.error("relay failed", code=error.code)
            rest = Rest(1.0)
        if rest.sound:
            await asyncio.sleep(rest.seconds)
            continue
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(rest.seconds):
                await awake.wait()


def until_due(due_at: datetime | None, now: datetime) -> float:
    """Seconds to the next timer. One that is past is held by its tenant's limit: a run's end wakes us."""
    if due_at is None or due_at <= now:
        return SAFETY_NET_SECONDS
    return min((due_at - now).total_seconds() + 0.001, SAFETY_NET_SECONDS)
