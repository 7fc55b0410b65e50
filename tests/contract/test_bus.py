"""What every bus does; `headrace.bus.port` is the contract. Faults are in test_bus_faults."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest
from fixtures_bus import Place
from headrace.bus.port import (
    DEAD,
    DELIVERY_LIMIT,
    JOBS,
    LINGERS,
    LOGS,
    MAX_DELIVERIES,
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


class Inbox:
    """Handlers that keep what they are given."""

    def __init__(self) -> None:
        self.deliveries: asyncio.Queue[Delivery] = asyncio.Queue()
        self.batches: asyncio.Queue[Sequence[Delivery]] = asyncio.Queue()

    async def one(self, delivery: Delivery) -> None:
        await self.deliveries.put(delivery)

    async def many(self, batch: Sequence[Delivery]) -> None:
        await self.batches.put(batch)

    async def bodies(self, count: int) -> list[bytes]:
        return [(await self.deliveries.get()).body for _ in range(count)]

    async def batched_bodies(self, count: int) -> list[bytes]:
        found: list[bytes] = []
        while len(found) < count:
            found += [d.body for d in await self.batches.get()]
        return found


def numbered(queue: str, count: int, first: int = 0) -> list[Outgoing]:
    return [Outgoing(queue, b"%d" % n) for n in range(first, first + count)]


def numbers(count: int, first: int = 0) -> list[bytes]:
    return [b"%d" % n for n in range(first, first + count)]


async def reaches(bus: Bus, queue: str, ready: int, consumers: int | None = None) -> None:
    """Wait until a queue holds so many messages, and has so many consumers: some moves are made by the bus in its own
    time."""
    while True:
        depth = await bus.depth(queue)
        if depth.ready == ready and consumers in (None, depth.consumers):
            return
        await asyncio.sleep(0.02)


# Publishing


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


# Work queues


async def test_no_more_than_the_limit_are_handled_at_once(bus: Bus) -> None:
    started: asyncio.Queue[bytes] = asyncio.Queue()
    finish = asyncio.Semaphore(0)
    under_way = most = 0

    async def handle(delivery: Delivery) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await started.put(delivery.body)
        await finish.acquire()
        under_way -= 1

    await bus.consume(JOBS, handle, 3)
    await bus.publish(numbered(JOBS, 8))
    for _ in range(3):
        await started.get()
    # What was not taken waits in the queue, where another consumer could have it.
    await reaches(bus, JOBS, 5, consumers=1)
    for _ in range(8):
        finish.release()
    for _ in range(5):
        await started.get()
    assert most == 3


async def test_a_slow_handler_holds_only_its_own_place(bus: Bus) -> None:
    done: asyncio.Queue[bytes] = asyncio.Queue()
    slow = asyncio.Event()

    async def handle(delivery: Delivery) -> None:
        if delivery.body == b"0":
            await slow.wait()
        await done.put(delivery.body)

    await bus.consume(JOBS, handle, 2)
    await bus.publish(numbered(JOBS, 20))
    assert sorted([await done.get() for _ in range(19)]) == sorted(numbers(19, first=1))
    slow.set()
    assert await done.get() == b"0"


async def test_each_message_goes_to_one_of_many_consumers(place: Place) -> None:
    inboxes = [Inbox(), Inbox()]
    for inbox in inboxes:
        await (await place.open()).consume(JOBS, inbox.one, 5)
    publisher = await place.open()
    assert (await publisher.depth(JOBS)).consumers == 2
    await publisher.publish(numbered(JOBS, 200))

    async def finished() -> None:
        while sum(i.deliveries.qsize() for i in inboxes) < 200 or (await publisher.depth(JOBS)).ready:
            await asyncio.sleep(0.02)

    await finished()
    handled = [body for inbox in inboxes for body in await inbox.bodies(inbox.deliveries.qsize())]
    assert sorted(handled) == sorted(numbers(200))


@pytest.mark.parametrize(
    "error", [ValueError("no"), asyncio.CancelledError("left over"), ExceptionGroup("", [OSError()])]
)
async def test_a_failed_message_is_delivered_again(bus: Bus, error: BaseException) -> None:
    seen: asyncio.Queue[Delivery] = asyncio.Queue()

    async def handle(delivery: Delivery) -> None:
        await seen.put(delivery)
        if not delivery.redelivered:
            raise error

    await bus.consume(JOBS, handle, 5)
    await bus.publish([Outgoing(JOBS, b"x", (("a", "b"),))])
    first, second = await seen.get(), await seen.get()
    assert (first.redelivered, second.redelivered) == (False, True)
    assert (second.queue, second.body, second.headers) == (first.queue, first.body, first.headers)
    await reaches(bus, JOBS, 0)
    assert seen.empty()


async def test_poison_becomes_a_dead_letter_and_its_neighbours_pass(bus: Bus) -> None:
    counts: Counter[bytes] = Counter()

    async def handle(delivery: Delivery) -> None:
        counts[delivery.body] += 1
        if delivery.body == b"3":
            raise ValueError

    await bus.consume(JOBS, handle, 2)
    await bus.publish(numbered(JOBS, 10))
    await reaches(bus, DEAD, 1)
    [letter] = await bus.dead_letters()
    assert (letter.queue, letter.reason, letter.body) == (JOBS, DELIVERY_LIMIT, b"3")
    assert counts == Counter({**dict.fromkeys(numbers(10), 1), b"3": MAX_DELIVERIES})


async def test_a_rejected_message_is_a_dead_letter_at_once(bus: Bus) -> None:
    deliveries = 0

    async def handle(delivery: Delivery) -> None:
        nonlocal deliveries
        deliveries += 1
        raise Reject("not a message of ours: ż")

    await bus.consume(LOGS, handle, 1)
    await bus.publish([Outgoing(LOGS, b"\x00\xff")])
    await reaches(bus, DEAD, 1)
    [letter] = await bus.dead_letters()
    assert (letter.queue, letter.reason, letter.body) == (LOGS, "not a message of ours: ż", b"\x00\xff")
    await reaches(bus, LOGS, 0)
    assert deliveries == 1


@pytest.mark.parametrize("reason", ["", "a\0b", "\ud800", "long " * 100_000])
async def test_any_reason_makes_a_dead_letter(bus: Bus, reason: str) -> None:
    async def handle(delivery: Delivery) -> None:
        raise Reject(reason)

    await bus.consume(JOBS, handle, 1)
    await bus.publish(numbered(JOBS, 1))
    await reaches(bus, DEAD, 1)
    [letter] = await bus.dead_letters()
    assert letter.body == b"0"
    assert len(letter.reason) <= 1000


async def test_dead_letters_are_seen_oldest_first_and_stay(bus: Bus) -> None:
    async def handle(delivery: Delivery) -> None:
        raise Reject(delivery.body.decode())

    consumption = await bus.consume(JOBS, handle, 1)
    for message in numbered(JOBS, 5):
        await bus.publish([message])
    await reaches(bus, DEAD, 5)
    await consumption.close(5)
    # Looked at more often than a message may be delivered.
    for _ in range(MAX_DELIVERIES + 2):
        assert [letter.body for letter in await bus.dead_letters()] == numbers(5)
    assert [letter.reason for letter in await bus.dead_letters(most=2)] == ["0", "1"]
    await reaches(bus, DEAD, 5)


# Partitions


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


# Closing


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
