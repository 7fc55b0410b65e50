"""What is the RabbitMQ adapter's own; what it shares with the other is in tests/contract."""

import asyncio
import contextlib
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import aio_pika
import pytest
import servers
from headrace.bus.open import open_bus
from headrace.bus.port import DEAD, JOBS, LOGS, Bus, Delivery, Outgoing, Reject, events_queue
from headrace.bus.rabbitmq.topology import without_limit
from headrace.errors import BusUnavailable

pytestmark = pytest.mark.rabbitmq

EVENTS = events_queue(0)


@dataclass(slots=True)
class Broker:
    """A broker of one test, which may kill it and start it again on the same port and data."""

    module: ModuleType
    port: int
    data: Path

    def running(self) -> AbstractContextManager[str]:
        running: AbstractContextManager[str] = self.module.running(self.port, self.data)
        return running

    async def control(self, *arguments: str) -> None:
        await asyncio.to_thread(self.module.control, self.data, *arguments)


@pytest.fixture
def broker(tmp_path: Path) -> Broker:
    module = servers.local("rabbitmq")
    if not module.program():
        servers.missing("no RabbitMQ on this machine: python deploy/local install rabbitmq")
    return Broker(module, servers.local("child").spare_port(), tmp_path)


async def works(bus: Bus) -> None:
    """Wait until the bus has found its broker again."""
    while True:
        try:
            return await bus.ping()
        except BusUnavailable:
            await asyncio.sleep(0.1)


async def test_a_broker_that_is_killed_keeps_what_it_confirmed_and_is_found_again(broker: Broker) -> None:
    arrived: asyncio.Queue[bytes] = asyncio.Queue()

    async def handle(delivery: Delivery) -> None:
        await arrived.put(delivery.body)

    with broker.running() as url:
        bus = await open_bus(url, partitions=1)
        await bus.consume(JOBS, handle, 5)
        await bus.publish([Outgoing(EVENTS, b"%d" % n) for n in range(50)])
        # RabbitMQ notes within seconds, not at once, where the data of a new queue lies: one that is younger
        # when the broker crashes comes back empty. Nothing tells when it has.
        await asyncio.sleep(4)
        with contextlib.suppress(subprocess.CalledProcessError):
            await broker.control("eval", "erlang:halt(137, [{flush, false}]).")
    with pytest.raises(BusUnavailable):
        await bus.publish([Outgoing(JOBS, b"nobody there")], timeout=1)
    with broker.running():
        await works(bus)
        # The broker listens before its queues have all found their leaders.
        while (await bus.depth(EVENTS)).ready != 50:
            await asyncio.sleep(0.1)
        await bus.publish([Outgoing(JOBS, b"after")])
        assert await arrived.get() == b"after"
        await bus.close()


async def test_a_broker_in_need_holds_publishers_and_lets_consumers_finish(broker: Broker) -> None:
    go_on, started = asyncio.Event(), asyncio.Event()

    async def handle(delivery: Delivery) -> None:
        started.set()
        await go_on.wait()

    with broker.running() as url:
        bus = await open_bus(url, partitions=1)
        await bus.consume(JOBS, handle, 5)
        await bus.publish([Outgoing(JOBS, b"x")])
        await started.wait()
        await broker.control("set_vm_memory_high_watermark", "0.000001")
        # A connection is blocked at its first message after the alarm, of which it hears some time later.
        with contextlib.suppress(BusUnavailable):
            while True:
                await bus.publish([Outgoing(EVENTS, b"perhaps")], timeout=1)
        with pytest.raises(BusUnavailable):
            await bus.publish([Outgoing(EVENTS, b"held")], timeout=1)
        go_on.set()
        while (await bus.depth(JOBS)).ready:
            await asyncio.sleep(0.05)
        await broker.control("set_vm_memory_high_watermark", "0.4")
        await works(bus)
        await bus.publish([Outgoing(EVENTS, b"free")])
        await bus.close()


async def test_queues_that_stand_with_other_arguments_are_used(
    rabbitmq_url: str, rabbitmq_namespace: str
) -> None:
    async with await aio_pika.connect(rabbitmq_url) as connection:
        channel = await connection.channel()
        await channel.declare_queue(
            f"{rabbitmq_namespace}jobs", durable=True, arguments={"x-queue-type": "quorum"}
        )
    bus = await open_bus(rabbitmq_url, partitions=2, namespace=rabbitmq_namespace)
    await bus.publish([Outgoing(JOBS, b"x"), Outgoing(events_queue(1), b"y")])
    assert (await bus.depth(JOBS)).ready == 1
    await bus.close()


async def remove(connection: aio_pika.abc.AbstractConnection, queue: str) -> None:
    """What an operator does by mistake."""
    async with connection.channel() as channel:
        await channel.queue_delete(queue)


async def seen(connection: aio_pika.abc.AbstractConnection, queue: str) -> tuple[int, int]:
    """Messages and consumers of a queue that the bus is not asked about; none while it is not there."""
    with contextlib.suppress(aio_pika.exceptions.ChannelNotFoundEntity):
        async with connection.channel() as channel:
            found = (await channel.declare_queue(queue, passive=True)).declaration_result
            return found.message_count or 0, found.consumer_count or 0
    return 0, 0


async def test_a_queue_that_is_removed_under_its_consumer_is_made_anew(
    rabbitmq_url: str, rabbitmq_namespace: str
) -> None:
    arrived: asyncio.Queue[bytes] = asyncio.Queue()

    async def handle(delivery: Delivery) -> None:
        await arrived.put(delivery.body)

    bus = await open_bus(rabbitmq_url, partitions=2, namespace=rabbitmq_namespace)
    await bus.consume(JOBS, handle, 5)
    async with await aio_pika.connect(rabbitmq_url) as connection:
        await remove(connection, f"{rabbitmq_namespace}jobs")
        while await seen(connection, f"{rabbitmq_namespace}jobs") != (0, 1):
            await asyncio.sleep(0.02)  # the broker tells nobody
    await bus.publish([Outgoing(JOBS, b"x")])
    assert await arrived.get() == b"x"
    await bus.close()


async def test_who_meets_a_removed_queue_has_it_made_anew_and_tries_again(
    rabbitmq_url: str, rabbitmq_namespace: str
) -> None:
    async def ignore(_: Delivery) -> None:
        pass

    bus = await open_bus(rabbitmq_url, partitions=2, namespace=rabbitmq_namespace)
    again: dict[str, Callable[[], Awaitable[object]]] = {
        EVENTS: lambda: bus.publish([Outgoing(EVENTS, b"x")]),
        JOBS: lambda: bus.depth(JOBS),
        DEAD: bus.ping,
        LOGS: lambda: bus.consume(LOGS, ignore, 1),
    }
    async with await aio_pika.connect(rabbitmq_url) as connection:
        for queue, met in again.items():
            await remove(connection, rabbitmq_namespace + queue)
            with pytest.raises(BusUnavailable, match="removed"):
                await met()
            await met()
    assert (await bus.depth(EVENTS)).ready == 1
    await bus.close()


async def test_a_rejected_message_makes_the_queue_of_dead_letters_anew(
    rabbitmq_url: str, rabbitmq_namespace: str
) -> None:
    async def refuse(_: Delivery) -> None:
        raise Reject("not wanted")

    bus = await open_bus(rabbitmq_url, partitions=2, namespace=rabbitmq_namespace, retry_pause=0.01)
    await bus.consume(JOBS, refuse, 5)
    async with await aio_pika.connect(rabbitmq_url) as connection:
        await remove(connection, f"{rabbitmq_namespace}dead")
        await bus.publish([Outgoing(JOBS, b"x")])
        while await seen(connection, f"{rabbitmq_namespace}dead") != (1, 0):
            await asyncio.sleep(0.02)  # the broker tells nobody
    [letter] = await bus.dead_letters()
    assert (letter.reason, letter.body) == ("not wanted", b"x")
    await bus.close()


@pytest.mark.parametrize(
    ("version", "arguments"),
    [
        ("3.10.8", {}),
        ("3.13.7", {}),
        ("4.0.0", {"x-delivery-limit": -1}),
        ("4.3.7-rc.1", {"x-delivery-limit": -1}),
        ("10.0", {"x-delivery-limit": -1}),
        ("", {}),
    ],
)
def test_no_delivery_limit_is_said_in_the_brokers_own_way(version: str, arguments: dict[str, int]) -> None:
    assert without_limit(version) == arguments
