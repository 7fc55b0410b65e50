"""Waking the relays for runs that were started.

A transaction that notifies takes a lock for which every other such transaction waits, and keeps it until its commit
is on disk: starts that go on at once would be committed one by one. So a start alone notifies with its own commit, and
waits for nobody. Those that begin while it is under way are told of once they are committed, all together. Should the
process end in between, the relay finds them when it looks by itself.
"""

import asyncio
import contextlib
from collections.abc import Iterator

from headrace.errors import Unavailable
from headrace.postgres.listen import DISPATCH_CHANNEL
from headrace.postgres.pool import Pool, one_statement
from headrace.postgres.queries import load

_sql = load("headrace_control.runs", "changing.sql")

# Between two notifications that tell of several starts. A relay that has just been woken gathers for as long.
GATHER_SECONDS = 0.02
# The process may end then, told or not.
CLOSE_SECONDS = 1.0


class Nudges:
    """One per process."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._under_way = 0
        self._untold = False
        self._telling: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def around_start(self) -> Iterator[bool]:
        """Whether the start within notifies by itself; who does not calls `soon` once it is committed."""
        alone = self._under_way == 0
        self._under_way += 1
        try:
            yield alone
        finally:
            self._under_way -= 1

    def soon(self) -> None:
        """Runs were started of which nobody was told."""
        self._untold = True
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell())

    async def close(self) -> None:
        """Tell what is untold."""
        if self._telling is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._telling, CLOSE_SECONDS)

    async def _tell(self) -> None:
        while self._untold:
            self._untold = False
            # With Postgres away there is no relay either that could be woken.
            with contextlib.suppress(Unavailable):
                async with one_statement(self._pool) as db:
                    await db.execute(_sql.notify, DISPATCH_CHANNEL, "")
            await asyncio.sleep(GATHER_SECONDS)
