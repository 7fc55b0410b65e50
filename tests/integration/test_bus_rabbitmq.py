"""What is the RabbitMQ adapter's own; what it shares with the other is in tests/contract."""

import asyncio
import contextlib
import subprocess
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import aio_pika
import pytest
import servers
import structlog
from headrace.bus.open import open_bus
from headrace.bus.port import JOBS, Bus, Delivery, Outgoing, events_queue
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


async def test_a_consumer_comes_back_when_its_queue_was_removed_and_made_again(
    rabbitmq_url: str, rabbitmq_namespace: str
) -> None:
    arrived: asyncio.Queue[bytes] = asyncio.Queue()

    async def handle(delivery: Delivery) -> None:
        await arrived.put(delivery.body)

    bus = await open_bus(rabbitmq_url, partitions=2, namespace=rabbitmq_namespace)
    await bus.consume(JOBS, handle, 5)
    with structlog.testing.capture_logs() as noticed:
        async with await aio_pika.connect(rabbitmq_url) as connection:
            channel = await connection.channel()
            await channel.queue_delete(f"{rabbitmq_namespace}jobs")
        while not noticed:
            await asyncio.sleep(0.02)
    other = await open_bus(rabbitmq_url, partitions=2, namespace=rabbitmq_namespace)
    await other.publish([Outgoing(JOBS, b"x")])
    assert await arrived.get() == b"x"
    await other.close()
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
