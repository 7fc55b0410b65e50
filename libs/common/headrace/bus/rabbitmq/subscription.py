"""What both kinds of consumption share: a consumer that is put on its queue again after every loss."""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable

from aio_pika.abc import AbstractChannel
from aiormq.abc import DeliveredMessage

from headrace.bus.backoff import pause_after
from headrace.bus.handling import canceled_from_outside
from headrace.bus.rabbitmq.acks import Acknowledgements
from headrace.bus.rabbitmq.link import ASK_SECONDS, Link, close_channel, deadline, translated
from headrace.errors import BusUnavailable, NotFound
from headrace.outage import Outage

# The first pause before subscribing again, in seconds.
_RESUBSCRIBE_PAUSE = 0.1


class Feed:
    """One channel with a consumer on it, what is answered on it, and the news that it was lost."""

    def __init__(self, channel: AbstractChannel, acks: Acknowledgements, news: asyncio.Event) -> None:
        self.channel, self.acks = channel, acks
        self.consumer_tag = ""
        self.lost = False
        self._news = news
        channel.close_callbacks.add(self.lose)

    def lose(self, *_: object) -> None:
        self.lost = True
        self.acks.lose()
        self._news.set()


class Subscription(ABC):
    """Runs until it is closed: open a channel, consume, and when the channel is lost begin again."""

    def __init__(self, link: Link, name: str, prefetch: int) -> None:
        self._link = link
        self._name = name
        self._prefetch = min(prefetch, 65535)
        self._closing = asyncio.Event()
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._when_closed: Callable[[Subscription], None] | None = None

    async def start(self, when_closed: Callable[["Subscription"], None]) -> None:
        """Return once the consumer stands on its queue. Raises `BusUnavailable`, or `NotFound`."""
        self._when_closed = when_closed
        self._task = asyncio.create_task(self._run(await self._open()))

    async def close(self, grace: float = 0.0) -> None:
        self._closing.set()
        self._news.set()
        if self._task is None:
            return
        if grace > 0:
            await asyncio.wait({self._task}, timeout=grace)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if self._when_closed is not None:
            self._when_closed(self)

    async def _run(self, feed: Feed | None) -> None:
        failures, outage = 0, Outage("consumer is away", "consumer is back", queue=self._name)
        try:
            while not self._closing.is_set():
                try:
                    feed = feed or await self._open()
                    failures = 0
                    outage.over()
                    await self._serve(feed)
                except (Exception, asyncio.CancelledError) as error:
                    if canceled_from_outside():
                        raise
                    failures += 1
                    if feed is not None:
                        # What was taken from it is in nobody's hands now, and must come again.
                        feed.lose()
                    outage.tried(error=type(error).__name__)
                    if isinstance(error, NotFound):  # somebody has removed the queue
                        with contextlib.suppress(BusUnavailable):
                            await self._link.make()
                    await self._pause(pause_after(failures, _RESUBSCRIBE_PAUSE))
                if feed is not None and feed.lost:
                    await self._leave(feed)
                    feed = None
            await self._finish(feed)
        finally:
            try:
                await self._abandon()
            finally:
                if feed is not None:
                    await self._leave(feed)

    async def _open(self) -> Feed:
        channel = await self._link.channel()
        with translated():
            underlay = (
                await channel.get_underlay_channel()
            )  # waits for nothing; raises where it was lost already
        feed = Feed(channel, Acknowledgements(underlay, self._prefetch), self._news)

        async def arrived(message: DeliveredMessage) -> None:
            if not feed.lost:
                self._arrived(feed, message)

        try:
            async with deadline(ASK_SECONDS):
                await channel.set_qos(self._prefetch)
                await channel.declare_queue(self._name, passive=True)
                # A queue that is deleted, or loses its leader, ends the consumer and leaves the channel.
                underlay.on_consumer_cancel_callbacks.add(feed.lose)
                # Below the client's own messages and their tasks: they cost more than what they carry.
                consuming = await underlay.basic_consume(self._name, arrived)
                feed.consumer_tag = consuming.consumer_tag or ""
        except BaseException:
            feed.lose()  # what comes on it all the same is nobody's, and comes again
            await self._leave(feed)
            raise
        return feed

    async def _leave(self, feed: Feed) -> None:
        """What is finished is answered; what is not goes back to its queue."""
        try:
            await feed.acks.close()
        finally:
            await close_channel(feed.channel, self._link)

    async def _pause(self, seconds: float) -> None:
        """Wait, but not beyond the beginning of the end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()

    @abstractmethod
    def _arrived(self, feed: Feed, message: DeliveredMessage) -> None:
        """Take one message in. Called in the order of arrival."""

    @abstractmethod
    async def _serve(self, feed: Feed) -> None:
        """Return when the feed is lost or the consumption closes."""

    @abstractmethod
    async def _finish(self, feed: Feed | None) -> None:
        """Take nothing more and wait for the handlers under way; cancelled when the grace is over."""

    @abstractmethod
    async def _abandon(self) -> None:
        """Cancel the handlers that are still under way and wait for their end."""
