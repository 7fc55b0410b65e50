"""Who waits for a change of which run, inside this process.

A notification is a nudge, not a message: a watcher that is slow finds one nudge, however many changes there
were, and then reads the newest state. So nothing piles up behind a slow reader.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from uuid import UUID

from headrace.postgres.listen import RUNS_CHANNEL, Listener


class RunWatch:
    """One watcher of one run."""

    def __init__(self) -> None:
        self._nudged = asyncio.Event()

    def nudge(self) -> None:
        self._nudged.set()

    async def changed(self, timeout: float) -> None:
        """Return after a nudge since the last call, or after `timeout` seconds: read the run either way."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._nudged.wait(), timeout)
        self._nudged.clear()


class RunChanges:
    """Spreads the notifications of `RUNS_CHANNEL` to this process's watchers. Make it before the listener starts."""

    def __init__(self, listener: Listener) -> None:
        self._watches: dict[UUID, set[RunWatch]] = {}
        listener.subscribe(RUNS_CHANNEL, self._heard)

    @contextlib.contextmanager
    def watch(self, run_id: UUID) -> Iterator[RunWatch]:
        """Watch one run. Begin before the first read of it, or a change in between is missed."""
        watch = RunWatch()
        self._watches.setdefault(run_id, set()).add(watch)
        try:
            yield watch
        finally:
            watches = self._watches[run_id]
            watches.discard(watch)
            if not watches:
                del self._watches[run_id]

    def _heard(self, payload: str) -> None:
        if not payload:  # the listener was away and may have missed any of them
            for watches in self._watches.values():
                _nudge(watches)
            return
        for text in payload.split(","):
            with contextlib.suppress(ValueError):
                _nudge(self._watches.get(UUID(text), ()))


def _nudge(watches: "set[RunWatch] | tuple[()]") -> None:
    for watch in watches:
        watch.nudge()
