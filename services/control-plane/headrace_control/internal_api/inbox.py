"""Messages to runs, as the holders of their claims get them."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from headrace.postgres.pool import Db
from headrace.postgres.queries import load

from headrace_control.answer_text import passed_on

_sql = load("headrace_control.internal_api")

# In one answer to a heartbeat, but for a last message that may be larger: an answer that takes too long would cost
# the runner its lease. The next heartbeat brings more.
MOST_MESSAGES = 200
MOST_BYTES = 2 * 1024 * 1024
# How long a message may take, at most, from the moment in which it was found to come in time to where it can be read
# without the lock of its run's row.
UNDER_WAY = timedelta(seconds=2)


async def unused(db: Db, seen: Mapping[UUID, int], *, bounded: bool) -> Mapping[UUID, list[dict[str, Any]]]:
    """Of each run the messages above the number given with it that no event has used up, oldest first.

    `bounded`: as many as an answer to a heartbeat holds.
    """
    found: dict[UUID, list[dict[str, Any]]] = defaultdict(list)
    if not seen:
        return found
    bounds = (MOST_MESSAGES, MOST_BYTES) if bounded else (None, None)
    for row in await db.fetch(_sql.inbox, list(seen), list(seen.values()), *bounds):
        message = dict(row) | {"data": passed_on(row["data"])}
        found[message.pop("run_id")].append(message)
    return found
