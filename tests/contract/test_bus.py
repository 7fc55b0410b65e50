"""What every bus does with what is published, and as it closes; `headrace.bus.port` is the contract. Faults are in
test_bus_faults."""

import asyncio

import pytest
from bus_inbox import Inbox, numbered, numbers, reaches
from fixtures_bus import Place
from headrace.bus.port import (
    DEAD,
    JOBS,
    LOGS,
    MAX_MESSAGE_BYTES,
    Bus,
    Delivery,
    Depth,
    Outgoing,
    Reject,
    events_queue,
    jobs_queue,
)
from headrace.errors import MessageTooLarge, NotFound

EVENTS = events_queue(0)


async def test_a_message_arrives_as_it_was_published(bus: Bus) -> None:
    inbox = Inbox()
    await bus.consume(JOBS, inbox.one, 10)
    body = bytes(range(256))
    headers = (("traceparent", "00-ab-cd-01"), ("word", "zażółć"))
    await bus.publish([Outgoing(JOBS, body, headers)])
    arrived = await inbox.deliveries.get()
    assert (arrived.queue, arrived.body, arrived.redelivered) == (JOBS, body, False)
    assert sorted(arrived.headers) == sorted(headers)


async def test_an_empty_body_arrives(bus: Bus) -> None:
    inbox = Inbox()
    await bus.consume(LOGS, inbox.one, 1)
    await bus.publish([Outgoing(LOGS, b"")])
    assert await inbox.bodies(1) == [b""]


async def test_publish_returns_when_all_is_in_its_queue(bus: Bus) -> None:
    await bus.publish([*numbered(JOBS, 600), *numbered(EVENTS, 3)])
    assert await bus.depth(JOBS) == Depth(ready=600, consumers=0)
    assert await bus.depth(EVENTS) == Depth(ready=3, consumers=0)


async def test_publishing_nothing_does_nothing(bus: Bus) -> None:
    await bus.publish([])
    assert (await bus.depth(JOBS)).ready == 0


async def test_the_largest_message_passes_and_one_byte_more_does_not(bus: Bus) -> None:
    inbox = Inbox()
    await bus.consume_batches(EVENTS, inbox.many, 1)
    largest = b"x" * MAX_MESSAGE_BYTES
    with pytest.raises(MessageTooLarge):
        await bus.publish([Outgoing(EVENTS, b"before"), Outgoing(EVENTS, largest + b"x")])
    await bus.publish([Outgoing(EVENTS, largest)])
    # The refused batch left nothing behind, not even what was small enough.
    assert await inbox.batched_bodies(1) == [largest]


async def test_a_missing_queue_is_an_error_everywhere(bus: Bus) -> None:
    inbox = Inbox()
    for call in (
        bus.publish([Outgoing(events_queue(99), b"x")]),
        bus.depth(events_queue(99)),
        bus.consume("nowhere", inbox.one, 1),
        bus.consume_batches(events_queue(99), inbox.many, 1),
    ):
        with pytest.raises(NotFound):
            await call
    await bus.publish([Outgoing(JOBS, b"works on")])
    assert (await bus.depth(JOBS)).ready == 1


async def test_many_publishers_at_once_lose_nothing(bus: Bus) -> None:
    inbox = Inbox()
    await bus.consume(JOBS, inbox.one, 50)
    await asyncio.gather(*(bus.publish(numbered(JOBS, 10, first)) for first in range(0, 500, 10)))
    assert sorted(await inbox.bodies(500)) == sorted(numbers(500))


async def test_each_pool_has_a_queue_of_its_own(place: Place) -> None:
    bus, inbox = await place.open(), Inbox()
    queue = jobs_queue("eu")
    with pytest.raises(NotFound):
        await bus.publish([Outgoing(queue, b"too early")])
    await bus.add_pool("eu")
    await bus.add_pool("eu")
    await bus.publish([Outgoing(queue, b"there"), Outgoing(JOBS, b"here"), Outgoing(queue, b"bad")])
    assert ((await bus.depth(queue)).ready, (await bus.depth(JOBS)).ready) == (2, 1)

    async def handle(delivery: Delivery) -> None:
        if delivery.body == b"bad":
            raise Reject("unreadable")
        await inbox.one(delivery)

    taking = await place.open(pool="eu")
    await taking.consume(queue, handle, 1)
    assert (await inbox.deliveries.get()).queue == queue
    while not (letters := await bus.dead_letters()):
        await asyncio.sleep(0.02)  # nothing tells of a dead letter
    assert [(letter.queue, letter.reason) for letter in letters] == [(queue, "unreadable")]
    assert (await bus.depth(JOBS)).ready == 1


async def test_namespaces_are_apart(place: Place) -> None:
    here, there = await place.open(), await place.open(namespace=f"{place.namespace}other.")
    await here.publish([Outgoing(JOBS, b"here"), Outgoing(DEAD, b"a letter")])
    assert (await there.depth(JOBS)).ready == 0
    assert await there.dead_letters() == []
    assert (await here.depth(JOBS)).ready == 1


async def test_opening_again_finds_what_is_there(place: Place) -> None:
    first = await place.open()
    await first.publish(numbered(EVENTS, 2))
    await first.close()
    second = await place.open()
    assert (await second.depth(EVENTS)).ready == 2


async def test_closing_waits_for_handlers_within_the_grace(bus: Bus) -> None:
    for queue, consume in ((JOBS, bus.consume), (EVENTS, bus.consume_batches)):
        started, go_on, finished = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def handle(
            _: object,
            started: asyncio.Event = started,
            go_on: asyncio.Event = go_on,
            done: asyncio.Event = finished,
        ) -> None:
            started.set()
            await go_on.wait()
            done.set()

        consumption = await consume(queue, handle, 5)  # type: ignore[operator]
        await bus.publish([Outgoing(queue, b"x")])
        await started.wait()
        closing = asyncio.create_task(consumption.close(30))
        await asyncio.sleep(0)
        go_on.set()
        await closing
        assert finished.is_set()
        await reaches(bus, queue, 0)
        await consumption.close()


async def test_what_a_closed_consumption_did_not_finish_is_delivered_elsewhere(place: Place) -> None:
    started: asyncio.Queue[bytes] = asyncio.Queue()
    canceled: list[bytes] = []

    async def hang(delivery: Delivery) -> None:
        await started.put(delivery.body)
        try:
            await asyncio.Event().wait()
        finally:
            canceled.append(delivery.body)

    bus, inbox = await place.open(), Inbox()
    consumption = await bus.consume(JOBS, hang, 3)
    await bus.publish(numbered(JOBS, 5))
    for _ in range(3):
        await started.get()
    await consumption.close()
    assert len(canceled) == 3
    await reaches(bus, JOBS, 5, consumers=0)
    await (await place.open()).consume(JOBS, inbox.one, 10)
    assert sorted(await inbox.bodies(5)) == numbers(5)


async def test_closing_the_bus_closes_its_consumptions(place: Place) -> None:
    inbox, other = Inbox(), await place.open()
    bus = await place.open()
    await bus.consume(JOBS, inbox.one, 3)
    await bus.consume_batches(EVENTS, inbox.many, 3)
    await bus.close()
    await bus.close()
    await other.publish([Outgoing(JOBS, b"x"), Outgoing(EVENTS, b"x")])
    await reaches(other, JOBS, 1, consumers=0)
    await reaches(other, EVENTS, 1, consumers=0)


async def test_a_bus_that_works_answers_a_ping(bus: Bus) -> None:
    await bus.ping()
