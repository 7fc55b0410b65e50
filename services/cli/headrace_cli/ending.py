"""An orderly end when a person or a service manager asks for it."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def cancelled_by_signals() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP cancel the current task, once: what it then cleans up is not disturbed."""
    task = asyncio.current_task()
    asked = False

    def end() -> None:
        nonlocal asked
        if task and not asked:
            asked = True
            task.cancel()

    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, end)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
