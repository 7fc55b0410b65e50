"""What becomes of messages that are handled side by side: each is answered for itself, in whatever order they end."""

import asyncio
from collections import Counter, defaultdict
from random import Random

from fixtures_bus import Place
from headrace.bus.port import DEAD, JOBS, Delivery, Outgoing, Reject

COUNT = 60
OPEN, FAILING, REJECTED = range(3), range(20, 23), range(40, 43)


async def test_only_what_is_not_finished_comes_again_in_whatever_order_the_rest_ends(place: Place) -> None:
    for seed in range(3):
        await ends_in_the_order_of(place, Random(seed))


async def ends_in_the_order_of(place: Place, random: Random) -> None:
    ends: defaultdict[int, asyncio.Event] = defaultdict(asyncio.Event)
    handled: Counter[int] = Counter()
    ended: asyncio.Queue[int] = asyncio.Queue()
    begun: asyncio.Queue[int] = asyncio.Queue()

    async def handle(delivery: Delivery) -> None:
        number = int(delivery.body)
        handled[number] += 1
        await begun.put(number)
        await ends[number].wait()
        await ended.put(number)
        if number in FAILING and not delivery.redelivered:
            raise ValueError
        if number in REJECTED:
            raise Reject("not a message of ours")

    bus = await place.open()
    letters = len(await bus.dead_letters())
    consumption = await bus.consume(JOBS, handle, COUNT)
    await bus.publish([Outgoing(JOBS, b"%d" % number) for number in range(COUNT)])
    for _ in range(COUNT):
        await begun.get()
    order = [number for number in range(COUNT) if number not in OPEN]
    random.shuffle(order)
    for number in order:
        ends[number].set()
        if random.random() < 0.3:  # some end together
            await asyncio.sleep(random.random() * 0.02)
    # Each once, and those that failed once more.
    for _ in range(len(order) + len(FAILING)):
        await ended.get()
    while (await bus.depth(DEAD)).ready != letters + len(REJECTED):
        await asyncio.sleep(0.02)
    await consumption.close(grace=0.5)  # the answers to the rejected ones are on their way
    assert handled == Counter({**dict.fromkeys(range(COUNT), 1), **dict.fromkeys(FAILING, 2)})

    again: asyncio.Queue[int] = asyncio.Queue()

    async def take(delivery: Delivery) -> None:
        await again.put(int(delivery.body))

    other = await place.open()
    following = await other.consume(JOBS, take, COUNT)
    assert sorted([await again.get() for _ in OPEN]) == list(OPEN)
    await other.publish([Outgoing(JOBS, b"99")])
    assert await again.get() == 99  # and nothing was between
    await following.close(grace=5)


async def test_what_is_finished_as_a_consumption_closes_does_not_come_again(place: Place) -> None:
    ended: asyncio.Queue[int] = asyncio.Queue()
    hanging: asyncio.Queue[int] = asyncio.Queue()

    async def handle(delivery: Delivery) -> None:
        number = int(delivery.body)
        if number % 2:
            await hanging.put(number)
            await asyncio.Event().wait()
        await ended.put(number)

    bus = await place.open()
    consumption = await bus.consume(JOBS, handle, 10)
    await bus.publish([Outgoing(JOBS, b"%d" % number) for number in range(10)])
    begun = sorted([await hanging.get() for _ in range(5)])
    for _ in range(5):
        await ended.get()
    await consumption.close()  # at once: nobody has waited for the answers

    again: asyncio.Queue[int] = asyncio.Queue()

    async def take(delivery: Delivery) -> None:
        await again.put(int(delivery.body))

    other = await place.open()
    await other.consume(JOBS, take, 10)
    assert sorted([await again.get() for _ in range(5)]) == begun
    await other.publish([Outgoing(JOBS, b"99")])
    assert await again.get() == 99
