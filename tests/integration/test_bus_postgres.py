"""What is the Postgres adapter's own; what it shares with the other is in tests/contract."""

import asyncio
import uuid
from collections.abc import Sequence
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from fixtures_bus import Place
from headrace.bus.open import open_bus
from headrace.bus.port import JOBS, Delivery, Outgoing, events_queue
from headrace.errors import BusUnavailable

EVENTS = events_queue(0)


@pytest.fixture
def bus_address(database: str) -> tuple[str, str]:
    """Only this kind of bus."""
    return "postgres", database


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
    assert {row["relname"] for row in seen} == {"bus_queues", "bus_consumers", "bus_messages"}
    assert strangers == []


async def test_the_sessions_of_the_bus_act_as_its_role(place: Place, database: str) -> None:
    bus = await place.open(name="observed")
    await bus.consume_batches(EVENTS, Sink().many, 5)
    connection = await asyncpg.connect(database)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("SET ROLE headrace_bus; SELECT * FROM tenants")
    await connection.close()


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
