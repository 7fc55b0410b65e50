"""Which dispatches are sent next."""

from collections.abc import Sequence
from typing import Any

from headrace.postgres.pool import Db
from headrace.postgres.queries import load

_due = load("headrace_control.dispatch").due
DUE_BY_DEFAULT = _due.replace("{pool}", "pool IS NULL")
DUE_IN_POOL = _due.replace("{pool}", "pool = $3")

# By how much further each tenant's queue is read where the first look was not enough.
_FURTHER = 16


async def choose(db: Db, most: int, pool: str | None = None) -> Sequence[Any]:
    """At most `most` of a pool that are due, in their order: `id`, `tenant_id` and `run_id`.

    What is read hangs on `most` and on how many tenants wait, not on how much each of them has queued.
    """
    statement, of = (DUE_BY_DEFAULT, ()) if pool is None else (DUE_IN_POOL, (pool,))
    reach = most
    while True:
        rows = await db.fetch(statement, most, reach, *of)
        found = [row for row in rows if row["id"] is not None]
        if len(found) >= most or not rows[0]["cut"]:
            return found
        reach *= _FURTHER
