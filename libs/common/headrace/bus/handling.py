"""Running handlers, the same way on every adapter."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from headrace.bus.backoff import pause_after
from headrace.bus.port import BatchHandler, Delivery, Reject
from headrace.unforeseen import described

_log = structlog.get_logger(__name__)


REASON_LENGTH = 1000


def storable_reason(rejected: Reject) -> str:
    """The reason as every bus can keep it: UTF-8 without NUL, cut to `REASON_LENGTH`."""
    reason = rejected.reason[:REASON_LENGTH].replace("\0", "\N{REPLACEMENT CHARACTER}")
    return reason.encode("utf-8", "replace").decode("utf-8")


def canceled_from_outside() -> bool:
    """Whether the CancelledError at hand is meant for this task, rather than left over inside a handler."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def handle_batch(
    handler: BatchHandler,
    batch: Sequence[Delivery],
    *,
    ours: Callable[[], bool],
    pause: Callable[[float], Awaitable[None]],
    first_pause: float,
) -> bool:
    """Hand the same batch over until it is handled, for as long as it is `ours`; whether it was handled."""
    failures = 0
    while ours():
        try:
            await handler(batch)
        except (Exception, asyncio.CancelledError) as error:
            if canceled_from_outside():
                raise
            failures += 1
            _log.warning(
                "batch failed and is tried again",
                queue=batch[0].queue,
                **described(error),
                failures=failures,
            )
            await pause(pause_after(failures, first_pause))
        else:
            return True
    return False
