"""A consumer to be killed: takes from a queue, says what it took, and never finishes it.

Run as `python bus_victim.py URL NAMESPACE QUEUE LEASE`; prints one body per line.
"""

import asyncio
import sys
from collections.abc import Sequence

import structlog
from headrace.bus.open import open_bus
from headrace.bus.port import Delivery


async def main(url: str, namespace: str, queue: str, lease: float) -> None:
    bus = await open_bus(url, partitions=2, namespace=namespace, lease=lease)

    async def hold(delivery: Delivery) -> None:
        print(delivery.body.decode(), flush=True)
        await asyncio.Event().wait()

    async def hold_batch(batch: Sequence[Delivery]) -> None:
        print(",".join(d.body.decode() for d in batch), flush=True)
        await asyncio.Event().wait()

    if queue.startswith("events."):
        await bus.consume_batches(queue, hold_batch, 3)
    else:
        await bus.consume(queue, hold, 3)
    await asyncio.Event().wait()


if __name__ == "__main__":
    # What is taken goes to the standard output; nothing else may.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])))
