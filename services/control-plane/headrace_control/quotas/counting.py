"""Counts what tenants with such a quota have stored, once a minute."""

import asyncio
import contextlib

import asyncpg
from headrace.errors import Unavailable
from headrace.postgres.pool import Pool, transaction
from headrace.postgres.queries import load

_sql = load("headrace_control.quotas")

PERIOD_SECONDS = 20.0


async def count_stored(pool: Pool) -> None:
    """Work until cancelled, over a pool of the role headrace_worker; what fails now is counted later."""
    while True:
        with contextlib.suppress(Unavailable, asyncpg.PostgresError):
            async with transaction(pool) as db:
                tenants = [row["tenant_id"] for row in await db.fetch(_sql.to_be_counted)]
            for tenant_id in tenants:
                async with transaction(pool) as db:
                    await db.execute(_sql.count_stored, tenant_id)
        await asyncio.sleep(PERIOD_SECONDS)
