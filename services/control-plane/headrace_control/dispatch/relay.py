"""The relay: the only publisher of jobs. It moves what is due from the table to the bus, fairly.

One cycle is one transaction: choose, publish, wait for the confirms, mark as sent, commit. When the relay
dies in between, nothing is marked and the same jobs are published again; a claim tells copies apart.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import structlog
from headrace.bus.port import JOBS, Bus, Outgoing
from headrace.errors import HeadraceError, Unavailable
from headrace.gathering import pause_after
from headrace.messages import Job
from headrace.outage import Outage
from headrace.postgres.listen import DISPATCH_CHANNEL, Listener
from headrace.postgres.pool import Db, Pool, transaction
from headrace.postgres.queries import load
from headrace.telemetry.traces import Span, Traces, ended

from headrace_control.dispatch.alarm import Alarm
from headrace_control.dispatch.choosing import RELAY_BEGINS, choose
from headrace_control.tracing import SentJobs

_log = structlog.get_logger(__name__)
_sql = load("headrace_control.dispatch")

# How often the relay looks by itself; it is woken by notifications and by its own next due time.
SAFETY_NET_SECONDS = 5.0
# While the window is more than half full, how often it is looked at again. There is work for the fleet meanwhile, and
# few large cycles cost less than many small ones.
FULL_WINDOW_SECONDS = 0.05
# How long the depth is taken for known: runs that come one by one do not wait for the broker to tell it.
KNOWN_SECONDS = 1.0
# At most, while runs become due several at once.
GATHER_SECONDS = 0.02
# Jobs per cycle at most: bounds the transaction and the publish.
BATCH = 500


@dataclass(frozen=True, slots=True)
class Rest:
    """What comes before the next cycle: so many seconds, or less when a run becomes due. A `sound` one is not disturbed
    by that. `held_back`: something is due that was not sent, so that a free place is worth a cycle."""

    seconds: float
    sound: bool = False
    held_back: bool = True


@dataclass(slots=True)
class _Ready:
    """How many jobs stood ready when the bus was asked last, when that was, by the loop's clock, and how many were sent
    since."""

    jobs: int
    at: float
    sent: int = 0


class Relay:
    """Publishes due dispatches of the default pool until closed; those of other pools are `PoolRelay`'s.

    `window` bounds how many jobs stand ready in the broker: order and fairness are decided here, not there,
    and a job in a long queue would be old news when it is taken.
    """

    def __init__(
        self, pool: Pool, bus: Bus, listener: Listener, window: int, traces: Traces | None = None
    ) -> None:
        self._pool, self._bus, self._window, self._traces = pool, bus, window, traces
        self._alarm = Alarm()
        self._full = False
        self._ready: _Ready | None = None
        listener.subscribe(DISPATCH_CHANNEL, self._alarm.hear)

    async def run(self) -> None:
        """Work until cancelled. Trouble with Postgres or the bus is waited out."""
        await relay_again_and_again(self._cycle, self._alarm)

    async def _cycle(self) -> Rest:
        """Send what there is room for."""
        async with transaction(self._pool, RELAY_BEGINS) as db:
            most, rows = await self._choose(db)
            if not most:
                return Rest(FULL_WINDOW_SECONDS, sound=True)
            if not rows:
                return until_due(await db.fetchrow(_sql.next_due))
            jobs = [Job(row["tenant_id"], row["run_id"], row["id"]) for row in rows]
            await self._send(db, jobs)
            left = await db.fetchrow(_sql.mark_sent, [job.dispatch_id for job in jobs], None)
        if len(jobs) > 1 or most == 1:  # there may be more that is due
            return Rest(pause_after(len(jobs), GATHER_SECONDS), sound=True)
        return until_due(left)

    async def _choose(self, db: Db) -> tuple[int, Sequence[Any]]:
        """How many may be sent, none while the window is more than half full, and what is due, the first of it."""
        most = min(self._window, BATCH)
        rows: Sequence[Any] | None = None
        if self._is_roomy():
            rows = await choose(db, most)
            if len(rows) <= 1:
                return most, rows
        if self._full or rows is not None:
            ready = (await self._bus.depth(JOBS)).ready
        else:
            ready, rows = await self._ask_both(db)
        self._ready = _Ready(ready, self._now())
        room = self._window - ready
        self._full = room < (self._window + 1) // 2
        if self._full:
            return 0, ()
        most = min(room, BATCH)
        return most, await choose(db, most) if rows is None else rows[:most]

    def _is_roomy(self) -> bool:
        """Whether half of the window is free, by what is known. Another control plane sends no more without asking."""
        known = self._ready
        return (
            known is not None
            and self._now() < known.at + KNOWN_SECONDS
            and known.jobs + known.sent < self._window // 2
        )

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def _ask_both(self, db: Db) -> tuple[int, Sequence[Any]]:
        """How many stand ready, and what is due, at once; the first of many are the same as the first of few. Each is
        waited for, whatever becomes of the other: the session is rolled back when it is at rest."""
        depth, rows = await asyncio.gather(
            self._bus.depth(JOBS),
            choose(db, min(self._window, BATCH)),
            return_exceptions=True,
        )
        if isinstance(rows, BaseException):
            raise rows
        if isinstance(depth, BaseException):
            raise depth
        return depth.ready, rows

    async def _send(self, db: Db, jobs: Sequence[Job]) -> None:
        known, self._ready = self._ready, None  # whatever becomes of it, unless it goes well
        await self.publish(db, JOBS, jobs)
        if known is not None:
            known.sent += len(jobs)
            self._ready = known

    async def publish(self, db: Db, queue: str, jobs: Sequence[Job]) -> None:
        """Put jobs into the queue of their pool. Returns when the bus has them."""
        spans: Sequence[Span] = ()
        if self._traces is not None:
            stored = await db.fetch(_sql.traced, [job.run_id for job in jobs])
            traced = {row["id"]: row["traceparent"] for row in stored}
            sent = SentJobs(self._traces, queue, jobs, traced)
            jobs, spans = sent.jobs, sent.spans
        with ended(spans):
            await self._bus.publish([Outgoing(queue, job.encode()) for job in jobs])


async def relay_again_and_again(cycle: Callable[[], Awaitable[Rest]], alarm: Alarm) -> None:
    """Run cycles until cancelled, and rest between them. Trouble with Postgres or the bus is waited out."""
    pause, outage = 0.5, Outage("relay waits", "relay goes on")
    while True:
        alarm.look_begins()
        try:
            rest = await cycle()
            pause = 0.5
            outage.over()
        except (Unavailable, asyncpg.PostgresError) as error:
            outage.tried(error=type(error).__name__)
            await asyncio.sleep(pause)
            pause = min(pause * 2, 5.0)
            continue
        except HeadraceError as error:
            _log.error("relay failed", code=error.code)
            rest = Rest(1.0)
        if rest.sound:
            await asyncio.sleep(rest.seconds)
            continue
        alarm.look_ended(held_back=rest.held_back)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(rest.seconds):
                await alarm.rung()


def until_due(left: Any) -> Rest:
    """Until the next timer of `next_due`. What is past already is held back: a run's end wakes us."""
    due_at, now = left["due_at"], left["now"]
    seconds = SAFETY_NET_SECONDS
    if due_at is not None:
        seconds = min((due_at - now).total_seconds() + 0.001, seconds)
    return Rest(seconds, held_back=left["held_back"])
