"""Handlers that keep what a bus gives them, and messages that are told apart."""

import asyncio
from collections.abc import Sequence

from headrace.bus.port import Bus, Delivery, Outgoing


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


class Crowd:
    """A handler that holds what it is given until it is let go, and counts how many it had at once."""

    def __init__(self) -> None:
        self.started: asyncio.Queue[bytes] = asyncio.Queue()
        self.most = 0
        self._under_way = 0
        self._places = asyncio.Semaphore(0)

    async def one(self, delivery: Delivery) -> None:
        self._under_way += 1
        self.most = max(self.most, self._under_way)
        await self.started.put(delivery.body)
        await self._places.acquire()
        self._under_way -= 1

    def let_go(self, count: int) -> None:
        for _ in range(count):
            self._places.release()


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
