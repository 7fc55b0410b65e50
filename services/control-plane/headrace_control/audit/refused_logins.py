"""Keys and sessions that were refused: recorded by their prefixes, and bounded however many are tried."""

import asyncio
from collections import Counter
from typing import NamedTuple

import asyncpg
import structlog
from headrace.errors import Unavailable
from headrace.ids import new_id
from headrace.postgres.pool import Pool, transaction
from headrace.postgres.queries import load

from headrace_control.auth.keys import prefix_of
from headrace_control.auth.tokens import TokenKind

_log = structlog.get_logger(__name__)
_sql = load("headrace_control.audit")

PERIOD_SECONDS = 10
# Records of one period; what is tried beyond, from other addresses and with other prefixes, is counted together.
MOST = 100


class _Attempt(NamedTuple):
    kind: str
    prefix: str | None
    address: str | None


_OTHERS = _Attempt("api_key", None, None)


class RefusedLogins:
    """Counts in memory and writes every ten seconds, so that guessing costs no transaction for each guess."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._noted: Counter[_Attempt] = Counter()

    def note(self, shown: str, address: str | None) -> None:
        """Something that is neither a valid key nor a session was shown. Of a key its prefix is kept, of anything else
        nothing."""
        attempt = _Attempt(
            "session" if shown.startswith(f"{TokenKind.SESSION}_") else "api_key", prefix_of(shown), address
        )
        known = attempt in self._noted or len(self._noted) < MOST
        self._noted[attempt if known else _OTHERS] += 1

    async def run(self) -> None:
        """Work until cancelled; what can not be written now is kept for later."""
        while True:
            await asyncio.sleep(PERIOD_SECONDS)
            try:
                await self.write()
            except (Unavailable, asyncpg.PostgresError) as error:
                _log.warning("refused log-ins wait", error=type(error).__name__)

    async def write(self) -> None:
        """Record what was noted since the last time."""
        noted, self._noted = self._noted, Counter()
        if not noted:
            return
        try:
            async with transaction(self._pool) as db:
                await db.execute(
                    _sql.record_refused_logins,
                    [new_id() for _ in noted],
                    [one.kind for one in noted],
                    [one.prefix for one in noted],
                    [one.address for one in noted],
                    [min(times, 2**31 - 1) for times in noted.values()],
                    PERIOD_SECONDS,
                )
        except BaseException:
            for attempt, times in noted.items():
                self._noted[attempt] += times
            raise
