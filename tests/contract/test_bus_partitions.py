"""What every bus does with a partition: one consumer, strict order, batches."""

import asyncio
from collections.abc import Sequence

from bus_inbox import Inbox, numbered, numbers, reaches
from fixtures_bus import Place
from headrace.bus.port import LINGERS, MAX_DELIVERIES, Bus, Delivery, Outgoing, events_queue

EVENTS = events_queue(0)


async def test_a_partition_keeps_the_published_order(bus: Bus) -> None:
    inbox = Inbox()
    await bus.publish(numbered(EVENTS, 300))
    await bus.consume_batches(EVENTS, inbox.many, 7)
    for first in range(300, 600, 50):
        await bus.publish(numbered(EVENTS, 50, first))
    batches: list[Sequence[Delivery]] = []
    while sum(map(len, batches)) < 600:
        batches.append(await inbox.batches.get())
    assert [d.body for batch in batches for d in batch] == numbers(600)
    assert max(map(len, batches)) <= 7
    await reaches(bus, EVENTS, 0)


async def test_partitions_do_not_wait_for_each_other(bus: Bus) -> None:
    inbox, held = Inbox(), asyncio.Event()

    async def hold(batch: Sequence[Delivery]) -> None:
        await held.wait()

    await bus.consume_batches(events_queue(0), hold, 10)
    await bus.consume_batches(events_queue(1), inbox.many, 10)
    await bus.publish([*numbered(events_queue(0), 5), *numbered(events_queue(1), 5)])
    assert await inbox.batched_bodies(5) == numbers(5)
    held.set()


async def test_a_batch_does_not_wait_to_be_full(bus: Bus) -> None:
    inbox = Inbox()
    await bus.consume_batches(EVENTS, inbox.many, 1000)
    await bus.publish([Outgoing(EVENTS, b"alone")])
    assert [d.body for d in await inbox.batches.get()] == [b"alone"]


async def test_what_nobody_waits_for_is_taken_with_what_comes_behind_it(bus: Bus) -> None:
    inbox = Inbox()
    await bus.consume_batches(EVENTS, inbox.many, 10, linger=60)
    for message in (
        Outgoing(EVENTS, b"0", (LINGERS,)),
        Outgoing(EVENTS, b"1", (LINGERS,)),
        Outgoing(EVENTS, b"2"),
    ):
        await bus.publish([message])
    assert [d.body for d in await inbox.batches.get()] == numbers(3)
    await reaches(bus, EVENTS, 0)


async def test_what_nobody_waits_for_is_taken_when_the_batch_is_full_or_its_time_is_over(bus: Bus) -> None:
    full, late = Inbox(), Inbox()
    await bus.consume_batches(events_queue(0), full.many, 2, linger=60)
    await bus.consume_batches(events_queue(1), late.many, 2, linger=0.05)
    await bus.publish([Outgoing(events_queue(0), body, (LINGERS,)) for body in numbers(2)])
    await bus.publish([Outgoing(events_queue(1), b"0", (LINGERS,))])
    assert [d.body for d in await full.batches.get()] == numbers(2)
    assert [d.body for d in await late.batches.get()] == numbers(1)


async def test_what_lingers_as_a_consumption_closes_is_taken_elsewhere(place: Place) -> None:
    bus, inbox = await place.open(), Inbox()
    lingering = await bus.consume_batches(EVENTS, Inbox().many, 10, linger=60)
    await bus.publish([Outgoing(EVENTS, b"0", (LINGERS,))])
    await lingering.close(grace=30)
    await (await place.open()).consume_batches(EVENTS, inbox.many, 10)
    assert [d.body for d in await inbox.batches.get()] == numbers(1)


async def test_a_failed_batch_comes_again_as_it_was_and_nothing_overtakes(bus: Bus) -> None:
    attempts: asyncio.Queue[list[bytes]] = asyncio.Queue()
    failing = True

    async def handle(batch: Sequence[Delivery]) -> None:
        await attempts.put([d.body for d in batch])
        if failing:
            raise ConnectionError

    await bus.publish(numbered(EVENTS, 5))
    await bus.consume_batches(EVENTS, handle, 3)
    first = await attempts.get()
    await bus.publish(numbered(EVENTS, 5, first=5))
    # More often than a message of a work queue would be delivered.
    for _ in range(MAX_DELIVERIES + 1):
        assert await attempts.get() == first
    failing = False
    rest: list[bytes] = []
    while not rest or rest[-1] != b"9":
        rest += await attempts.get()
    assert [body for body in rest if body not in first] == numbers(10)[len(first) :]
    await reaches(bus, EVENTS, 0)
    assert await bus.dead_letters() == []


async def test_one_consumer_of_a_partition_is_active(place: Place) -> None:
    first, second = Inbox(), Inbox()
    active = await (await place.open()).consume_batches(EVENTS, first.many, 10)
    await (publisher := await place.open()).publish(numbered(EVENTS, 20))
    assert await first.batched_bodies(20) == numbers(20)
    await (await place.open()).consume_batches(EVENTS, second.many, 10)
    await publisher.publish(numbered(EVENTS, 20, first=20))
    assert await first.batched_bodies(20) == numbers(20, first=20)
    await reaches(publisher, EVENTS, 0)
    assert second.batches.empty()
    await active.close(5)
    await publisher.publish(numbered(EVENTS, 20, first=40))
    assert await second.batched_bodies(20) == numbers(20, first=40)
    assert first.batches.empty()


async def test_a_successor_begins_with_what_was_not_acknowledged(place: Place) -> None:
    taken: asyncio.Queue[Sequence[Delivery]] = asyncio.Queue()
    inbox = Inbox()

    async def fail(batch: Sequence[Delivery]) -> None:
        await taken.put(batch)
        raise OSError

    failing = await (await place.open()).consume_batches(EVENTS, fail, 5)
    await (await place.open()).publish(numbered(EVENTS, 30))
    await taken.get()
    await (await place.open()).consume_batches(EVENTS, inbox.many, 5)
    await failing.close()
    assert await inbox.batched_bodies(30) == numbers(30)
