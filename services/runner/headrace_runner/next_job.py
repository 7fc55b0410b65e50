"""One job off the queue and no second one: what a container does that is there for a single run."""

import asyncio
import contextlib
from collections.abc import Awaitable, Sequence

import structlog
from headrace.bus.port import Bus, Delivery
from headrace.process import until

from headrace_runner.worker import Worker

_log = structlog.get_logger(__name__)

# A run is held for a time slice and one call at most; the drain alone bounds it after a signal.
_FOR_GOOD = 86_400.0


async def serve_next(
    bus: Bus,
    queue: str,
    worker: Worker,
    stopping: asyncio.Event,
    tasks: Sequence[asyncio.Task[None]],
    *,
    wait_seconds: float,
    drain_seconds: float,
) -> None:
    """Take the next job of `queue` and see it through: its run ended, parked or was refused. Return, too, when none
    came within `wait_seconds`; on `stopping` the run is handed back within `drain_seconds`.

    The job is acknowledged after the consumption has begun to end, so that no second one is begun.
    """
    taken, closing = asyncio.Event(), asyncio.Event()

    async def handle(delivery: Delivery) -> None:
        taken.set()
        try:
            await worker.handle(delivery)
        finally:
            await closing.wait()

    jobs = await bus.consume(queue, handle, 1)
    waiting = asyncio.create_task(within(taken.wait(), wait_seconds))
    await until(stopping, waiting, *tasks)
    waiting.cancel()
    if not taken.is_set():
        _log.info("no job came", waited_seconds=wait_seconds)
        await jobs.close()
        return
    # The first step of this task ends the consumption; the rest of it waits for the job in hand.
    leaving = asyncio.create_task(jobs.close(_FOR_GOOD))
    await asyncio.sleep(0)
    closing.set()
    await until(stopping, leaving, *tasks)
    worker.drain()
    await asyncio.wait({leaving}, timeout=drain_seconds)
    await jobs.close()


async def within(awaited: Awaitable[object], seconds: float | None) -> None:
    """Wait for it, at most so long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await awaited
