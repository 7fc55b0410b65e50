"""The one place where an adapter of the bus is chosen; only `main` calls it.

An adapter is imported when it is chosen: a process that is on the other bus starts without its libraries.
"""

from urllib.parse import urlsplit
from uuid import UUID

from headrace.bus.names import Names
from headrace.bus.port import Bus
from headrace.errors import InvalidInput, Problem
from headrace.pools import DEFAULT_POOL


async def open_bus(
    url: str,
    *,
    partitions: int,
    namespace: str = "",
    name: str = "headrace",
    retry_pause: float = 0.2,
    lease: float = 8.0,
    pool: str = DEFAULT_POOL,
    deployment: UUID | None = None,
) -> Bus:
    """Connect to the bus at `url` (amqp, amqps, postgresql) and make its queues if they are missing.

    `partitions`: how many queues of events there are, the same number everywhere. `namespace` keeps several
    Headraces apart on one bus. `name` is what an operator sees of this connection. `retry_pause`: seconds before a
    failed message or batch is tried again, four times longer after each failure, up to fifty times. `lease`:
    seconds after which what a silent consumer held is delivered again; on Postgres only, RabbitMQ goes by the
    connection. `pool`: whose jobs are taken from it. `deployment`: whose the queues have to be (`Bus.own`).
    Raises `BusUnavailable`, `ForeignQueues` among them, and `InvalidInput` for an address that is not a bus's.
    """
    names = Names(partitions, namespace).with_pool(pool)
    match _scheme(url):
        case "amqp" | "amqps":
            from headrace.bus.rabbitmq import RabbitmqBus

            return await RabbitmqBus.open(
                url, names, name=name, retry_pause=retry_pause, deployment=deployment
            )
        case "postgresql" | "postgres":
            from headrace.bus.postgres import PostgresBus

            return await PostgresBus.open(
                url, names, name=name, retry_pause=retry_pause, lease=lease, deployment=deployment
            )
        case scheme:
            raise _refused(f"no bus speaks {scheme!r}")


def _scheme(url: str) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise _refused("not a URL that can be read") from None
    return parts.scheme


def _refused(message: str) -> InvalidInput:
    return InvalidInput([Problem("bus_url", message, "write amqp, amqps or postgresql, ://host/ and so on")])
