"""The Postgres adapter: publishes, hands out consumptions, asks the tables."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, Self
from uuid import UUID

import asyncpg

from headrace.bus.limits import check_sizes
from headrace.bus.names import Names
from headrace.bus.port import (
    DEAD,
    BatchHandler,
    Consumption,
    DeadLetter,
    Depth,
    Handler,
    Outgoing,
)
from headrace.bus.postgres.ownership import Ownership
from headrace.bus.postgres.partition import PartitionConsumption
from headrace.bus.postgres.presence import Presence
from headrace.bus.postgres.statements import CHANNEL, SQL, session, to_headers, translated
from headrace.bus.postgres.work import WorkConsumption
from headrace.errors import BusUnavailable, DatabaseUnavailable, ForeignQueues, NotFound
from headrace.postgres.listen import Listener
from headrace.postgres.pool import BUS, LOST_AFTER, Pool, open_pool
from headrace.postgres.release import SCHEMA

# Losing an acknowledgement in a crash of the server costs a second delivery, which is allowed anyway.
_RELAXED = "off"

_CLOSE_SECONDS = 5.0


class PostgresBus:
    """`headrace.bus.port.Bus` on the tables of migration 0002, as the role `headrace_bus`.

    Needs sessions of its own (locks, LISTEN): a pooler that shares sessions between transactions will not do.
    """

    def __init__(
        self,
        dsn: str,
        names: Names,
        ownership: Ownership,
        publishing: Pool,
        consuming: Pool,
        *,
        name: str,
        retry_pause: float,
        lease: float,
    ) -> None:
        self._dsn = dsn
        self._names = names
        self._ownership = ownership
        self._publishing = publishing
        self._consuming = consuming
        self._name = name
        self._retry_pause = retry_pause
        self._lease = lease
        self._presence = Presence(consuming, names.outside(DEAD), lease)
        self._listener = Listener(dsn)
        self._listener.subscribe(CHANNEL, self._heard)
        self._known: set[str] = set()
        self._consumptions: set[WorkConsumption | PartitionConsumption] = set()

    @classmethod
    async def open(
        cls,
        dsn: str,
        names: Names,
        *,
        name: str,
        retry_pause: float,
        lease: float,
        deployment: UUID | None = None,
    ) -> Self:
        """Connect and make the queues that are missing. Raises `BusUnavailable`."""
        pools: list[Pool] = []
        ownership = Ownership(names)
        try:
            with translated():
                pools.append(await open_pool(dsn, BUS, max_size=4, init=ownership.check))
                pools.append(
                    await open_pool(dsn, BUS, max_size=4, init=ownership.check, synchronous_commit=_RELAXED)
                )
            bus = cls(dsn, names, ownership, *pools, name=name, retry_pause=retry_pause, lease=lease)
            if deployment is not None:
                await bus.own(deployment)
            await bus._declare()
            await bus._listener.start()
        except BaseException as error:
            await asyncio.gather(*(_close_pool(pool) for pool in pools))
            if isinstance(error, DatabaseUnavailable):
                raise BusUnavailable(error.message) from error
            raise
        return bus

    async def _declare(self) -> None:
        async with session(self._publishing) as db:
            await db.execute(SQL.declare_queues, [self._names.outside(q) for q in self._names.queues()])

    async def own(self, deployment: UUID, *, anyway: bool = False) -> bool:
        async with self._asking_whose() as db:
            await self._ownership.take(db, deployment, anyway=anyway)
        return True

    @contextlib.asynccontextmanager
    async def _asking_whose(self) -> AsyncIterator[Any]:
        """Once the queues are known to be another's, no session is used again; new ones ask for themselves."""
        try:
            async with session(self._publishing) as db:
                yield db
        except ForeignQueues:
            await asyncio.gather(self._publishing.expire_connections(), self._consuming.expire_connections())
            raise

    async def add_pool(self, pool: str) -> None:
        self._names = self._names.with_pool(pool)
        await self._declare()

    def _heard(self, name: str) -> None:
        # No name: the listener was away, and anything may have been published meanwhile.
        for consumption in self._consumptions:
            if not name or consumption.name == name:
                consumption.wake()

    async def publish(self, messages: Sequence[Outgoing], timeout: float = 10.0) -> None:
        check_sizes(messages)
        if not messages:
            return
        names = [self._names.outside(m.queue) for m in messages]
        async with session(self._publishing, timeout) as db:
            await self._check_known(db, set(names))
            await db.execute(
                SQL.publish, names, [m.body for m in messages], [to_headers(m) for m in messages]
            )

    async def _check_known(self, db: asyncpg.Connection, names: set[str]) -> None:
        """Queues are never removed, so each is looked for once."""
        if names - self._known:
            self._known = {row["name"] for row in await db.fetch(SQL.find_queues)}
            if missing := names - self._known:
                raise NotFound(f"queue {self._names.inside(min(missing))}")

    async def _require(self, queue: str) -> str:
        name = self._names.outside(queue)
        async with session(self._consuming) as db:
            await self._check_known(db, {name})
        return name

    async def consume(self, queue: str, handler: Handler, limit: int) -> Consumption:
        return await self._started(
            WorkConsumption(
                self._consuming,
                self._presence,
                name=await self._require(queue),
                queue=queue,
                dead_queue=self._names.outside(DEAD),
                handler=handler,
                limit=limit,
                retry_pause=self._retry_pause,
                when_closed=self._consumptions.discard,
            )
        )

    async def consume_batches(
        self, queue: str, handler: BatchHandler, most: int, linger: float = 0.0
    ) -> Consumption:
        return await self._started(
            PartitionConsumption(
                self._connect,
                self._presence,
                name=await self._require(queue),
                queue=queue,
                handler=handler,
                most=most,
                linger=linger,
                retry_pause=self._retry_pause,
                lease=self._lease,
                when_closed=self._consumptions.discard,
            )
        )

    async def _started(self, consumption: WorkConsumption | PartitionConsumption) -> Consumption:
        # Known before it starts, so that no notification passes it by.
        self._consumptions.add(consumption)
        try:
            await consumption.start()
        except BaseException:
            self._consumptions.discard(consumption)
            raise
        return consumption

    async def _connect(self) -> asyncpg.Connection:
        settings = {
            "role": BUS,
            # Like `session_name`: a contract is refused while somebody who says no schema is connected.
            "application_name": f"{self._name}:partition/{SCHEMA}",
            "jit": "off",
            "synchronous_commit": _RELAXED,
            # Its lock is given up with it: that of a machine that is lost, and that of a process that stands still,
            # whose machine answers for it.
            **LOST_AFTER,
            "idle_session_timeout": f"{self._lease * 1000:.0f}ms",
        }
        connection = await asyncpg.connect(self._dsn, timeout=10, server_settings=settings)
        try:
            await self._ownership.check(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def depth(self, queue: str) -> Depth:
        name = await self._require(queue)
        async with session(self._consuming) as db:
            row = await db.fetchrow(SQL.depth, name)
        return Depth(row["ready"], row["consumers"])

    async def dead_letters(self, most: int = 100) -> Sequence[DeadLetter]:
        async with session(self._consuming) as db:
            rows = await db.fetch(SQL.find_dead_letters, self._names.outside(DEAD), most)
        return [DeadLetter(self._names.inside(row["queue"]), row["reason"], row["body"]) for row in rows]

    async def ping(self) -> None:
        async with self._asking_whose() as db:
            await db.fetchval(SQL.ping)
            await self._ownership.check(db)

    async def close(self) -> None:
        await asyncio.gather(*(each.close() for each in tuple(self._consumptions)))
        await self._presence.close()
        await self._listener.close()
        await asyncio.gather(_close_pool(self._publishing), _close_pool(self._consuming))


async def _close_pool(pool: Pool) -> None:
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await pool.close()
    except (TimeoutError, asyncpg.InterfaceError, OSError):
        pool.terminate()
