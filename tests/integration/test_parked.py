"""Parked runs cost nothing: what the relay reads for a due timer does not grow with how many are parked."""

from datetime import timedelta
from typing import Any

import asyncpg
import orjson
import pytest
from fixtures_claims import World
from headrace.postgres.queries import load
from headrace_control.dispatch.choosing import BY_QUEUE, DUE_BY_DEFAULT, DUE_IN_POOL

_dispatch, _scaling = load("headrace_control.dispatch"), load("headrace_control.scaling")
# Statements that the relay, the sweeper and the signals run again and again, and what they are given.
STATEMENTS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "due_by_default": (DUE_BY_DEFAULT, (100, 100)),
    "mark_sent": (_dispatch.mark_sent, ([], None)),
    "next_due": (_dispatch.next_due, ()),
    "sweep": (_dispatch.sweep, (timedelta(minutes=1),)),
    "pools_waiting": (_dispatch.pools_waiting, ()),
    "due_in_pool": (DUE_IN_POOL, (100, 100, "eu")),
    "due": (_scaling.due, (20,)),
    "oldest_unclaimed": (_scaling.oldest_unclaimed, ()),
}
PARKED = 100_000


@pytest.fixture
def database(each_server: str) -> str:
    return each_server


async def pages(admin: asyncpg.Connection, query: str, *given: Any) -> int:
    """How many pages of tables and indexes the statement touches, as Postgres counts them."""
    async with admin.transaction():
        await admin.execute(BY_QUEUE)
        (plan,) = orjson.loads(
            await admin.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}", *given)
        )
    return int(plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"])


async def park(admin: asyncpg.Connection, tenant: Any, count: int) -> None:
    """Timers spread over the hour after the next, half of them in a pool."""
    await admin.execute(
        """INSERT INTO dispatches (id, tenant_id, run_id, due_at, pool)
           SELECT gen_random_uuid(), $1, gen_random_uuid(), now() + interval '1 hour' * (1 + n::float8 / $2),
                  CASE WHEN n % 2 = 0 THEN 'eu' END
           FROM generate_series(1, $2::int) n""",
        tenant,
        count,
    )
    await admin.execute("VACUUM ANALYZE dispatches")


@pytest.mark.parametrize("name", STATEMENTS)
async def test_what_is_read_for_a_due_timer_does_not_grow(world: World, name: str) -> None:
    tenant = await world.tenant("one")
    query, given = STATEMENTS[name]
    await park(world.admin, tenant, 1000)
    await world.admin.execute(
        "UPDATE dispatches SET due_at = now() WHERE id = (SELECT id FROM dispatches LIMIT 1)"
    )
    few = await pages(world.admin, query, *given)
    await park(world.admin, tenant, PARKED)
    many = await pages(world.admin, query, *given)
    # An index of a hundred times the entries is a level deeper, and no more.
    assert many <= 2 * few + 10, (few, many)
