"""What every bus does when a consumer dies, the connection is lost, or the server does not answer."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from bus_inbox import Crowd, numbered, numbers, reaches
from fixtures_bus import LEASE, Place
from headrace.bus.port import (
    DEAD,
    DELIVERY_LIMIT,
    JOBS,
    MAX_DELIVERIES,
    Bus,
    Delivery,
    Outgoing,
    events_queue,
)
from headrace.errors import BusUnavailable

EVENTS = events_queue(0)
VICTIM = Path(__file__).with_name("bus_victim.py")


async def answers(bus: Bus) -> None:
    """Wait until a bus has found its server again."""
    while True:
        try:
            return await bus.ping()
        except BusUnavailable:
            await asyncio.sleep(0.05)


class Sink:
    """Handlers that put bodies into one queue."""

    def __init__(self) -> None:
        self.bodies: asyncio.Queue[bytes] = asyncio.Queue()

    async def one(self, delivery: Delivery) -> None:
        await self.bodies.put(delivery.body)

    async def many(self, batch: Sequence[Delivery]) -> None:
        for delivery in batch:
            await self.bodies.put(delivery.body)

    async def until(self, last: bytes) -> list[bytes]:
        """All that came, up to the first `last`."""
        found: list[bytes] = []
        while not found or found[-1] != last:
            found.append(await self.bodies.get())
        return found


class Victim:
    """Another process with a consumer that takes and never finishes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def took(self) -> bytes:
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).strip()

    async def die(self) -> None:
        self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def victim(place: Place, queue: str) -> AsyncIterator[Victim]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        VICTIM,
        place.url,
        place.namespace,
        queue,
        str(LEASE),
        stdout=asyncio.subprocess.PIPE,
    )
    each = Victim(process)
    try:
        yield each
    finally:
        if process.returncode is None:
            await each.die()


# A consumer dies


async def test_what_a_killed_consumer_held_is_delivered_to_another(place: Place) -> None:
    bus, sink = await place.open(), Sink()
    async with victim(place, JOBS) as other:
        await bus.publish(numbered(JOBS, 5))
        taken = {await other.took() for _ in range(3)}
        redelivered: set[bytes] = set()

        async def handle(delivery: Delivery) -> None:
            if delivery.redelivered:
                redelivered.add(delivery.body)
            await sink.one(delivery)

        await bus.consume(JOBS, handle, 10)
        rest = {await sink.bodies.get() for _ in range(2)}
        assert rest == set(numbers(5)) - taken
        await other.die()
    assert {await sink.bodies.get() for _ in range(3)} == taken
    assert redelivered == taken


async def test_a_message_that_kills_its_consumers_becomes_a_dead_letter(place: Place) -> None:
    bus = await place.open()
    # Somebody must be there to notice the deaths; it consumes elsewhere.
    await bus.consume_batches(EVENTS, Sink().many, 1)
    await bus.publish([Outgoing(JOBS, b"poison")])
    for _ in range(MAX_DELIVERIES):
        async with victim(place, JOBS) as other:
            assert await other.took() == b"poison"
    await reaches(bus, DEAD, 1)
    [letter] = await bus.dead_letters()
    assert (letter.queue, letter.reason, letter.body) == (JOBS, DELIVERY_LIMIT, b"poison")


async def test_a_killed_consumer_of_a_partition_is_followed_without_gap_or_overtaking(place: Place) -> None:
    bus, sink = await place.open(), Sink()
    async with victim(place, EVENTS) as active:
        await bus.publish(numbered(EVENTS, 40))
        assert (await active.took()).startswith(b"0")
        await bus.consume_batches(EVENTS, sink.many, 7)
        await bus.publish(numbered(EVENTS, 40, first=40))
        assert sink.bodies.empty()
        await active.die()
    assert await sink.until(b"79") == numbers(80)


# The connection is lost


def in_order(bodies: Sequence[bytes]) -> bool:
    """Whether each message but for redeliveries follows its forerunner: never one beyond the next new one."""
    highest = -1
    for number in map(int, bodies):
        if number > highest + 1:
            return False
        highest = max(highest, number)
    return True


async def test_a_consumer_goes_on_after_its_connection_was_cut(place: Place) -> None:
    publisher, sink = await place.open(), Sink()
    consumer = await place.open(through_proxy=True)
    await consumer.consume(JOBS, sink.one, 5)
    for first in range(0, 60, 20):
        await publisher.publish(numbered(JOBS, 20, first))
        wanted = set(numbers(20, first))
        while wanted:
            wanted.discard(await sink.bodies.get())
        place.proxy.cut()
    await reaches(publisher, JOBS, 0)
    assert await publisher.dead_letters() == []


async def test_a_partition_stays_in_order_while_its_connection_is_cut_again_and_again(place: Place) -> None:
    publisher, sink = await place.open(), Sink()
    consumer = await place.open(through_proxy=True)
    await consumer.consume_batches(EVENTS, sink.many, 3)
    arrived: list[bytes] = []
    for first in range(0, 150, 50):
        await publisher.publish(numbered(EVENTS, 50, first))
        arrived += await sink.until(b"%d" % (first + 20))
        place.proxy.cut()
    while set(arrived) != set(numbers(150)):
        arrived.append(await sink.bodies.get())
    assert in_order(arrived)
    await reaches(publisher, EVENTS, 0)


async def test_a_handler_that_outlives_its_connection_is_not_doubled_beyond_the_limit(place: Place) -> None:
    publisher = await place.open()
    consumer = await place.open(through_proxy=True)
    crowd = Crowd()
    await consumer.consume(JOBS, crowd.one, 3)
    await publisher.publish(numbered(JOBS, 6))
    for _ in range(3):
        await crowd.started.get()
    place.proxy.cut()
    await answers(consumer)
    crowd.let_go(9)  # those of the lost connection, and all six that come again
    await reaches(publisher, JOBS, 0)
    assert crowd.most == 3


# The server is away


async def test_publishing_without_a_server_fails_at_the_deadline_and_works_again_after(place: Place) -> None:
    bus = await place.open(through_proxy=True)
    await bus.publish(numbered(JOBS, 1))
    await place.proxy.stop()
    for _ in range(2):
        with pytest.raises(BusUnavailable):
            await bus.publish(numbered(JOBS, 1), timeout=0.5)
    with pytest.raises(BusUnavailable):
        await bus.ping()
    await place.proxy.start()
    await bus.publish(numbered(JOBS, 2, first=1))
    await bus.ping()
    assert (await (await place.open()).depth(JOBS)).ready == 3


async def test_publishing_into_silence_fails_at_the_deadline_and_works_again_after(place: Place) -> None:
    bus = await place.open(through_proxy=True)
    await bus.publish(numbered(JOBS, 1))
    place.proxy.stall()
    # The test's own time limit is what a wait for ever would meet.
    for _ in range(2):
        with pytest.raises(BusUnavailable):
            await bus.publish(numbered(EVENTS, 3), timeout=0.5)
    place.proxy.flow()
    await bus.publish(numbered(JOBS, 2, first=1), timeout=20)
    assert (await (await place.open()).depth(JOBS)).ready == 3


async def test_consumers_go_on_after_the_server_was_away(place: Place) -> None:
    publisher, sink = await place.open(), Sink()
    consumer = await place.open(through_proxy=True)
    await consumer.consume(JOBS, sink.one, 5)
    await consumer.consume_batches(EVENTS, sink.many, 5)
    await place.proxy.stop()
    await publisher.publish([Outgoing(JOBS, b"job"), Outgoing(EVENTS, b"event")])
    await asyncio.sleep(LEASE)
    await place.proxy.start()
    assert {await sink.bodies.get(), await sink.bodies.get()} == {b"job", b"event"}
    await reaches(publisher, JOBS, 0)
    await reaches(publisher, EVENTS, 0)


async def test_opening_without_a_server_says_so(place: Place) -> None:
    await place.proxy.stop()
    with pytest.raises(BusUnavailable):
        await place.open(through_proxy=True)


async def test_closing_without_a_server_ends(place: Place) -> None:
    bus, sink = await place.open(through_proxy=True), Sink()
    await bus.consume(JOBS, sink.one, 5)
    await bus.consume_batches(EVENTS, sink.many, 5)
    await place.proxy.stop()
    await bus.close()
    with pytest.raises(BusUnavailable):
        await bus.publish(numbered(JOBS, 1), timeout=1)
