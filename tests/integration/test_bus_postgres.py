"""What is the Postgres adapter's own; what it shares with the other is in tests/contract."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any
from unittest.mock import Mock
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from bus_inbox import Crowd, Inbox, numbered, numbers
from fixtures_bus import LEASE, Place
from headrace.bus.open import open_bus
from headrace.bus.port import JOBS, MAX_DELIVERIES, Delivery, Outgoing, events_queue
from headrace.bus.postgres import work
from headrace.bus.postgres.statements import SQL, session
from headrace.errors import BusUnavailable
from headrace.postgres.pool import Pool
from headrace.postgres.release import SCHEMA

EVENTS = events_queue(0)


@pytest.fixture
def bus_address(database: str) -> tuple[str, str]:
    """Only this kind of bus."""
    return "postgres", database


class Lossy:
    """A consumer's sessions: the next `left` takings that take something are written, and their answers get lost.

    With `stuck` the first statement stays with that session: the server has not come to it yet.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = self.looks = 0
        self.stuck: asyncpg.Connection | None = None
        self.asked: tuple[str, ...] = ()
        monkeypatch.setattr(work, "session", self.session)
        monkeypatch.setattr(work, "_FIRST_RETRY", 0.01)

    @contextlib.asynccontextmanager
    async def session(self, pool: Pool) -> AsyncIterator[Any]:
        took: list[asyncpg.Record] = []

        async def fetch(*statement: Any) -> list[asyncpg.Record]:
            if self.stuck is not None and not self.asked:
                self.asked = statement
                raise BusUnavailable("Postgres did not answer (TimeoutError)")
            rows: list[asyncpg.Record] = await db.fetch(*statement)
            took.extend(rows)
            return rows

        async def execute(*statement: Any) -> None:
            self.looks += statement[0] == SQL.put_back
            await db.execute(*statement)

        async with session(pool) as db:
            number = db if self.stuck is None or self.asked else self.stuck
            yield Mock(
                fetch=fetch, execute=execute, fetchval=db.fetchval, get_server_pid=number.get_server_pid
            )
        if took and self.left:
            self.left -= 1
            raise BusUnavailable("Postgres did not answer (TimeoutError)")

    async def all_lost(self) -> None:
        while self.left:
            await asyncio.sleep(0.02)  # nothing tells of what was lost


@pytest.fixture
def lossy(monkeypatch: pytest.MonkeyPatch) -> Lossy:
    return Lossy(monkeypatch)


class Sink:
    def __init__(self) -> None:
        self.bodies: asyncio.Queue[bytes] = asyncio.Queue()

    async def one(self, delivery: Delivery) -> None:
        await self.bodies.put(delivery.body)

    async def many(self, batch: Sequence[Delivery]) -> None:
        for delivery in batch:
            await self.bodies.put(delivery.body)


async def test_the_role_of_the_bus_sees_the_tables_of_the_bus_alone(database: str) -> None:
    connection = await asyncpg.connect(database)
    seen = await connection.fetch(
        """
        SELECT c.relname FROM pg_class AS c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
          AND has_table_privilege('headrace_bus', c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')
        """
    )
    strangers = await connection.fetch(
        """
        SELECT DISTINCT grantee FROM information_schema.role_table_grants
        WHERE table_name LIKE 'bus\\_%' AND grantee NOT LIKE 'headrace\\_%' AND grantee <> current_user
        """
    )
    await connection.close()
    assert {row["relname"] for row in seen} == {"bus_queues", "bus_consumers", "bus_messages", "bus_owners"}
    assert strangers == []


async def test_the_sessions_of_the_bus_act_as_its_role(place: Place, database: str) -> None:
    bus = await place.open(name="observed")
    await bus.consume_batches(EVENTS, Sink().many, 5)
    connection = await asyncpg.connect(database)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("SET ROLE headrace_bus; SELECT * FROM tenants")
    await connection.close()


async def test_the_sessions_of_the_bus_say_which_schema_they_know(place: Place, database: str) -> None:
    """Else no contract could be applied as long as a reporter is connected."""
    bus = await place.open()
    await bus.consume_batches(EVENTS, Sink().many, 5)
    admin = await asyncpg.connect(database)
    names = """SELECT DISTINCT application_name FROM pg_stat_activity
               WHERE datname = current_database() AND application_name LIKE 'headrace%'"""
    assert {row["application_name"] for row in await admin.fetch(names)} == {
        f"headrace:headrace_bus/{SCHEMA}",
        f"headrace:partition/{SCHEMA}",
    }
    await admin.close()


async def test_a_silent_consumer_loses_its_messages_and_works_on_when_it_is_back(place: Place) -> None:
    started, go_on, sink = asyncio.Event(), asyncio.Event(), Sink()

    async def hang(delivery: Delivery) -> None:
        started.set()
        await go_on.wait()
        await sink.one(delivery)

    silent = await place.open(through_proxy=True)
    await silent.consume(JOBS, hang, 1)
    bus, other = await place.open(), Sink()
    await bus.publish([Outgoing(JOBS, b"first")])
    await started.wait()
    place.proxy.stall()
    consumption = await bus.consume(JOBS, other.one, 1)
    assert await other.bodies.get() == b"first"
    await consumption.close(5)
    go_on.set()
    place.proxy.flow()
    assert await sink.bodies.get() == b"first"
    await bus.publish([Outgoing(JOBS, b"second")])
    assert await sink.bodies.get() == b"second"


async def test_a_silent_consumer_of_a_partition_loses_it_and_can_remove_nothing(place: Place) -> None:
    """Its session would live on: a process that stands still has a machine that answers for it."""
    started, go_on, taken, checked = (asyncio.Event() for _ in range(4))
    handled, inbox = [], Inbox()

    async def hang(batch: Sequence[Delivery]) -> None:
        started.set()
        await go_on.wait()
        handled.extend(delivery.body for delivery in batch)

    async def take(batch: Sequence[Delivery]) -> None:
        taken.set()
        await checked.wait()
        await inbox.many(batch)

    silent, bus = await place.open(through_proxy=True), await place.open()
    consumption = await silent.consume_batches(EVENTS, hang, 1)
    await bus.publish([Outgoing(EVENTS, b"first"), Outgoing(EVENTS, b"second")])
    await started.wait()
    place.proxy.stall()
    await bus.consume_batches(EVENTS, take, 5)
    await taken.wait()
    place.proxy.flow()
    go_on.set()
    await consumption.close(5)
    assert handled == [b"first"]
    assert (await bus.depth(EVENTS)).ready == 2
    checked.set()
    assert await inbox.batched_bodies(2) == [b"first", b"second"]


async def test_a_handler_may_take_longer_than_the_lease_of_its_partition(place: Place) -> None:
    bus, began, inbox = await place.open(), asyncio.Event(), Inbox()

    async def slow(batch: Sequence[Delivery]) -> None:
        began.set()
        await asyncio.sleep(1.5 * LEASE)
        await inbox.many(batch)

    await bus.consume_batches(EVENTS, slow, 5)
    await bus.publish([Outgoing(EVENTS, b"first")])
    await began.wait()
    standing_by, others = await place.open(), Inbox()
    await standing_by.consume_batches(EVENTS, others.many, 5)
    assert await inbox.batched_bodies(1) == [b"first"]
    while (await bus.depth(EVENTS)).ready:
        await asyncio.sleep(0.02)  # nothing tells of what is removed
    assert others.batches.empty()


async def test_every_session_may_be_terminated(place: Place, database: str) -> None:
    bus, sink = await place.open(), Sink()
    await bus.consume(JOBS, sink.one, 5)
    await bus.consume_batches(EVENTS, sink.many, 5)
    admin = await asyncpg.connect(database)
    await admin.execute(
        """
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()
        """
    )
    await admin.close()
    publisher = await place.open()
    await publisher.publish([Outgoing(JOBS, b"job"), Outgoing(EVENTS, b"event")])
    assert {await sink.bodies.get(), await sink.bodies.get()} == {b"job", b"event"}


async def test_a_notification_that_is_lost_costs_time_only(place: Place, database: str) -> None:
    bus, sink = await place.open(), Sink()
    await bus.consume(JOBS, sink.one, 5)
    await bus.consume_batches(EVENTS, sink.many, 5)
    admin = await asyncpg.connect(database)
    for queue in (JOBS, EVENTS):
        await admin.execute(
            "INSERT INTO bus_messages (queue, body) VALUES ($1, $2)", place.namespace + queue, queue.encode()
        )
    await admin.close()
    assert {await sink.bodies.get(), await sink.bodies.get()} == {JOBS.encode(), EVENTS.encode()}


@pytest.mark.parametrize("queue", [JOBS, EVENTS])
async def test_a_message_that_becomes_visible_late_is_not_skipped(
    place: Place, database: str, queue: str
) -> None:
    bus, sink = await place.open(), Sink()
    await bus.consume(queue, sink.one, 5) if queue == JOBS else await bus.consume_batches(queue, sink.many, 5)
    admin = await asyncpg.connect(database)
    late = admin.transaction()
    await late.start()
    await admin.execute(
        "INSERT INTO bus_messages (queue, body) VALUES ($1, 'lower number')", place.namespace + queue
    )
    await bus.publish([Outgoing(queue, b"higher number")])
    assert await sink.bodies.get() == b"higher number"
    await admin.execute("SELECT pg_notify('headrace_bus', $1)", place.namespace + queue)
    await late.commit()
    await admin.close()
    assert await sink.bodies.get() == b"lower number"


async def test_what_was_taken_behind_a_lost_answer_is_delivered(place: Place, lossy: Lossy) -> None:
    bus, inbox = await place.open(), Inbox()
    await bus.consume(JOBS, inbox.one, 5)
    lossy.left = 1
    await bus.publish([Outgoing(JOBS, b"first")])
    await lossy.all_lost()
    await bus.publish([Outgoing(JOBS, b"second")])
    assert sorted(await inbox.bodies(2)) == [b"first", b"second"]
    await _all_are_done(place)


async def test_a_delivery_that_no_handler_saw_is_not_counted(place: Place, lossy: Lossy) -> None:
    bus, inbox = await place.open(), Inbox()
    lossy.left = MAX_DELIVERIES + 1
    await bus.publish([Outgoing(JOBS, b"unlucky")])
    consumption = await bus.consume(JOBS, inbox.one, 5)
    assert (await inbox.deliveries.get()).redelivered is False
    # The same when the consumption is closed upon a lost answer.
    lossy.left = 1
    await bus.publish([Outgoing(JOBS, b"late")])
    await lossy.all_lost()
    await consumption.close(5)
    if inbox.deliveries.empty():
        await bus.consume(JOBS, inbox.one, 5)
    assert (await inbox.deliveries.get()).redelivered is False
    assert await bus.dead_letters() == []


async def test_what_is_being_handled_is_not_put_back(place: Place, lossy: Lossy) -> None:
    """Not even to another consumer that has places for it."""
    bus, crowd, other, inbox = await place.open(), Crowd(), await place.open(), Inbox()
    await bus.consume(JOBS, crowd.one, 30)
    await bus.publish(numbered(JOBS, 10))
    slow = [await crowd.started.get() for _ in range(10)]
    await other.consume(JOBS, inbox.one, 20)
    for n in range(8):
        lossy.left = 2
        await bus.publish(numbered(JOBS, 5, 10 + 5 * n))
        await lossy.all_lost()
    crowd.let_go(50)
    await _all_are_done(place)
    told = [inbox.deliveries.get_nowait().body for _ in range(inbox.deliveries.qsize())]
    told += slow + [crowd.started.get_nowait() for _ in range(crowd.started.qsize())]
    assert sorted(told) == sorted(numbers(50))


async def test_a_taking_that_comes_late_is_put_back_too(
    place: Place, database: str, lossy: Lossy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server comes to the statement when its asker has given up and has looked."""
    monkeypatch.setattr(work, "POLL_SECONDS", 0.1)
    late = lossy.stuck = await asyncpg.connect(database)
    bus, inbox = await place.open(), Inbox()
    await bus.consume(JOBS, inbox.one, 5)
    while lossy.looks < 2:
        await asyncio.sleep(0.02)  # nothing tells of a look
    async with late.transaction():
        name = place.namespace + JOBS
        await late.execute("INSERT INTO bus_messages (queue, body) VALUES ($1, 'first')", name)
        assert len(await late.fetch(*lossy.asked)) == 1
    await late.close()
    assert await inbox.bodies(1) == [b"first"]
    await _all_are_done(place)
    # And nobody looks any more once its session is gone.
    looks = 0
    while looks < lossy.looks:
        looks = lossy.looks
        await asyncio.sleep(0.5)  # nothing tells of a look that is not taken


async def test_what_lapsed_and_is_ours_again_is_handled_once_at_a_time(place: Place, database: str) -> None:
    bus, crowd = await place.open(), Crowd()
    await bus.consume(JOBS, crowd.one, 5)
    await bus.publish([Outgoing(JOBS, b"slow")])
    await crowd.started.get()
    admin = await asyncpg.connect(database)
    # As another process does that takes us for dead.
    await admin.execute("DELETE FROM bus_consumers; UPDATE bus_messages SET consumer_id = NULL")
    await admin.execute("SELECT pg_notify('headrace_bus', '')")
    while not await admin.fetchval("SELECT bool_and(consumer_id IS NOT NULL) FROM bus_messages"):
        await admin.execute("SELECT pg_notify('headrace_bus', queue) FROM bus_messages")
        await asyncio.sleep(LEASE / 10)  # it is announced again with its next sign of life
    await admin.close()
    await asyncio.sleep(LEASE / 10)  # nothing tells of a message that is not handed out again
    assert crowd.most == 1
    crowd.let_go(5)
    await _all_are_done(place)


async def _all_are_done(place: Place) -> None:
    """Wait until no job is left, neither free nor in anybody's hands."""
    admin = await asyncpg.connect(place.url)
    while await admin.fetchval("SELECT count(*) FROM bus_messages WHERE queue = $1", place.namespace + JOBS):
        await asyncio.sleep(0.02)
    await admin.close()


async def test_a_database_without_the_schema_is_named_as_the_reason(postgres: str) -> None:
    name = f"empty_{uuid.uuid4().hex[:12]}"
    admin = await asyncpg.connect(postgres)
    await admin.execute(f'CREATE DATABASE "{name}"')
    try:
        address = urlunsplit(urlsplit(postgres)._replace(path=f"/{name}"))
        with pytest.raises(BusUnavailable, match="headrace migrate"):
            await open_bus(address, partitions=1)
    finally:
        await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        await admin.close()
