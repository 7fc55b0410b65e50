"""Consuming a partition: one active consumer, strict order, batches."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from uuid import UUID

import asyncpg

from headrace.bus.backoff import pause_after
from headrace.bus.handling import canceled_from_outside, handle_batch
from headrace.bus.port import LINGERS, BatchHandler, Delivery
from headrace.bus.postgres.presence import Presence
from headrace.bus.postgres.statements import ASK_SECONDS, POLL_SECONDS, SQL, to_delivery, translated
from headrace.errors import BusUnavailable
from headrace.outage import Outage

_FIRST_RETRY = 0.1

# How often a waiting consumer asks for the lock: a session that dies tells nobody. It does not wait for it
# within Postgres, because a statement that waits holds back vacuum.
_STANDBY_SECONDS = 1.0


class PartitionConsumption:
    """Has a session of its own, whose lock makes it the active consumer.

    It reads and acknowledges on that same session, so whoever has lost the lock can do neither. Postgres ends the
    session of one that gives no sign of life for `lease` seconds, because its process stands still. Messages of
    one publisher come in its order; those of publishers who did not wait for each other, in either.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[asyncpg.Connection]],
        presence: Presence,
        *,
        name: str,
        queue: str,
        handler: BatchHandler,
        most: int,
        linger: float,
        retry_pause: float,
        lease: float,
        when_closed: Callable[["PartitionConsumption"], None],
    ) -> None:
        self._connect = connect
        self._presence = presence
        self.name = name
        self._queue = queue
        self._handler = handler
        self._most = most
        self._linger = linger
        self._retry_pause = retry_pause
        self._beat = lease / 4
        self._using = asyncio.Lock()
        self._when_closed = when_closed
        self._news = asyncio.Event()
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._consumer: UUID | None = None

    async def start(self) -> None:
        """Return once the consumer is announced. Raises `BusUnavailable`."""
        self._consumer = await self._presence.enter(self.name)
        self._task = asyncio.create_task(self._run())

    def wake(self) -> None:
        """Something was published to the queue."""
        self._news.set()

    async def close(self, grace: float = 0.0) -> None:
        self._closing.set()
        self._news.set()
        if self._task is None or self._consumer is None:
            return
        if grace > 0:
            await asyncio.wait({self._task}, timeout=grace)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._presence.leave(self._consumer)
        self._when_closed(self)

    async def _run(self) -> None:
        failures, outage = 0, Outage("consumer is away", "consumer is back", queue=self.name)
        while not self._closing.is_set():
            connection: asyncpg.Connection | None = None
            beating: asyncio.Task[None] | None = None
            try:
                with translated():
                    connection = await self._connect()
                beating = asyncio.create_task(self._keep(connection))
                await self._stand_by(connection)
                failures = 0
                outage.over()
                await self._consume(connection)
            except (Exception, asyncio.CancelledError) as error:
                if canceled_from_outside():
                    raise
                failures += 1
                outage.tried(error=type(error).__name__)
                await self._pause(pause_after(failures, _FIRST_RETRY))
            finally:
                if beating is not None:
                    beating.cancel()
                    await asyncio.gather(beating, return_exceptions=True)
                if connection is not None:
                    await _close_quietly(connection)

    async def _keep(self, connection: asyncpg.Connection) -> None:
        """Signs of life, however long a handler takes. Without an answer the session is given up."""
        try:
            while True:
                await asyncio.sleep(self._beat)
                async with self._asking():
                    await connection.fetchval(SQL.alive)
        except BusUnavailable:
            connection.terminate()
            self._news.set()

    @contextlib.asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        """The session takes one question at a time, and each has a deadline."""
        with translated():
            async with self._using, asyncio.timeout(ASK_SECONDS):
                yield

    async def _stand_by(self, connection: asyncpg.Connection) -> None:
        while not self._closing.is_set():
            async with self._asking():
                if await connection.fetchval(SQL.lock_partition, self.name):
                    return
            await self._pause(_STANDBY_SECONDS)

    async def _consume(self, connection: asyncpg.Connection) -> None:
        while not self._closing.is_set():
            batch = await self._batch(connection)
            if not batch:
                await self._wait_for_news()
                continue
            handled = await handle_batch(
                self._handler,
                [delivery for _, delivery in batch],
                ours=lambda: not connection.is_closed() and not self._closing.is_set(),
                pause=self._pause,
                first_pause=self._retry_pause,
            )
            if not handled:
                return
            async with self._asking():
                await connection.execute(SQL.acknowledge_partition, self.name, [place for place, _ in batch])

    async def _batch(self, connection: asyncpg.Connection) -> Sequence[tuple[int, Delivery]]:
        """What is there, each with its place; read again while there is nothing that anybody waits for."""
        until = asyncio.get_running_loop().time() + self._linger
        while True:
            self._news.clear()
            async with self._asking():
                rows = await connection.fetch(SQL.read_partition, self.name, self._most)
            batch = [(row["id"], to_delivery(row, self._queue)) for row in rows]
            gathering = 0 < len(batch) < self._most and all(
                LINGERS in message.headers for _, message in batch
            )
            if not (self._linger and gathering) or self._closing.is_set():
                return batch
            try:
                async with asyncio.timeout_at(until):
                    await self._news.wait()
            except TimeoutError:
                return batch

    async def _wait_for_news(self) -> None:
        """Until something is published; or, should a notification be lost, a while."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await self._news.wait()

    async def _pause(self, seconds: float) -> None:
        """Wait, but not beyond the beginning of the end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()


async def _close_quietly(connection: asyncpg.Connection) -> None:
    """End the session, and its lock with it."""
    with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
        await connection.close(timeout=2)
