"""The schema: applied once, under a lock, and confined by tenant."""

import asyncio

import asyncpg
import pytest
from headrace.errors import Conflict
from headrace.ids import new_id
from headrace.postgres.migrate import migrate
from headrace.postgres.pool import API, open_pool, tenant_transaction


async def test_a_second_migration_finds_nothing_to_do(database: str) -> None:
    assert await migrate(database, "headrace_control.migrations") == []


async def test_many_processes_may_migrate_at_once(database: str) -> None:
    admin = await asyncpg.connect(database)
    await admin.execute("DROP OWNED BY headrace_api, headrace_worker, headrace_bus")
    await admin.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await admin.close()
    applied = await asyncio.gather(*(migrate(database, "headrace_control.migrations") for _ in range(4)))
    assert sorted(len(names) > 0 for names in applied) == [False, False, False, True]


async def test_a_changed_migration_is_refused(database: str) -> None:
    admin = await asyncpg.connect(database)
    await admin.execute("UPDATE schema_migrations SET digest = 'other'")
    await admin.close()
    with pytest.raises(Conflict):
        await migrate(database, "headrace_control.migrations")


async def test_a_tenant_sees_its_own_rows_only(database: str) -> None:
    mine, other = new_id(), new_id()
    admin = await asyncpg.connect(database)
    for number, tenant in enumerate((mine, other)):
        await admin.execute("INSERT INTO tenants (id, name) VALUES ($1, $2)", tenant, f"tenant-{number}")
    await admin.close()
    pool = await open_pool(database, API)
    async with tenant_transaction(pool, mine) as db:
        assert [row["id"] for row in await db.fetch("SELECT id FROM tenants")] == [mine]
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await db.execute(
                "INSERT INTO apps (tenant_id, id, name, base_url, auth) VALUES ($1, $2, 'a', 'http://a', '{}')",
                other,
                new_id(),
            )
    async with pool.acquire() as db:
        assert await db.fetch("SELECT id FROM tenants") == []
    await pool.close()


async def test_an_argument_that_can_not_be_encoded_is_no_outage(database: str) -> None:
    pool = await open_pool(database, API)
    with pytest.raises(asyncpg.DataError):
        async with tenant_transaction(pool, new_id()) as db:
            await db.fetch("SELECT $1::int", 2**40)
    await pool.close()
