"""Runs that say what triggered them in their `trigger` alone come into the lists of what triggered them."""

from headrace.postgres.pool import Pool, transaction
from headrace.postgres.queries import load

_sql = load("headrace_control.runs", "changing.sql")

# Rows that are locked in one transaction, of runs that may be under way.
MOST = 200


async def list_by_trigger(pool: Pool) -> int:
    """How many there were. `pool` is of the role headrace_worker. What somebody else has locked is left for later."""
    listed = 0
    while True:
        async with transaction(pool) as db:
            came = len(await db.fetch(_sql.list_by_trigger, MOST))
        listed += came
        if came < MOST:
            return listed
