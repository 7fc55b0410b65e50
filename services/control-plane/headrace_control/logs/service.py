"""Log records as callers see them."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from headrace.logstore.port import LogQuery, LogStore
from headrace.messages import LogLevel, LogRecord

from headrace_control.auth.caller import Caller
from headrace_control.auth.permissions import Permission
from headrace_control.pages import PageOf, page_size


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which records; what is None or empty does not narrow. See `LogQuery`, which adds the tenant."""

    words: str = ""
    level: LogLevel | None = None
    run_id: UUID | None = None
    step: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def within(self, tenant_id: UUID) -> LogQuery:
        return LogQuery(tenant_id, self.words, self.level, self.run_id, self.step, self.since, self.until)


class LogService:
    """Logs of the caller's tenant, whose id narrows every query. Another tenant's run simply has no records."""

    def __init__(self, store: LogStore) -> None:
        self._store = store

    async def search(
        self, caller: Caller, wanted: LogFilter, first: int, after: str | None
    ) -> PageOf[LogRecord]:
        """Records, newest first; a page stays the same while newer ones arrive.

        Raises `InvalidInput` for a search that can not be made, `LogStoreUnavailable`.
        """
        caller.require(Permission.READ)
        found = await self._store.search(wanted.within(caller.tenant_id), page_size(first), after)
        return PageOf(found.records, found.after, found.after is not None)

    async def tail(self, caller: Caller, wanted: LogFilter) -> AsyncGenerator[LogRecord, None]:
        """Records as they come, oldest first, from `since` on, without end."""
        caller.require(Permission.READ)
        records = self._store.tail(wanted.within(caller.tenant_id))
        try:
            async for record in records:
                yield record
        finally:
            # A generator holds what it follows with until it is closed; collecting it would do so late.
            if isinstance(records, AsyncGenerator):
                await records.aclose()
