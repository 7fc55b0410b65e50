"""Expressions are evaluated one at a time, and not for long without a turn of the loop, which keeps the lease, too."""

import asyncio
import time
from types import TracebackType

# Seconds of evaluating in a row. Most steps take a hundredth of it, and a turn of the loop for each would be waste.
IN_A_ROW = 0.005


class Pace:
    """`async with pace:` around what evaluates; the block itself does not wait for anything."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._began = self._spent = 0.0

    async def __aenter__(self) -> None:
        await self._lock.acquire()
        self._began = time.monotonic()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._spent += time.monotonic() - self._began
            if self._spent >= IN_A_ROW:
                self._spent = 0.0
                await asyncio.sleep(0)
        finally:
            self._lock.release()

    async def let_others(self) -> None:
        """Much was evaluated elsewhere, or will be: whoever waits comes first."""
        async with self._lock:
            await asyncio.sleep(0)
