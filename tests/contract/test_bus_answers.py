"""What becomes of messages that are handled side by side: each is answered for itself, in whatever order they end."""

import asyncio
from collections import Counter, defaultdict
from random import Random

import pytest
from bus_inbox import Inbox, numbered, numbers, reaches
from fixtures_bus import Place
from headrace.bus.port import DEAD, JOBS, Delivery, Reject

COUNT = 60
OPEN, FAILING, REJECTED = numbers(3), numbers(3, first=20), numbers(3, first=40)


@pytest.mark.parametrize("seed", range(3))
async def test_only_what_is_not_finished_comes_again_in_whatever_order_the_rest_ends(
    place: Place, seed: int
) -> None:
    random = Random(seed)
    ends: defaultdict[bytes, asyncio.Event] = defaultdict(asyncio.Event)
    handled: Counter[bytes] = Counter()
    begun: asyncio.Queue[bytes] = asyncio.Queue()

    async def handle(delivery: Delivery) -> None:
        handled[delivery.body] += 1
        await begun.put(delivery.body)
        await ends[delivery.body].wait()
        if delivery.body in FAILING and not delivery.redelivered:
            raise ValueError
        if delivery.body in REJECTED:
            raise Reject("not a message of ours")

    bus = await place.open()
    consumption = await bus.consume(JOBS, handle, COUNT)
    await bus.publish(numbered(JOBS, COUNT))
    for _ in range(COUNT):
        await begun.get()
    order = [body for body in numbers(COUNT) if body not in OPEN]
    random.shuffle(order)
    for body in order:
        ends[body].set()
        if random.random() < 0.3:  # some end together, others within one answer's company, or after it
            await asyncio.sleep(random.random() * 0.02)
    for _ in FAILING:
        await begun.get()
    await reaches(bus, DEAD, len(REJECTED))
    await consumption.close(grace=0.5)  # the answers to the rejected ones are on their way
    assert handled == Counter({**dict.fromkeys(numbers(COUNT), 1), **dict.fromkeys(FAILING, 2)})
    await comes_again(place, OPEN)


async def test_what_is_finished_as_a_consumption_closes_does_not_come_again(place: Place) -> None:
    ended: asyncio.Queue[bytes] = asyncio.Queue()
    hanging: asyncio.Queue[bytes] = asyncio.Queue()

    async def handle(delivery: Delivery) -> None:
        if int(delivery.body) % 2:
            await hanging.put(delivery.body)
            await asyncio.Event().wait()
        await ended.put(delivery.body)

    bus = await place.open()
    consumption = await bus.consume(JOBS, handle, 10)
    await bus.publish(numbered(JOBS, 10))
    begun = [await hanging.get() for _ in range(5)]
    for _ in range(5):
        await ended.get()
    await consumption.close()  # at once: nobody has waited for the answers
    await comes_again(place, begun)


async def comes_again(place: Place, bodies: list[bytes]) -> None:
    """These, and nothing else, lie in the queue."""
    bus, inbox = await place.open(), Inbox()
    await bus.consume(JOBS, inbox.one, COUNT)
    assert sorted(await inbox.bodies(len(bodies))) == sorted(bodies)
    await bus.publish(numbered(JOBS, 1, first=99))
    assert await inbox.bodies(1) == [b"99"]
