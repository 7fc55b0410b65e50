"""Counting what may come by the thousand, and handing the counts on every ten seconds."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

import asyncpg

from headrace.errors import HeadraceError
from headrace.outage import Outage

PERIOD_SECONDS = 10
# Different ones in one period, if a tally says nothing else; what comes beyond is counted as what `others` makes of it.
MOST = 100
# What one count says at most: Postgres's integer.
MOST_TIMES = 2**31 - 1

Noted = TypeVar("Noted", bound=Hashable)


class Tally(Generic[Noted]):
    """Costs an addition for each one noted, and one call of `write` for a period in which there was any.

    There are `most` different ones in a period. `others` makes of one that there is no room for what it is counted as:
    few different values, for each is kept. When `write` raises, what is left in the mapping that it was given is kept
    for later: one that writes by parts takes out what it has written.
    """

    def __init__(
        self,
        write: Callable[[dict[Noted, int]], Awaitable[None]],
        others: Callable[[Noted], Noted],
        most: int = MOST,
    ) -> None:
        self._hand_on, self._others, self._most = write, others, most
        self._noted: Counter[Noted] = Counter()

    def note(self, one: Noted, times: int = 1) -> None:
        known = one in self._noted or len(self._noted) < self._most
        self._noted[one if known else self._others(one)] += times

    async def run(self) -> None:
        """Work until cancelled; what can not be written now is kept for later."""
        outage = Outage("refusals wait", "refusals go on")
        while True:
            await asyncio.sleep(PERIOD_SECONDS)
            try:
                await self.write()
                outage.over()
            except (HeadraceError, asyncpg.PostgresError) as error:
                outage.tried(error=type(error).__name__)

    async def write(self) -> None:
        """Hand on what was noted since the last time. Raises what `write` raises; then what is left of it is kept."""
        noted, self._noted = self._noted, Counter()
        if not noted:
            return
        left = {one: min(times, MOST_TIMES) for one, times in noted.items()}
        try:
            await self._hand_on(left)
        except BaseException:
            for one in left:
                self._noted[one] += noted[one]
            raise
