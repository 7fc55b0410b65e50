"""Which dispatches are sent next."""

from collections.abc import Sequence
from typing import Any

from headrace.postgres.pool import PLAN_ONCE, Db
from headrace.postgres.queries import load

_sql = load("headrace_control.dispatch")

# How a transaction begins that looks at each tenant's queue. The table fills and empties within seconds, so that what
# Postgres has counted of it is never true: where it takes the due rows for few, it would read those of all tenants for
# each tenant and sort them.
BY_QUEUE = f"{PLAN_ONCE}; SET LOCAL enable_sort = off"
RELAY_BEGINS = f"{BY_QUEUE}; {_sql.one_relay_at_a_time}"
DUE_BY_DEFAULT = _sql.due.replace("{pool}", "pool IS NULL")
DUE_IN_POOL = _sql.due.replace("{pool}", "pool = $3")

# By how much further each tenant's queue is read where the first look was not enough.
_FURTHER = 16


async def choose(db: Db, most: int, pool: str | None = None) -> Sequence[Any]:
    """At most `most` of a pool that are due, in their order: `id`, `tenant_id` and `run_id`. `db` is in a transaction
    that began with `RELAY_BEGINS`.

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
