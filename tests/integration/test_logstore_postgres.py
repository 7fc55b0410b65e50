"""What is the Postgres log store's own: its plans, its row-level security, how followers are woken."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest
from headrace.ids import new_id
from headrace.logstore.open import open_log_store
from headrace.logstore.port import LogQuery, LogStore
from headrace.messages import LogLevel, LogRecord
from headrace.postgres.pool import API, BUS, WORKER, open_pool, tenant_transaction

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TENANT, OTHER = new_id(), new_id()
# Ten times this is when a follower looks by itself: longer than any test here.
POLL = timedelta(minutes=1)


@pytest.fixture
async def store(database: str) -> AsyncIterator[LogStore]:
    store = await open_log_store(database, retention=timedelta(days=30), poll=POLL)
    yield store
    await store.close()


@pytest.fixture
async def owner(database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


def record(message: str, n: int = 0, tenant: UUID = TENANT, run: UUID | None = None) -> LogRecord:
    at = NOW + timedelta(milliseconds=n)
    return LogRecord(new_id(), tenant, run or new_id(), at, LogLevel.INFO, message)


async def test_a_rare_word_is_looked_up_and_a_common_one_met_on_the_way(
    database: str, store: LogStore, owner: asyncpg.Connection
) -> None:
    run = new_id()
    for start in range(0, 10_000, 1_000):
        batch = range(start, start + 1_000)
        await store.append(
            [record(f"answered order-{n}", n, run=run if n % 500 == 0 else None) for n in batch]
        )
    await owner.execute("ANALYZE log_records")

    async def indexes_used(query: LogQuery) -> dict[str, int]:
        before = await _index_reads(owner)
        async with _one_search(database, query):
            pass
        after = await _index_reads(owner)
        return {name: after[name] - before[name] for name in after if after[name] != before[name]}

    assert await indexes_used(LogQuery(TENANT, "order-4711")) == {"log_records_terms": 1}
    assert await indexes_used(LogQuery(TENANT, "answered")) == {"log_records_newest": 51}
    assert await indexes_used(LogQuery(TENANT)) == {"log_records_newest": 51}
    assert await indexes_used(LogQuery(TENANT, run_id=run)) == {"log_records_by_run": 20}


@contextlib.asynccontextmanager
async def _one_search(database: str, query: LogQuery) -> AsyncIterator[None]:
    """A search by a store of its own: a session reports what it read at the latest when it ends."""
    store = await open_log_store(database, retention=timedelta(days=30))
    await store.search(query, 50)
    await store.close()
    yield


async def _index_reads(owner: asyncpg.Connection) -> dict[str, int]:
    """Entries read of each index of log_records, once the sessions that searched have ended."""
    ended = """
        SELECT count(*) FROM pg_stat_activity
        WHERE application_name LIKE 'headrace:headrace_api/%' AND datname = current_database()
    """
    while await owner.fetchval(ended):
        await asyncio.sleep(0.01)
    await owner.execute("SELECT pg_stat_clear_snapshot()")
    rows = await owner.fetch(
        "SELECT indexrelname, idx_tup_read FROM pg_stat_user_indexes WHERE relname = 'log_records'"
    )
    return {row["indexrelname"]: row["idx_tup_read"] for row in rows}


async def test_the_api_role_sees_its_tenant_alone_by_table_and_by_function(
    database: str, store: LogStore
) -> None:
    await store.append([record("ours"), record("theirs", tenant=OTHER)])
    everything = (
        "SELECT message FROM headrace_search_logs('{}', null, null, null, null, null, null, null, 100)"
    )
    pool = await open_pool(database, API)
    for statement in ("SELECT message FROM log_records", everything):
        async with tenant_transaction(pool, TENANT) as db:
            assert [row["message"] for row in await db.fetch(statement)] == ["ours"]
        assert await pool.fetch(statement) == []
    for statement in ("DELETE FROM log_records", "UPDATE log_records SET message = ''"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.execute(statement)
    await pool.close()


@pytest.mark.parametrize("role", [WORKER, BUS])
async def test_no_other_role_may_search(database: str, role: str) -> None:
    pool = await open_pool(database, role)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await pool.fetch("SELECT headrace_search_logs('{}', null, null, null, null, null, null, null, 100)")
    await pool.close()


async def test_a_follower_is_woken_also_after_its_listener_was_lost(
    store: LogStore, owner: asyncpg.Connection
) -> None:
    tail = store.tail(LogQuery(TENANT, since=NOW))
    async with asyncio.timeout(30), contextlib.aclosing(tail):
        await store.append([record("one")])
        assert (await anext(tail)).message == "one"
        waiting = asyncio.ensure_future(anext(tail))
        await _listening(owner)
        await store.append([record("two")])
        assert (await waiting).message == "two"
        waiting = asyncio.ensure_future(anext(tail))
        await owner.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN %'"
        )
        await store.append([record("three")])
        assert (await waiting).message == "three"


async def _listening(owner: asyncpg.Connection) -> None:
    statement = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN %' AND state = 'idle'"
    while not await owner.fetchval(statement):
        await asyncio.sleep(0.01)
