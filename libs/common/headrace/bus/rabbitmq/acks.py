"""Acknowledging finished work: many messages in one answer, where all before them are answered too."""

import asyncio
import contextlib
from collections.abc import Awaitable

from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from aiormq.abc import AbstractChannel

from headrace.bus.handling import canceled_from_outside

# How long those that are finished wait for others, while some are being handled.
LINGER_SECONDS = 0.02
# Finished ones hold their places at the broker until they are answered: no larger part of all places waits.
_LARGEST_PART = 4
_CLOSE_SECONDS = 1.0


class Acknowledgements:
    """Of the deliveries of one channel, whose tags count up from 1 in the order in which they arrive; at most `places`
    are not answered at any time.

    What was acknowledged must not be answered a second time, or the broker closes the channel; and an answer for
    many takes everything before it along. So one task sends them, one after another, and what is given back counts as
    open until that is on its way.
    """

    def __init__(self, channel: AbstractChannel, places: int) -> None:
        self._channel, self._places = channel, places
        self._open: dict[int, None] = {}
        self._done: set[int] = set()
        self._sending: asyncio.Task[None] | None = None
        self._enough = asyncio.Event()
        self._closing = self._lost = False

    def arrived(self, tag: int) -> None:
        self._open[tag] = None

    def done(self, tag: int) -> None:
        """It is finished, and acknowledged soon."""
        if self._lost:
            return
        self._done.add(tag)
        if self._is_enough():
            self._enough.set()
        if self._sending is None:
            self._sending = asyncio.create_task(self._send())

    async def done_through(self, tag: int) -> None:
        """It and all before it are finished, and acknowledged now."""
        await settle(self._channel.basic_ack(tag, multiple=True, wait=False))

    async def give_back(self, tag: int) -> None:
        await settle(self._channel.basic_nack(tag, requeue=True, wait=False))
        self._open.pop(tag, None)

    def lose(self) -> None:
        """The channel is lost: whatever was not answered is delivered again."""
        self._lost = True
        if self._sending is not None:
            self._sending.cancel()

    async def close(self) -> None:
        """What is finished is acknowledged now, and waits for nothing any more."""
        self._closing = True
        self._enough.set()
        try:
            if self._sending is not None:
                await asyncio.wait({self._sending}, timeout=_CLOSE_SECONDS)
        finally:
            self.lose()

    def _is_enough(self) -> bool:
        done = len(self._done)
        return self._closing or done >= len(self._open) or done * _LARGEST_PART >= self._places

    async def _send(self) -> None:
        try:
            while self._done:
                if not self._is_enough():
                    self._enough.clear()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(LINGER_SECONDS):
                            await self._enough.wait()
                through = self._all_done_through()
                alone = sorted(self._done)
                self._done.clear()
                if through:
                    await self.done_through(through)
                for tag in alone:
                    await settle(self._channel.basic_ack(tag, wait=False))
                    self._open.pop(tag, None)
        finally:
            self._sending = None

    def _all_done_through(self) -> int:
        """The last of those that are finished with all before them; 0: there is none. They are open no more."""
        through = 0
        while self._open and (first := next(iter(self._open))) in self._done:
            del self._open[first]
            self._done.remove(first)
            through = first
        return through


async def settle(answer: Awaitable[object]) -> None:
    """Send an answer on the message's channel. If that was lost, the broker delivers again by itself."""
    try:
        await answer
    except CONNECTION_EXCEPTIONS:
        return
    except asyncio.CancelledError:
        if canceled_from_outside():
            raise
