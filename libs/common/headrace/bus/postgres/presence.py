"""Which consumptions live: each has a row that is renewed, and lapsed ones lose their messages."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import structlog

from headrace.bus.port import DELIVERY_LIMIT, MAX_DELIVERIES
from headrace.bus.postgres.statements import SQL, session
from headrace.errors import BusUnavailable
from headrace.ids import new_id
from headrace.outage import Outage
from headrace.postgres.pool import Db, Pool

_log = structlog.get_logger(__name__)


class Presence:
    """Announces the consumptions of one process, and gives back what dead ones of any process held.

    `lease` seconds after a process's last sign of life, its messages are free again.
    """

    def __init__(self, pool: Pool, dead_queue: str, lease: float) -> None:
        self._pool = pool
        self._dead_queue = dead_queue
        self._lease = timedelta(seconds=lease)
        self._beat = lease / 4
        self._present: dict[UUID, str] = {}
        self._task: asyncio.Task[None] | None = None

    async def enter(self, queue: str) -> UUID:
        """Announce a consumption of `queue`; gives its id. Raises `BusUnavailable`."""
        consumer = new_id()
        async with session(self._pool) as db:
            await db.execute(SQL.announce_consumer, consumer, queue, self._lease)
        self._present[consumer] = queue
        if self._task is None:
            self._task = asyncio.create_task(self._keep())
        return consumer

    async def leave(self, consumer: UUID) -> None:
        """Give back what it holds. If Postgres is away, the lease does it later."""
        self._present.pop(consumer, None)
        with contextlib.suppress(BusUnavailable):
            async with self._transaction() as db:
                await db.fetch(SQL.lock_consumers, [consumer])
                await self._release(db, [consumer])

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _keep(self) -> None:
        outage = Outage("could not renew the consumers", "the consumers are renewed again")
        while True:
            await asyncio.sleep(self._beat)
            if not self._present:
                continue
            try:
                await self._renew()
                await self._release_lapsed()
                outage.over()
            except BusUnavailable as error:
                outage.tried(error=error.message)

    async def _renew(self) -> None:
        present = dict(self._present)
        async with session(self._pool) as db:
            renewed = {row["id"] for row in await db.fetch(SQL.renew_consumers, list(present), self._lease)}
            for consumer in present.keys() - renewed:
                # We were away for too long: what we held is free or in other hands, and we begin anew.
                if consumer in self._present:
                    await db.execute(SQL.announce_consumer, consumer, present[consumer], self._lease)

    async def _release_lapsed(self) -> None:
        async with self._transaction() as db:
            if lapsed := [row["id"] for row in await db.fetch(SQL.lock_lapsed_consumers)]:
                _log.warning("consumers died; their messages are free again", count=len(lapsed))
                await self._release(db, lapsed)

    @contextlib.asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Db]:
        """Not rolled back: the session of one that fails is thrown away, and what went wrong is told; a cancellation
        above all, which the trouble with a rollback would take the place of."""
        async with session(self._pool) as db:
            await db.execute("BEGIN")
            yield db
            await db.execute("COMMIT")

    async def _release(self, db: Db, consumers: list[UUID]) -> None:
        # Statements of their own, after the lock: each sees what was taken until then.
        await db.execute(SQL.bury_spent, consumers, self._dead_queue, DELIVERY_LIMIT, MAX_DELIVERIES)
        await db.execute(SQL.free_messages, consumers)
        await db.execute(SQL.forget_consumers, consumers)
