"""One session that listens, for as many channels as a process needs."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import asyncpg

from headrace.outage import Outage

# The channels of the run protocol. A notification is a nudge: whoever waits also looks by itself now and then.
DISPATCH_CHANNEL = "headrace_dispatch"  # something is due; payload: none, or ROOM
POOLS_CHANNEL = "headrace_pools"  # there are other runner pools than before; no payload
RUNS_CHANNEL = "headrace_runs"  # runs changed; payload: their ids, separated by commas
FENCE_CHANNEL = "headrace_fence"  # a `claimed` mark was applied; payload: run ids

# On the dispatch channel: nothing became due, but a run left its place under its tenant's limit.
ROOM = "room"

# Postgres takes payloads below 8,000 bytes; an id and its comma are 37.
IDS_PER_PAYLOAD = 200

PROBE_SECONDS = 10.0

Callback = Callable[[str], None]


class Listener:
    """LISTENs on one connection and re-opens it when it is lost.

    After a re-opening every callback is called with "" once, because notifications may have been missed.
    Callbacks must not block.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._callbacks: dict[str, list[Callback]] = defaultdict(list)
        self._task: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()
        self._outage = Outage("listener lost its connection", "listener is back")

    def subscribe(self, channel: str, callback: Callback) -> Callable[[], None]:
        """Call `callback(payload)` for each notification; returns what undoes it. Before `start` for a new channel."""
        self._callbacks[channel].append(callback)
        return lambda: self._callbacks[channel].remove(callback)

    async def start(self) -> None:
        """Begin; raises nothing when Postgres is away, it will be tried again."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        first = True
        while True:
            try:
                await self._listen(first)
            except (
                OSError,
                asyncpg.PostgresError,
                asyncpg.InterfaceError,
                asyncpg.InternalClientError,
                TimeoutError,
            ) as error:
                self._outage.tried(error=type(error).__name__)
            first = False
            await asyncio.sleep(0.5)

    async def _listen(self, first: bool) -> None:
        self._lost.clear()
        connection = await asyncpg.connect(self._dsn, timeout=10)
        try:
            connection.add_termination_listener(lambda _: self._lost.set())
            for channel in self._callbacks:
                await connection.add_listener(channel, self._heard)
            self._outage.over()
            if not first:
                for channel in self._callbacks:
                    self._heard(connection, 0, channel, "")
            await self._until_lost(connection)
        finally:
            with contextlib.suppress(Exception):
                await connection.close(timeout=2)

    async def _until_lost(self, connection: asyncpg.Connection) -> None:
        """Return when the session is gone. It is asked now and then: a fail-over may leave it silent for hours."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PROBE_SECONDS):
                    await self._lost.wait()
                    return
            await connection.execute("SELECT 1", timeout=PROBE_SECONDS)

    def _heard(self, _connection: Any, _pid: int, channel: str, payload: object) -> None:
        for callback in tuple(self._callbacks[channel]):
            callback(str(payload))
