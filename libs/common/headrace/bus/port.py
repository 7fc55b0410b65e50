"""The port to the message bus. Adapters: RabbitMQ (production) and Postgres (embedded).

The contract, which `tests/contract/test_bus.py` holds both adapters to:

- **Publish** returns when every message of the batch is durable in its queue, in the order given per
  queue. It raises `BusUnavailable` after its deadline; then each message may or may not have arrived, and
  the caller publishes the same ones again. A message above `MAX_MESSAGE_BYTES` raises `MessageTooLarge`
  before anything is sent. Publishing to a queue that does not exist raises, it is never swallowed.
- **Work queues** (`consume`): each message is handed to the handler of one consumer, at most `limit` at
  once per consumer, in no promised order. The handler's return acknowledges; `Reject` moves the message to
  the dead letters at once; `PutBack` has it wait in the queue as one that is new; any other exception, or
  the consumer's death, delivers it again, and after `MAX_DELIVERIES` deliveries it goes to the dead letters.
  A slow handler holds only its own place.
- **Partitions** (`consume_batches`): messages come strictly in published order, to one active consumer of
  the queue in the whole fleet, in batches of up to `most`. The return acknowledges the batch. An exception
  hands the very same batch over again after a pause, for ever: nothing behind it overtakes, nothing is lost.
  A batch of nothing but messages that say `LINGERS` waits up to `linger` seconds for what comes behind it.
- **Closing** a consumption stops taking, and waits for handlers under way up to `grace` seconds; what was
  not acknowledged is delivered again elsewhere.
- **Whose the queues are**: those of a namespace are marked, once, as one deployment's; `own`, and to open a bus for a
  deployment, mark them if nobody has, and raise `ForeignQueues` if another deployment has. So does whatever connects
  anew later: where the queues are another's then, nothing is taken, and publishing raises. A bus that knows no
  deployment does not ask.
- A lost connection is re-opened by the adapter; consumers go on without being told.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from headrace.pools import DEFAULT_POOL

MAX_MESSAGE_BYTES = 8 * 1024 * 1024
MAX_DELIVERIES = 5

JOBS = "jobs"  # of the default pool
LOGS = "logs"
DEAD = "dead"

DELIVERY_LIMIT = "delivery_limit"
"""The reason of a dead letter that was delivered `MAX_DELIVERIES` times."""


LINGERS = ("lingers", "1")
"""A header of what nobody waits for: a partition's consumer may take it together with what comes behind it."""


def events_queue(partition: int) -> str:
    """The queue of one partition of events, `events.0` and up."""
    return f"events.{partition}"


def jobs_queue(pool: str) -> str:
    """The queue of one pool's jobs."""
    return JOBS if pool == DEFAULT_POOL else f"{JOBS}.{pool}"


def holds_jobs(queue: str) -> bool:
    """Whether it is some pool's queue of jobs."""
    return queue == JOBS or queue.startswith(f"{JOBS}.")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish: `body` goes as it is to `queue`; `headers` are short text, for tracing."""

    queue: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that arrived. `redelivered` is a hint: it proves nothing about the first consumer."""

    queue: str
    body: bytes
    redelivered: bool = False
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Depth:
    """How many messages a queue holds: ready to be taken, and consumers on it."""

    ready: int
    consumers: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that was given up: where it stood, why, and its bytes."""

    queue: str
    reason: str
    body: bytes


class Reject(Exception):
    """Raised by a handler: this message can never be handled; `reason` is kept with the dead letter."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class PutBack(Exception):
    """Raised by a handler: the message can not be handled now, and may wait in its queue for as long as it takes. Its
    deliveries are counted anew. It may come twice, as after a lost connection."""


Handler = Callable[[Delivery], Awaitable[None]]
BatchHandler = Callable[[Sequence[Delivery]], Awaitable[None]]


class Consumption(Protocol):
    """One running consumption."""

    async def close(self, grace: float = 0.0) -> None:
        """Stop taking; wait up to `grace` seconds for handlers under way, then cancel them. Idempotent."""


class Bus(Protocol):
    """See the module's docstring for the contract."""

    async def publish(self, messages: Sequence[Outgoing], timeout: float = 10.0) -> None: ...

    async def own(self, deployment: UUID, *, anyway: bool = False) -> bool:
        """Mark the queues as this deployment's, if they are nobody's; `anyway`, also if they are another's. To be
        called before anything is taken or published. False: nobody has marked them, and this user may not. Raises
        `BusUnavailable`, and with `anyway` `Forbidden`; after `ForeignQueues` this bus does nothing any more."""

    async def add_pool(self, pool: str) -> None:
        """Make the queue of a pool's jobs, if it is missing; from now on it is looked after like the others. Raises
        `BusUnavailable`."""

    async def consume(self, queue: str, handler: Handler, limit: int) -> Consumption: ...

    async def consume_batches(
        self, queue: str, handler: BatchHandler, most: int, linger: float = 0.0
    ) -> Consumption: ...

    async def depth(self, queue: str) -> Depth: ...

    async def dead_letters(self, most: int = 100) -> Sequence[DeadLetter]:
        """Up to `most` dead letters, oldest first, left where they are."""

    async def ping(self) -> None:
        """Return if the bus answers, and the queues are still this deployment's; `BusUnavailable` otherwise."""

    async def close(self) -> None:
        """Close every consumption and the connection. Idempotent."""
