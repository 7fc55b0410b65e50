"""The log store of the embedded profile, in the Postgres that is there anyway (migration 0003)."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from headrace.errors import DatabaseUnavailable, LogStoreUnavailable
from headrace.logstore import cursor
from headrace.logstore.port import LogPage, LogQuery
from headrace.logstore.storable import LEVELS, expiry, searchable, storable
from headrace.logstore.words import terms_of, terms_wanted
from headrace.messages import LogRecord
from headrace.postgres.listen import Listener
from headrace.postgres.pool import API, WORKER, Pool, open_pool, tenant_transaction, transaction
from headrace.postgres.queries import load

SQL = load(__package__, "postgres.sql")

_CHANNEL: Final = "headrace_logs"
_DEADLINE_S: Final = 10.0
_CLOSING_S: Final = 5.0
_AT_ONCE: Final = 500

Filters = tuple[Any, ...]


async def open_postgres_log_store(dsn: str, retention: timedelta, poll: timedelta) -> "PostgresLogStore":
    """Nothing connects before the first call."""
    deadline = f"{_DEADLINE_S:.0f}s"
    return PostgresLogStore(
        await open_pool(dsn, WORKER, min_size=0, max_size=2, statement_timeout=deadline),
        await open_pool(dsn, API, min_size=0, max_size=4, statement_timeout=deadline),
        Listener(dsn),
        retention,
        poll,
    )


class PostgresLogStore:
    """`headrace.logstore.port.LogStore` on Postgres.

    Appends and purges act as the worker; searches and followers as the api role, within their tenant. Every
    call ends within about ten seconds. A follower reads on by the number under which records were stored, so
    it misses none, however late its time; it is woken by NOTIFY, and looks by itself every ten `poll`s.
    """

    def __init__(
        self, writing: Pool, reading: Pool, listener: Listener, retention: timedelta, poll: timedelta
    ) -> None:
        self._writing = writing
        self._reading = reading
        self._listener = listener
        self._listening = False
        self._followers: defaultdict[UUID, set[asyncio.Event]] = defaultdict(set)
        self._retention = retention
        self._poll = poll

    async def append(self, records: Sequence[LogRecord]) -> None:
        if not records:
            return
        rows = [self._row(record) for record in records]
        tenants = sorted({str(record.tenant_id) for record in records})
        async with _bounded(), transaction(self._writing) as db:
            await db.execute(SQL.take_turn)
            await db.executemany(SQL.append, rows)
            await db.execute(SQL.wake_followers, tenants)

    async def search(self, query: LogQuery, first: int = 50, after: str | None = None) -> LogPage:
        cursor.check_size(first)
        at, record_id = (None, None) if after is None else cursor.decode(after)
        filters = _filters(query)
        async with _bounded(), tenant_transaction(self._reading, query.tenant_id) as db:
            rows = await db.fetch(SQL.search, *filters[1:], at, record_id, first + 1)
        return cursor.page([_record(row) for row in rows], first)

    async def tail(self, query: LogQuery) -> AsyncGenerator[LogRecord, None]:
        filters = _filters(query)
        async with self._woken_for(query.tenant_id) as wake:
            position = await self._newest_number(query.tenant_id)
            if query.since is not None:
                async for record in self._stored_before(query.tenant_id, filters, query.since, position):
                    yield record
            while True:
                wake.clear()
                newest = await self._newest_number(query.tenant_id)
                while position < newest:
                    rows = await self._read(
                        query.tenant_id, SQL.by_number, *filters, position, newest, _AT_ONCE
                    )
                    for row in rows:
                        yield _record(row)
                    position = rows[-1]["number"] if len(rows) == _AT_ONCE else newest
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(wake.wait(), self._poll.total_seconds() * 10)

    async def purge(self, now: datetime, most: int = 10_000) -> int:
        async with _bounded(), transaction(self._writing) as db:
            return _count(await db.execute(SQL.purge, now, most))

    async def forget(self, tenant_id: UUID, most: int = 10_000) -> int:
        async with _bounded(), transaction(self._writing) as db:
            return _count(await db.execute(SQL.forget, tenant_id, most))

    async def ping(self) -> None:
        async with _bounded(), transaction(self._reading) as db:
            await db.execute("SELECT 1")

    async def close(self) -> None:
        await self._listener.close()
        for pool in (self._reading, self._writing):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(pool.close(), _CLOSING_S)

    async def _stored_before(
        self, tenant_id: UUID, filters: Filters, since: datetime, newest: int
    ) -> AsyncIterator[LogRecord]:
        after = (since, UUID(int=0))
        while True:
            rows = await self._read(tenant_id, SQL.by_time, *filters, *after, newest, _AT_ONCE)
            for row in rows:
                yield _record(row)
            if len(rows) < _AT_ONCE:
                return
            after = (rows[-1]["at"], rows[-1]["id"])

    async def _newest_number(self, tenant_id: UUID) -> int:
        [row] = await self._read(tenant_id, SQL.newest_number, tenant_id)
        return int(row["newest"])

    async def _read(self, tenant_id: UUID, statement: str, *values: Any) -> list[asyncpg.Record]:
        async with _bounded(), tenant_transaction(self._reading, tenant_id) as db:
            return await db.fetch(statement, *values)

    @contextlib.asynccontextmanager
    async def _woken_for(self, tenant_id: UUID) -> AsyncIterator[asyncio.Event]:
        """An event that is set when records of the tenant may have been stored."""
        if not self._listening:
            self._listening = True
            self._listener.subscribe(_CHANNEL, self._heard)
            await self._listener.start()
        wake = asyncio.Event()
        self._followers[tenant_id].add(wake)
        try:
            yield wake
        finally:
            self._followers[tenant_id].discard(wake)
            if not self._followers[tenant_id]:
                del self._followers[tenant_id]

    def _heard(self, payload: str) -> None:
        # "" says that notifications may have been missed.
        tenants = [UUID(payload)] if payload else list(self._followers)
        for tenant_id in tenants:
            for wake in self._followers.get(tenant_id, ()):
                wake.set()

    def _row(self, record: LogRecord) -> tuple[Any, ...]:
        fit = storable(record)
        return (
            fit.id,
            fit.tenant_id,
            fit.run_id,
            fit.at,
            expiry(fit.at, self._retention),
            fit.attempt,
            fit.level.severity,
            fit.step,
            fit.message,
            fit.context,
            terms_of(fit),
        )


def _filters(query: LogQuery) -> Filters:
    """The parameters $1 to $7 of every statement that reads. Raises `InvalidInput` for unsearchable words."""
    fit = searchable(query)
    return (
        fit.tenant_id,
        terms_wanted(fit),
        None if fit.level is None else fit.level.severity,
        fit.run_id,
        fit.step,
        fit.since,
        fit.until,
    )


def _record(row: asyncpg.Record) -> LogRecord:
    return LogRecord(
        row["id"],
        row["tenant_id"],
        row["run_id"],
        row["at"],
        LEVELS[row["level"]],
        row["message"],
        row["step"],
        row["attempt"],
        row["context"],
    )


def _count(status: str) -> int:
    """How many rows a command says that it touched ("DELETE 3")."""
    return int(status.rsplit(" ", 1)[-1])


@contextlib.asynccontextmanager
async def _bounded() -> AsyncIterator[None]:
    """A deadline, and Postgres's errors as the log store's: by type alone, since messages quote data."""
    try:
        async with asyncio.timeout(_DEADLINE_S):
            yield
    except DatabaseUnavailable as error:
        raise LogStoreUnavailable(error.message) from None
    except (asyncpg.PostgresError, TimeoutError) as error:
        raise LogStoreUnavailable(f"the log store did not answer ({type(error).__name__})") from None
