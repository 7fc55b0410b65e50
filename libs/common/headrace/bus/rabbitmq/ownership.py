"""Whose the queues of a namespace are on the broker.

An exchange is the mark: the broker compares the argument `alternate-exchange` of one that is there already, so only the
deployment that is named by it can declare it. Who may not declare any looks for a second one, the sign, which has the
deployment in its name: to look needs no permission. Nothing is ever published to either.
"""

import asyncio
from uuid import UUID

import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection, ExchangeType
from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity, ChannelPreconditionFailed

from headrace.bus.names import Names
from headrace.bus.ownership import refuse
from headrace.errors import Forbidden

# Within which who has made the mark has made the sign, too.
SIGN_SECONDS = 0.5

_log = structlog.get_logger(__name__)


class Ownership:
    """Asserted on each new connection, before anything else is done on it."""

    def __init__(self, names: Names, deployment: UUID | None) -> None:
        self._namespace, self._mark = names.namespace, names.mark
        self.deployment = deployment
        """None: whose the queues are is not asked."""
        self.marked = False
        """Whether they are known to be marked as this deployment's."""

    @property
    def _sign(self) -> str:
        return f"{self._mark}.{self.deployment}"

    async def declare(self, connection: AbstractConnection) -> None:
        """Mark the queues, if nobody has. Raises `ForeignQueues`."""
        if self.deployment is None:
            return
        channel = await _opened(connection)
        try:
            mark = await channel.declare_exchange(
                self._mark,
                ExchangeType.FANOUT,
                durable=True,
                internal=True,
                arguments={"alternate-exchange": self._sign},
            )
        except ChannelPreconditionFailed:
            refuse(self._namespace)
        except ChannelAccessRefused:
            await self._look(connection)
            return
        # Bound to the mark and deleted by itself, so that it goes when the mark does.
        sign = await channel.declare_exchange(
            self._sign, ExchangeType.FANOUT, durable=True, internal=True, auto_delete=True
        )
        await mark.bind(sign)
        self.marked = True
        await channel.close()

    async def _look(self, connection: AbstractConnection) -> None:
        """For a user that may mark nothing: the control plane's does."""
        self.marked = await _is_there(connection, self._sign)
        if not self.marked and await _is_there(connection, self._mark):
            await asyncio.sleep(SIGN_SECONDS)  # nothing tells
            self.marked = await _is_there(connection, self._sign)
            if not self.marked:
                refuse(self._namespace)
        if not self.marked:
            _log.warning(
                "queues are not marked as this deployment's, so that another on them would not be noticed; "
                "the broker's users need the permissions of docs/operations.md",
                exchange=self._mark,
            )

    async def still_stands(self, channel: AbstractChannel) -> None:
        """Raises `ChannelNotFoundEntity` when the mark was this deployment's and is not any more."""
        if self.marked:
            await channel.declare_exchange(self._sign, passive=True)

    async def remove(self, channel: AbstractChannel) -> None:
        """Take the mark away, whosever it is. Raises `Forbidden`."""
        try:
            await channel.exchange_delete(self._mark)
        except ChannelAccessRefused:
            raise Forbidden(
                f"the broker's user may not configure the exchange {self._mark}; use the control plane's, with the "
                "permissions of docs/operations.md"
            ) from None


async def _is_there(connection: AbstractConnection, exchange: str) -> bool:
    channel = await _opened(connection)
    try:
        await channel.declare_exchange(exchange, passive=True)
    except ChannelNotFoundEntity:
        return False
    await channel.close()
    return True


async def _opened(connection: AbstractConnection) -> AbstractChannel:
    channel = connection.channel(publisher_confirms=False)
    await channel.initialize()
    return channel
