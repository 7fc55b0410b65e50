"""Consuming a work queue: each message on its own, many at once."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from uuid import UUID

import asyncpg
import structlog

from headrace.bus.backoff import pause_after
from headrace.bus.handling import canceled_from_outside, storable_reason
from headrace.bus.port import DELIVERY_LIMIT, MAX_DELIVERIES, Handler, PutBack, Reject
from headrace.bus.postgres.presence import Presence
from headrace.bus.postgres.statements import POLL_SECONDS, SQL, session, to_delivery
from headrace.errors import BusUnavailable
from headrace.outage import Outage
from headrace.postgres.pool import Db, Pool
from headrace.unforeseen import described

_log = structlog.get_logger(__name__)

_FIRST_RETRY = 0.1


class Verb(Enum):
    ACKNOWLEDGE = auto()
    GIVE_BACK = auto()
    PUT_BACK = auto()
    BURY = auto()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a message; kept until the database has taken it."""

    message_id: int
    verb: Verb
    reason: str = ""


class WorkConsumption:
    """One loop takes messages into free places and writes outcomes down, both many at once.

    A message holds its place until its outcome is written. What was taken behind an answer that got lost is in our
    name and in no place: the same loop puts it back, so that a message whose handler runs is never put back.
    """

    def __init__(
        self,
        pool: Pool,
        presence: Presence,
        *,
        name: str,
        queue: str,
        dead_queue: str,
        handler: Handler,
        limit: int,
        retry_pause: float,
        when_closed: Callable[["WorkConsumption"], None],
    ) -> None:
        self._pool = pool
        self._presence = presence
        self.name = name
        self._queue = queue
        self._dead_queue = dead_queue
        self._handler = handler
        self._limit = limit
        self._retry_pause = retry_pause
        self._when_closed = when_closed
        self._held: set[int] = set()
        self._unanswered: set[int] = set()
        self._look_at = 0.0
        self._outcomes: list[Outcome] = []
        self._handling: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()
        self._may_have_more = True
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._consumer: UUID | None = None

    async def start(self) -> None:
        """Return once the consumer is announced. Raises `BusUnavailable`."""
        self._consumer = await self._presence.enter(self.name)
        self._task = asyncio.create_task(self._run(self._consumer))

    def wake(self) -> None:
        """Something became free in the queue."""
        self._may_have_more = True
        self._news.set()

    async def close(self, grace: float = 0.0) -> None:
        self._closing.set()
        self._news.set()
        if self._task is None or self._consumer is None:
            return
        if self._handling and grace > 0:
            await asyncio.wait(set(self._handling), timeout=grace)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        handling = set(self._handling)
        for task in handling:
            task.cancel()
        await asyncio.gather(*handling, return_exceptions=True)
        with contextlib.suppress(BusUnavailable):
            await self._write(self._consumer)
            async with session(self._pool) as db:
                await self._put_back(db, self._consumer)
        await self._presence.leave(self._consumer)
        self._when_closed(self)

    async def _run(self, consumer: UUID) -> None:
        failures, outage = 0, Outage("consumer is away", "consumer is back", queue=self.name)
        while True:
            try:
                await self._recover(consumer)
                await self._write(consumer)
                places = self._limit - len(self._held)
                if self._may_have_more and places > 0 and not self._closing.is_set():
                    self._may_have_more = False
                    await self._take(consumer, places)
                    continue
                failures = 0
                outage.over()
            except Exception as error:
                failures += 1
                self._may_have_more = True
                outage.tried(error=type(error).__name__)
                await asyncio.sleep(pause_after(failures, _FIRST_RETRY))
                continue
            await self._wait()

    async def _wait(self) -> None:
        """Until there is an outcome to write or a message to take; or, should a notification be lost, a while."""
        if self._outcomes:
            return
        self._news.clear()
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._news.wait()
        except TimeoutError:
            self._may_have_more = True

    async def _take(self, consumer: UUID, places: int) -> None:
        asked: int | None = None
        try:
            async with session(self._pool) as db:
                asked = db.get_server_pid()
                rows = await db.fetch(SQL.take_messages, self.name, consumer, places)
        except BaseException:
            if asked is not None:
                self._unanswered.add(asked)
                self._look_at = 0.0
            raise
        if self._closing.is_set():
            return
        if len(rows) == places:
            self._may_have_more = True
        for row in sorted(rows, key=_number):
            if row["id"] in self._held:
                continue  # we were away for too long, and it is ours again while its handler still runs
            self._held.add(row["id"])
            task = asyncio.create_task(self._handle(row))
            self._handling.add(task)
            task.add_done_callback(self._handling.discard)

    async def _recover(self, consumer: UUID) -> None:
        """Put back what an unanswered taking took; again and again until its session is gone, for it may come late."""
        now = asyncio.get_running_loop().time()
        if not self._unanswered or now < self._look_at:
            return
        async with session(self._pool) as db:
            # Asked first: one that lives may yet take, behind our putting back.
            live = await db.fetchval(SQL.any_session_lives, list(self._unanswered))
            await self._put_back(db, consumer)
        self._look_at = now + POLL_SECONDS
        if not live:
            self._unanswered.clear()

    async def _put_back(self, db: Db, consumer: UUID) -> None:
        """Free what is in our name and has no place here: no handler has seen it."""
        await db.execute(SQL.put_back, self.name, consumer, list(self._held))

    async def _handle(self, row: asyncpg.Record) -> None:
        number, deliveries = row["id"], row["deliveries"]
        try:
            await self._handler(to_delivery(row, self._queue, redelivered=deliveries > 1))
        except Reject as rejected:
            self._settle(Outcome(number, Verb.BURY, storable_reason(rejected)))
        except PutBack:
            self._settle(Outcome(number, Verb.PUT_BACK))
        except (Exception, asyncio.CancelledError) as error:
            if canceled_from_outside():
                raise
            _log.warning(
                "handler failed",
                queue=self.name,
                **described(error),
                delivery=deliveries,
                of=MAX_DELIVERIES,
            )
            if deliveries >= MAX_DELIVERIES:
                self._settle(Outcome(number, Verb.BURY, DELIVERY_LIMIT))
                return
            # It holds its place meanwhile: what failed needs time, not haste.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_after(deliveries, self._retry_pause)):
                    await self._closing.wait()
            self._settle(Outcome(number, Verb.GIVE_BACK))
        else:
            self._settle(Outcome(number, Verb.ACKNOWLEDGE))

    def _settle(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        self._news.set()

    async def _write(self, consumer: UUID) -> None:
        """Write the outcomes at hand. What fails is kept and written later."""
        outcomes = tuple(self._outcomes)
        if not outcomes:
            return
        acknowledged = _ids(outcomes, Verb.ACKNOWLEDGE)
        given_back, put_back = _ids(outcomes, Verb.GIVE_BACK), _ids(outcomes, Verb.PUT_BACK)
        buried = [o for o in outcomes if o.verb is Verb.BURY]
        async with session(self._pool) as db:
            if acknowledged:
                await db.execute(SQL.acknowledge, self.name, consumer, acknowledged)
            if given_back or put_back:
                await db.execute(SQL.give_back, self.name, consumer, given_back, put_back)
            if buried:
                await db.execute(
                    SQL.bury,
                    self.name,
                    consumer,
                    [o.message_id for o in buried],
                    [o.reason for o in buried],
                    self._dead_queue,
                )
        del self._outcomes[: len(outcomes)]
        self._held.difference_update(o.message_id for o in outcomes)


def _ids(outcomes: Sequence[Outcome], verb: Verb) -> list[int]:
    return [o.message_id for o in outcomes if o.verb is verb]


def _number(row: asyncpg.Record) -> int:
    number: int = row["id"]
    return number
