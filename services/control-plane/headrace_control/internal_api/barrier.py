"""Waiting for the fence: a take-over's `claimed` mark has to be applied before its checkpoint is read."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from uuid import UUID

from headrace.postgres.listen import FENCE_CHANNEL, Listener

# A notification may be missed while the listener reconnects.
SAFETY_NET_SECONDS = 1.0


class Barrier:
    """Wakes those who wait for marks of their runs; the reporter notifies when it applies one."""

    def __init__(self, listener: Listener) -> None:
        self._waiting: dict[UUID, set[asyncio.Event]] = {}
        listener.subscribe(FENCE_CHANNEL, self._heard)

    @contextlib.contextmanager
    def watch(self, run_ids: Iterable[UUID]) -> Iterator[Callable[[float], Awaitable[float]]]:
        """Gives `changed(most)`: wait for news of these runs, at most `most` seconds; returns seconds spent."""
        event = asyncio.Event()
        ids = list(run_ids)
        for run_id in ids:
            self._waiting.setdefault(run_id, set()).add(event)

        async def changed(most: float) -> float:
            began = time.monotonic()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(most, SAFETY_NET_SECONDS)):
                    await event.wait()
            event.clear()
            return time.monotonic() - began

        try:
            yield changed
        finally:
            for run_id in ids:
                self._waiting[run_id].discard(event)
                if not self._waiting[run_id]:
                    del self._waiting[run_id]

    def _heard(self, payload: str) -> None:
        if not payload:  # the listener was away: everybody looks
            for events in self._waiting.values():
                for event in events:
                    event.set()
            return
        for text in payload.split(","):
            for event in self._waiting.get(UUID(text), ()):
                event.set()
