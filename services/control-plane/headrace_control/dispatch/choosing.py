"""Which dispatches are sent next."""

from collections.abc import Sequence
from typing import Any

from headrace.postgres.pool import Db

# By how much further each tenant's queue is read where the first look was not enough.
_FURTHER = 16


async def choose(db: Db, statement: str, most: int, *of: object) -> Sequence[Any]:
    """At most `most` that are due, in their order. `statement` is `due_dispatches`, or `due_in_pool` and `of` its pool.

    What is read hangs on `most` and on how many tenants wait, not on how much each of them has queued.
    """
    reach = most
    while True:
        rows = await db.fetch(statement, most, reach, *of)
        found = [row for row in rows if row["id"] is not None]
        if len(found) >= most or not rows[0]["cut"]:
            return found
        reach *= _FURTHER
