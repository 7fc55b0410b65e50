"""One connection to the broker that is opened anew whenever it was lost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, ChannelNotFoundEntity
from yarl import URL

from headrace.errors import BusUnavailable, NotFound

HEARTBEAT_SECONDS = 10
CONNECT_SECONDS = 10.0
ASK_SECONDS = 5.0
CLOSE_SECONDS = 5.0

_log = structlog.get_logger(__name__)


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """The broker's errors as ours; texts are built from types, for a broker's reply may quote."""
    try:
        yield
    except ChannelNotFoundEntity as error:
        raise NotFound("queue") from error
    except (*CONNECTION_EXCEPTIONS, TimeoutError) as error:
        raise BusUnavailable(f"RabbitMQ did not answer ({type(error).__name__})") from error
    except asyncio.CancelledError as error:
        # A lost connection cancels what waits for its answers: our caller was not cancelled then.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise BusUnavailable("RabbitMQ closed the connection") from error


@contextlib.asynccontextmanager
async def deadline(seconds: float) -> AsyncIterator[None]:
    """A deadline of our own, for the client may wait for ever on a connection that was lost."""
    with translated():
        async with asyncio.timeout(seconds):
            yield


class Link:
    """Opens channels on one connection. Its users ask again after a loss; nothing is restored behind them.

    `on_open` runs on every new connection before anyone sees it.
    """

    def __init__(self, url: str, name: str, on_open: Callable[[AbstractConnection], Awaitable[None]]) -> None:
        self._url = URL(url)
        self._name = name
        self._on_open = on_open
        self._connection: AbstractConnection | None = None
        self._attempt: asyncio.Task[AbstractConnection] | None = None
        self._endings: set[asyncio.Task[None]] = set()
        self._closed = False
        self.generation = 0
        """Changes when a connection is given up: channels of an earlier one are not to be used."""

    async def channel(self, *, confirms: bool = False) -> AbstractChannel:
        """A new channel; with `confirms`, an unroutable message raises. Raises `BusUnavailable`."""
        connection = await self._connected()
        async with deadline(ASK_SECONDS):
            channel = connection.channel(publisher_confirms=confirms, on_return_raises=confirms)
            await channel.initialize()
            return channel

    async def make(self) -> None:
        """Do on the open connection what `on_open` does on a new one. Raises `BusUnavailable`."""
        async with deadline(ASK_SECONDS):
            await self._on_open(await self._connected())

    def drop(self) -> None:
        """Give the connection up without waiting for the broker; the next user opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self.generation += 1
            ending = asyncio.create_task(_close_quietly(connection))
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)

    async def close(self) -> None:
        self._closed = True
        if self._attempt is not None:
            self._attempt.cancel()
            await asyncio.gather(self._attempt, return_exceptions=True)
        self.drop()
        if self._endings:
            await asyncio.wait(set(self._endings))

    async def _connected(self) -> AbstractConnection:
        if self._closed:
            raise BusUnavailable("the bus was closed")
        if self._connection is not None and self._connection.connected.is_set():
            return self._connection
        self.drop()
        if self._attempt is None or self._attempt.done():
            # A task of its own: a caller whose deadline passes must not break it off for the others.
            self._attempt = asyncio.create_task(self._connect())
            self._attempt.add_done_callback(_retrieve)
        with translated():
            return await asyncio.shield(self._attempt)

    async def _connect(self) -> AbstractConnection:
        url = self._url if "heartbeat" in self._url.query else self._url % {"heartbeat": HEARTBEAT_SECONDS}
        connection = await aio_pika.connect(
            url, timeout=CONNECT_SECONDS, client_properties={"connection_name": self._name}
        )
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._on_open(connection)
        except BaseException:
            await _close_quietly(connection)
            raise
        self._connection = connection
        return connection


class KeptChannel:
    """A channel that is kept and shared by many callers, and opened again when it was closed."""

    def __init__(self, link: Link, *, confirms: bool = False) -> None:
        self._link = link
        self._confirms = confirms
        self._channel: AbstractChannel | None = None
        self._generation = 0
        self._opening = asyncio.Lock()

    async def get(self) -> AbstractChannel:
        async with self._opening:
            channel = self._channel
            if channel is None or channel.is_closed or self._generation != self._link.generation:
                channel = self._channel = await self._link.channel(confirms=self._confirms)
                self._generation = self._link.generation
            return channel


async def close_channel(channel: AbstractChannel, link: Link) -> None:
    """Close, so that what is unacknowledged goes back to its queue; if need be, by closing the connection."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await channel.close()
    except TimeoutError:
        link.drop()
    except (*CONNECTION_EXCEPTIONS, asyncio.CancelledError) as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        _log.debug("channel was closed already", error=type(error).__name__)


async def _close_quietly(connection: AbstractConnection) -> None:
    with contextlib.suppress(*CONNECTION_EXCEPTIONS, TimeoutError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await connection.close()


def _retrieve(task: asyncio.Task[AbstractConnection]) -> None:
    """Mark a failed attempt as seen, for its callers may all have left."""
    if not task.cancelled():
        task.exception()
