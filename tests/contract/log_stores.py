"""A log store, and records for it."""

import contextlib
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from headrace.ids import new_id
from headrace.logstore.open import open_log_store
from headrace.logstore.port import MAX_PAGE, LogQuery, LogStore
from headrace.messages import LogLevel, LogRecord

RETENTION = timedelta(days=30)
NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
TENANT, OTHER = new_id(), new_id()


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[LogStore]:
    store = await open_log_store(url, retention=RETENTION, poll=timedelta(milliseconds=50))
    try:
        yield store
    finally:
        await store.close()


def record(message: str = "hello", *, at: datetime = NOW, tenant: UUID = TENANT, **fields: Any) -> LogRecord:
    values: dict[str, Any] = {"run_id": new_id(), "level": LogLevel.INFO, **fields}
    return LogRecord(id=new_id(), tenant_id=tenant, at=at, message=message, **values)


def messages(records: Iterable[LogRecord]) -> list[str]:
    return [r.message for r in records]


async def found(store: LogStore, query: LogQuery) -> list[str]:
    return messages((await store.search(query, MAX_PAGE)).records)
