"""Sessions with a Postgres that was demoted while they stood, or that does not answer any more."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from headrace.errors import DatabaseUnavailable
from headrace.ids import new_id
from headrace.postgres.pool import Db, Pool, one_statement, open_pool, transaction
from proxy import dialler, proxied, through


@pytest.mark.parametrize("begun", [transaction, one_statement])
async def test_a_session_that_takes_no_writes_is_given_up(
    database: str, begun: Callable[[Pool], AbstractAsyncContextManager[Db]]
) -> None:
    """A pool keeps sessions that are in use for good; by a name that leads to the new server it would find it."""
    async with await open_pool(database, max_size=1) as pool:
        async with one_statement(pool) as db:
            await db.execute("SET default_transaction_read_only = on")
        with pytest.raises(DatabaseUnavailable, match="ReadOnly"):
            await write(pool, begun)
        await write(pool, begun)


async def write(pool: Pool, begun: Callable[[Pool], AbstractAsyncContextManager[Db]]) -> None:
    async with begun(pool) as db:
        await db.execute("INSERT INTO tenants (id, name) VALUES ($1, 'acme')", new_id())


async def test_a_cancellation_is_not_lost_with_its_session(database: str) -> None:
    """A worker that is told of the session instead waits for a better time, and its service never leaves."""
    begun = asyncio.Event()

    async def work(pool: Pool) -> None:
        async with transaction(pool):
            begun.set()
            await asyncio.Event().wait()

    async with (
        proxied(dialler(database)) as proxy,
        await open_pool(through(database, proxy.port), max_size=1) as pool,
    ):
        worker = asyncio.create_task(work(pool))
        await begun.wait()
        proxy.stall()
        worker.cancel()
        for _ in range(3):
            await asyncio.sleep(0)  # it asks for the rollback
        proxy.cut()
        with pytest.raises(asyncio.CancelledError):
            await worker
