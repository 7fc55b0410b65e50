"""Consuming a work queue: each message on its own, many at once."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from aiormq.abc import DeliveredMessage

from headrace.bus.backoff import pause_after
from headrace.bus.handling import canceled_from_outside, storable_reason
from headrace.bus.port import MAX_DELIVERIES, Delivery, Handler, PutBack, Reject
from headrace.bus.rabbitmq.acks import settle
from headrace.bus.rabbitmq.link import Link
from headrace.bus.rabbitmq.subscription import Feed, Subscription
from headrace.bus.rabbitmq.translate import deliveries_before, to_delivery
from headrace.unforeseen import described

_log = structlog.get_logger(__name__)

Bury = Callable[[Delivery, str], Awaitable[None]]


class WorkConsumption(Subscription):
    """`limit` is the prefetch, so the broker hands out no more than can be handled."""

    def __init__(
        self,
        link: Link,
        name: str,
        queue: str,
        handler: Handler,
        bury: Bury,
        put_back: Handler,
        *,
        limit: int,
        retry_pause: float,
    ) -> None:
        super().__init__(link, name, limit)
        self._queue = queue
        self._handler = handler
        self._bury, self._put_back = bury, put_back
        self._retry_pause = retry_pause
        # Handlers outlive a lost channel, and the next channel's messages come on top of them.
        self._places = asyncio.Semaphore(limit)
        self._handling: set[asyncio.Task[None]] = set()

    def _arrived(self, feed: Feed, message: DeliveredMessage) -> None:
        feed.acks.arrived(message.delivery_tag or 0)
        task = asyncio.create_task(self._handle(feed, message))
        self._handling.add(task)
        task.add_done_callback(self._handling.discard)

    async def _handle(self, feed: Feed, message: DeliveredMessage) -> None:
        delivery = to_delivery(message, self._queue)
        try:
            async with self._places:
                # Of a lost channel, what has not begun will come again.
                if self._closing.is_set() or feed.lost:
                    return
                await self._handler(delivery)
        except Reject as rejected:
            await self._moved(feed, message, self._bury(delivery, storable_reason(rejected)))
        except PutBack:
            # A copy: the broker counts each return of the message itself.
            await self._moved(feed, message, self._put_back(delivery))
        except (Exception, asyncio.CancelledError) as error:
            if canceled_from_outside():
                raise
            await self._return(feed, message, error)
        else:
            feed.acks.done(message.delivery_tag or 0)

    async def _moved(self, feed: Feed, message: DeliveredMessage, moving: Awaitable[None]) -> None:
        try:
            await moving
        except Exception as error:
            await self._return(feed, message, error)
        else:
            feed.acks.done(message.delivery_tag or 0)

    async def _return(self, feed: Feed, message: DeliveredMessage, error: BaseException) -> None:
        """Give it back after a pause, in which it holds its place: what failed needs time, not haste."""
        failures = deliveries_before(message) + 1
        _log.warning(
            "handler failed",
            queue=self._name,
            **described(error),
            delivery=failures,
            of=MAX_DELIVERIES,
        )
        if failures < MAX_DELIVERIES:
            await self._pause(pause_after(failures, self._retry_pause))
        await feed.acks.give_back(message.delivery_tag or 0)

    async def _serve(self, feed: Feed) -> None:
        while not feed.lost and not self._closing.is_set():
            self._news.clear()
            await self._news.wait()

    async def _finish(self, feed: Feed | None) -> None:
        if feed is not None and not feed.lost:
            channel = await feed.channel.get_underlay_channel()
            await settle(channel.basic_cancel(feed.consumer_tag))
        if self._handling:
            await asyncio.wait(set(self._handling))

    async def _abandon(self) -> None:
        handling = set(self._handling)
        for task in handling:
            task.cancel()
        await asyncio.gather(*handling, return_exceptions=True)
