"""Which queues there are on the broker, and with which arguments."""

from typing import Any

import structlog
from aio_pika.abc import AbstractConnection
from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity, ChannelPreconditionFailed

from headrace.bus.names import Names
from headrace.bus.port import DEAD, LOGS, MAX_DELIVERIES, holds_jobs
from headrace.errors import BusUnavailable

_log = structlog.get_logger(__name__)


class Topology:
    """Makes the queues that `Names` lists.

    All are quorum queues. `jobs`, those of pools and `logs` have a delivery limit, the others none. What a queue
    gives up goes to `dead` at least once, which RabbitMQ keeps only with `reject-publish` beside it (quorum queues
    guide, "at-least-once dead-lettering"). Events have a dead-letter target too, as a net: an operator's policy may
    set a limit that we do not.
    """

    def __init__(self, names: Names) -> None:
        self._names = names

    def add_pool(self, pool: str) -> None:
        """Make its queue on every connection from now on."""
        self._names = self._names.with_pool(pool)

    def has(self, queue: str) -> bool:
        """Whether it is one of those that are made."""
        return queue in self._names.queues()

    async def declare(self, connection: AbstractConnection) -> None:
        """Make what is missing. A queue that stands with other arguments is left as it is, with a warning.

        A user that may make none only looks whether they are there: the control plane's makes them. Raises
        `BusUnavailable` while one is missing.
        """
        transport = connection.transport
        properties = transport.connection.server_properties if transport else {}
        unlimited = without_limit(str(properties.get("version", "")))
        channel = connection.channel(publisher_confirms=False)
        await channel.initialize()
        for queue in self._names.queues():
            arguments = self._arguments(queue, unlimited)
            try:
                await channel.declare_queue(self._names.outside(queue), durable=True, arguments=arguments)
            except ChannelAccessRefused:
                await self._look(connection)
                return
            except ChannelPreconditionFailed:
                _log.warning(
                    "queue stands with other arguments than ours and is used as it is; after an upgrade to "
                    "RabbitMQ 4 set a policy delivery-limit -1 on the queues dead and events.*",
                    queue=self._names.outside(queue),
                )
                channel = connection.channel(publisher_confirms=False)
                await channel.initialize()
        await channel.close()

    async def _look(self, connection: AbstractConnection) -> None:
        channel = connection.channel(publisher_confirms=False)
        await channel.initialize()
        for queue in self._names.queues():
            try:
                await channel.declare_queue(self._names.outside(queue), passive=True)
            except ChannelNotFoundEntity:
                raise BusUnavailable(
                    f"the queue {queue} is not there yet; a control plane makes it"
                ) from None
        await channel.close()

    def _arguments(self, queue: str, unlimited: dict[str, Any]) -> dict[str, Any]:
        arguments: dict[str, Any] = {"x-queue-type": "quorum"}
        if queue == DEAD:
            return arguments | unlimited
        arguments |= {
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": self._names.outside(DEAD),
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }
        if queue == LOGS or holds_jobs(queue):
            # The limit counts the returns, so the first delivery stands outside of it.
            return arguments | {"x-delivery-limit": MAX_DELIVERIES - 1}
        return arguments | {"x-single-active-consumer": True} | unlimited


def without_limit(version: str) -> dict[str, Any]:
    """No delivery limit. RabbitMQ 4 needs -1 to say so; 3.x takes -1 too, and drops at the first return."""
    major = version.partition(".")[0]
    return {"x-delivery-limit": -1} if major.isdecimal() and int(major) >= 4 else {}
