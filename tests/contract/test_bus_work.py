"""What every bus does with a work queue: each message on its own, many at once."""

import asyncio
from collections import Counter

import pytest
from bus_inbox import Crowd, Inbox, numbered, numbers, reaches
from fixtures_bus import Place
from headrace.bus.port import (
    DEAD,
    DELIVERY_LIMIT,
    JOBS,
    LOGS,
    MAX_DELIVERIES,
    Bus,
    Delivery,
    Outgoing,
    PutBack,
    Reject,
)


async def test_no_more_than_the_limit_are_handled_at_once(bus: Bus) -> None:
    crowd = Crowd()
    await bus.consume(JOBS, crowd.one, 3)
    await bus.publish(numbered(JOBS, 8))
    for _ in range(3):
        await crowd.started.get()
    # What was not taken waits in the queue, where another consumer could have it.
    await reaches(bus, JOBS, 5, consumers=1)
    crowd.let_go(8)
    for _ in range(5):
        await crowd.started.get()
    assert crowd.most == 3


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
    inbox = Inbox()
    for _ in range(2):
        await (await place.open()).consume(JOBS, inbox.one, 5)
    publisher = await place.open()
    assert (await publisher.depth(JOBS)).consumers == 2
    await publisher.publish(numbered(JOBS, 200))
    assert sorted(await inbox.bodies(200)) == sorted(numbers(200))
    await reaches(publisher, JOBS, 0)
    assert inbox.deliveries.empty()


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


async def test_what_is_put_back_is_as_good_as_new(bus: Bus) -> None:
    """However often: it does not become a dead letter, and keeps nobody from their places."""
    deliveries: list[Delivery] = []
    done: asyncio.Queue[bytes] = asyncio.Queue()

    async def handle(delivery: Delivery) -> None:
        if delivery.body == b"0":
            deliveries.append(delivery)
            if len(deliveries) < 2 * MAX_DELIVERIES:
                raise PutBack
        await done.put(delivery.body)

    await bus.consume(LOGS, handle, 1)
    await bus.publish([Outgoing(LOGS, b"0", (("a", "b"),)), Outgoing(LOGS, b"1")])
    assert {await done.get(), await done.get()} == {b"0", b"1"}
    await reaches(bus, LOGS, 0)
    assert (await bus.depth(DEAD)).ready == 0
    assert {(each.redelivered, each.headers) for each in deliveries} == {(False, (("a", "b"),))}
    assert len(deliveries) == 2 * MAX_DELIVERIES


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
