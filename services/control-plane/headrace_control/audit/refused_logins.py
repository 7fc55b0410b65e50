"""Keys and sessions that were refused: recorded by their prefixes, and bounded however many are tried."""

from collections.abc import Mapping
from typing import NamedTuple

from headrace.ids import new_id
from headrace.postgres.pool import Pool, transaction
from headrace.postgres.queries import load
from headrace.refusals.tally import PERIOD_SECONDS, Tally

from headrace_control.auth.keys import prefix_of
from headrace_control.auth.tokens import TokenKind

_sql = load("headrace_control.audit")


class _Attempt(NamedTuple):
    kind: str
    prefix: str | None
    address: str | None


class RefusedLogins:
    """What was shown in vain, as the audit may know it."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        # What there is no room for, from other addresses and with other prefixes, is counted together.
        self.tally = Tally(self._record, lambda _: _Attempt("api_key", None, None))

    def note(self, shown: str, address: str | None) -> None:
        """Something that is neither a valid key nor a session was shown. Of a key its prefix is kept, of anything else
        nothing."""
        kind = "session" if shown.startswith(f"{TokenKind.SESSION}_") else "api_key"
        self.tally.note(_Attempt(kind, prefix_of(shown), address))

    async def _record(self, noted: Mapping[_Attempt, int]) -> None:
        async with transaction(self._pool) as db:
            await db.execute(
                _sql.record_refused_logins,
                [new_id() for _ in noted],
                [one.kind for one in noted],
                [one.prefix for one in noted],
                [one.address for one in noted],
                list(noted.values()),
                PERIOD_SECONDS,
            )
