"""Messages to runs, as the holders of their claims get them."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from headrace.postgres.pool import Db
from headrace.postgres.queries import load

_sql = load("headrace_control.internal_api")

# In one answer to a heartbeat; a message has 64 KB at most, and the next heartbeat brings more.
MOST_MESSAGES = 200


async def unused(
    db: Db, seen: Mapping[UUID, int], most: int | None = MOST_MESSAGES
) -> Mapping[UUID, list[dict[str, Any]]]:
    """Of each run the messages above the number given with it that no event has used up, oldest first."""
    found: dict[UUID, list[dict[str, Any]]] = defaultdict(list)
    if not seen:
        return found
    for row in await db.fetch(_sql.inbox, list(seen), list(seen.values()), most):
        message = dict(row)
        found[message.pop("run_id")].append(message)
    return found
