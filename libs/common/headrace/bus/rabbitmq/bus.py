"""The RabbitMQ adapter: publishes, hands out consumptions, asks the broker."""

import asyncio
from collections.abc import Sequence
from typing import NoReturn, Self
from uuid import UUID

import aio_pika
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import PublishError
from aiormq.abc import AbstractChannel

from headrace.bus.limits import check_sizes
from headrace.bus.names import Names
from headrace.bus.port import (
    DEAD,
    BatchHandler,
    Consumption,
    DeadLetter,
    Delivery,
    Depth,
    Handler,
    Outgoing,
)
from headrace.bus.rabbitmq.link import ASK_SECONDS, KeptChannel, Link, close_channel, deadline
from headrace.bus.rabbitmq.ownership import Ownership
from headrace.bus.rabbitmq.partition import PartitionConsumption
from headrace.bus.rabbitmq.subscription import Subscription
from headrace.bus.rabbitmq.topology import Topology
from headrace.bus.rabbitmq.translate import dead_to_amqp, properties_of, to_dead_letter
from headrace.bus.rabbitmq.work import WorkConsumption
from headrace.errors import BusUnavailable, ForeignQueues, NotFound

# Messages on the wire before the first confirm is waited for.
WINDOW = 256
# Messages handed over at a time. The client's writer keeps ten, and what has to wait for a place is written one in each
# turn of the loop.
TOGETHER = 8


class RabbitmqBus:
    """`headrace.bus.port.Bus` on RabbitMQ 3.10 and newer, 4.x included.

    Two connections: a broker in need blocks those that publish, and acknowledgements must still pass. What
    the contract leaves open:

    - A job counts as delivered once it was prefetched. A process that crashes with `limit` jobs in hand uses
      up one delivery of each, so a crash loop can dead-letter jobs that did nothing wrong. They are hints
      only: the sweeper makes their dispatch due again.
    - A delivery that is held for longer than the broker's `consumer_timeout` (30 minutes by default) is taken
      back, with the channel, and that counts; a handler that waits for long raises `PutBack` before.
    - A queue of ours that was removed is made anew by whoever misses it, and that call raises `BusUnavailable`.
    """

    def __init__(
        self, url: str, names: Names, *, name: str, retry_pause: float, deployment: UUID | None = None
    ) -> None:
        self._names = names
        self._ownership = Ownership(names, deployment)
        self._topology = Topology(names)
        self._retry_pause = retry_pause
        self._publishing = Link(url, f"{name}:publish", self._declare)
        self._consuming = Link(url, f"{name}:consume", self._declare)
        self._publish_channel = KeptChannel(self._publishing, confirms=True)
        self._ask_channel = KeptChannel(self._consuming)
        self._consumptions: set[Subscription] = set()
        self._confirmed_at = 0.0

    @classmethod
    async def open(
        cls, url: str, names: Names, *, name: str, retry_pause: float, deployment: UUID | None = None
    ) -> Self:
        """Connect and declare the topology. Raises `BusUnavailable`."""
        bus = cls(url, names, name=name, retry_pause=retry_pause, deployment=deployment)
        try:
            await bus.ping()
        except BaseException:
            await bus.close()
            raise
        return bus

    async def _declare(self, connection: AbstractConnection) -> None:
        """What is done on a new connection: whose the queues are comes first."""
        await self._ownership.declare(connection)
        await self._topology.declare(connection)

    async def own(self, deployment: UUID, *, anyway: bool = False) -> bool:
        if anyway:
            async with deadline(ASK_SECONDS):
                channel = await self._consuming.channel()
                await self._ownership.remove(channel)
                await close_channel(channel, self._consuming)
        self._ownership.deployment = deployment
        try:
            await self._publishing.make()
            await self._consuming.make()
        except ForeignQueues:
            self._drop()
            raise
        return self._ownership.marked

    def _drop(self) -> None:
        """Nothing goes on that was begun; whoever connects anew asks whose the queues are."""
        self._publishing.drop()
        self._consuming.drop()

    async def publish(self, messages: Sequence[Outgoing], timeout: float = 10.0) -> None:
        check_sizes(messages)
        started = asyncio.get_running_loop().time()
        try:
            async with deadline(timeout):
                channel = await self._publish_channel.get()
                for first in range(0, len(messages), WINDOW):
                    await self._publish_window(channel, messages[first : first + WINDOW])
        except BusUnavailable:
            # A connection on which nothing at all was confirmed meanwhile is stuck, or its broker is.
            if self._confirmed_at < started:
                self._publishing.drop()
            raise

    async def _publish_window(
        self, channel: aio_pika.abc.AbstractChannel, messages: Sequence[Outgoing]
    ) -> None:
        """All on the wire in order, then all confirms. Nothing overtakes: the channel writes in turn.

        Below the client's exchange, which would wait for each message to leave the process before the next.
        """
        underlay = await channel.get_underlay_channel()
        sent: list[asyncio.Task[object]] = []
        try:
            for first in range(0, len(messages), TOGETHER):
                sent += [
                    asyncio.create_task(self._publish_one(underlay, message))
                    for message in messages[first : first + TOGETHER]
                ]
                await asyncio.sleep(0)  # they are handed to the client's writer,
                await asyncio.sleep(0)  # and it has written them
            results = await asyncio.gather(*sent, return_exceptions=True)
        except BaseException:
            for task in sent:
                task.cancel()
            await asyncio.gather(*sent, return_exceptions=True)
            raise
        failure: BaseException | None = None
        for message, result in zip(messages, results, strict=True):
            if isinstance(result, PublishError):
                self._confirmed_at = asyncio.get_running_loop().time()
                await self._missing(message.queue, result)
            if isinstance(result, BaseException):
                failure = failure or result
            else:
                self._confirmed_at = asyncio.get_running_loop().time()
        if failure is not None:
            raise failure

    async def _publish_one(self, underlay: AbstractChannel, message: Outgoing) -> object:
        return await underlay.basic_publish(
            message.body,
            routing_key=self._names.outside(message.queue),
            properties=properties_of(message),
            mandatory=True,
            wait=False,  # type: ignore[call-arg]  # the abstract class lacks it
        )

    async def _put_back(self, delivery: Delivery) -> None:
        await self.publish([Outgoing(delivery.queue, delivery.body, delivery.headers)])

    async def _bury(self, delivery: Delivery, reason: str) -> None:
        """Keep a rejected message with its reason; AMQP's own reject has no place for one."""
        async with deadline(ASK_SECONDS):
            channel = await self._publish_channel.get()
            try:
                await channel.default_exchange.publish(
                    dead_to_amqp(delivery, reason), self._names.outside(DEAD), mandatory=True
                )
            except PublishError as error:
                await self._missing(DEAD, error)

    async def _missing(self, queue: str, error: Exception) -> NoReturn:
        """A queue of ours that somebody has removed is made anew, and `BusUnavailable` says to try again: nobody else
        would make it before the next connection. Any other is `NotFound`."""
        if not self._topology.has(queue):
            raise NotFound(f"queue {queue}") from error
        await self._consuming.make()
        raise BusUnavailable(f"the queue {queue} was removed, and is made anew") from error

    async def add_pool(self, pool: str) -> None:
        self._topology.add_pool(pool)
        await self._consuming.make()

    async def consume(self, queue: str, handler: Handler, limit: int) -> Consumption:
        return await self._started(
            queue,
            WorkConsumption(
                self._consuming,
                self._names.outside(queue),
                queue,
                handler,
                self._bury,
                self._put_back,
                limit=limit,
                retry_pause=self._retry_pause,
            ),
        )

    async def consume_batches(
        self, queue: str, handler: BatchHandler, most: int, linger: float = 0.0
    ) -> Consumption:
        return await self._started(
            queue,
            PartitionConsumption(
                self._consuming,
                self._names.outside(queue),
                queue,
                handler,
                most=most,
                linger=linger,
                retry_pause=self._retry_pause,
            ),
        )

    async def _started(self, queue: str, consumption: Subscription) -> Subscription:
        try:
            await consumption.start(self._consumptions.discard)
        except NotFound as error:
            await self._missing(queue, error)
        self._consumptions.add(consumption)
        return consumption

    async def depth(self, queue: str) -> Depth:
        try:
            async with deadline(ASK_SECONDS):
                channel = await self._ask_channel.get()
                answer = await channel.declare_queue(self._names.outside(queue), passive=True)
        except NotFound as error:
            await self._missing(queue, error)
        return Depth(
            answer.declaration_result.message_count or 0, answer.declaration_result.consumer_count or 0
        )

    async def dead_letters(self, most: int = 100) -> Sequence[DeadLetter]:
        """As the port says; while one caller looks, the letters it sees are hidden from another."""
        async with deadline(ASK_SECONDS):
            channel = await self._consuming.channel()
            try:
                queue = await channel.declare_queue(self._names.outside(DEAD), passive=True)
                letters: list[DeadLetter] = []
                while len(letters) < most and (message := await queue.get(fail=False)) is not None:
                    letters.append(to_dead_letter(message, self._names))
                return letters
            finally:
                # Closing gives them back to where they stood; a nack would put them at the end.
                await close_channel(channel, self._consuming)

    async def ping(self) -> None:
        try:
            async with deadline(ASK_SECONDS):
                channel = await self._publish_channel.get()
                await channel.declare_queue(self._names.outside(DEAD), passive=True)
        except NotFound as error:
            await self._missing(DEAD, error)
        try:
            async with deadline(ASK_SECONDS):
                await self._ownership.still_stands(await self._ask_channel.get())
        except NotFound:
            self._drop()
            await self._ask_channel.get()

    async def close(self) -> None:
        await asyncio.gather(*(each.close() for each in tuple(self._consumptions)))
        await asyncio.gather(self._publishing.close(), self._consuming.close())
