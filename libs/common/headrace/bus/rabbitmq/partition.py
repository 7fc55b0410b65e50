"""Consuming a partition: one active consumer, strict order, batches."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence

from aiormq.abc import DeliveredMessage

from headrace.bus.handling import handle_batch
from headrace.bus.port import BatchHandler, Delivery
from headrace.bus.rabbitmq.link import Link
from headrace.bus.rabbitmq.subscription import Feed, Subscription
from headrace.bus.rabbitmq.translate import lingers, to_delivery


class PartitionConsumption(Subscription):
    """Nothing is ever given back while the channel lives: a return would let what is behind it overtake.

    Nor is the consumer ever cancelled on its own: RabbitMQ would make the next one active while we still hold
    messages. The channel is closed instead, which returns them and hands over in one step.
    """

    def __init__(
        self,
        link: Link,
        name: str,
        queue: str,
        handler: BatchHandler,
        *,
        most: int,
        linger: float,
        retry_pause: float,
    ) -> None:
        # One batch is being handled while the next one arrives.
        super().__init__(link, name, 2 * most)
        self._queue = queue
        self._handler = handler
        self._most = most
        self._linger = linger
        self._retry_pause = retry_pause
        self._waiting: deque[tuple[Feed, DeliveredMessage]] = deque()

    def _arrived(self, feed: Feed, message: DeliveredMessage) -> None:
        self._waiting.append((feed, message))
        self._news.set()

    async def _serve(self, feed: Feed) -> None:
        while not feed.lost and not self._closing.is_set():
            self._news.clear()
            if self._linger and self._waiting:
                await self._gather(feed)
            batch = self._take(feed)
            if not batch:
                await self._news.wait()
                continue
            if not await self._handle(feed, [to_delivery(message, self._queue) for message in batch]):
                return
            await feed.acks.done_through(batch[-1].delivery_tag or 0)

    async def _gather(self, feed: Feed) -> None:
        """Wait for more while there is nothing that anybody waits for."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._linger):
                while len(self._waiting) < self._most and all(
                    lingers(message) for _, message in self._waiting
                ):
                    if feed.lost or self._closing.is_set():
                        return
                    self._news.clear()
                    await self._news.wait()

    def _take(self, feed: Feed) -> Sequence[DeliveredMessage]:
        """What is there, up to a batch. Messages of an earlier channel will come again on this one."""
        batch: list[DeliveredMessage] = []
        while self._waiting and len(batch) < self._most:
            origin, message = self._waiting.popleft()
            if origin is feed:
                batch.append(message)
        return batch

    async def _handle(self, feed: Feed, batch: Sequence[Delivery]) -> bool:
        return await handle_batch(
            self._handler,
            batch,
            ours=lambda: not feed.lost and not self._closing.is_set(),
            pause=self._pause,
            first_pause=self._retry_pause,
        )

    async def _finish(self, feed: Feed | None) -> None:
        """Nothing is left: the handler runs within `_serve`."""

    async def _abandon(self) -> None:
        """Nothing is left: cancelling `_serve` cancelled the handler."""
