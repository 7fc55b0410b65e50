"""Sessions with a Postgres that was demoted while they stood."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from headrace.errors import DatabaseUnavailable
from headrace.ids import new_id
from headrace.postgres.pool import Db, Pool, one_statement, open_pool, transaction


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
