"""Runs that are claimed again and again without progress: set aside as dead letters."""

from collections.abc import Mapping
from typing import Any

import structlog
from headrace.ids import new_id
from headrace.postgres.listen import RUNS_CHANNEL
from headrace.postgres.pool import Pool, transaction
from headrace.postgres.queries import load
from headrace.workflow.state import RunStatus

_log = structlog.get_logger(__name__)
_sql = load("headrace_control.internal_api")

# Take-overs without progress before a run is set aside as a dead letter.
MAX_FRUITLESS_CLAIMS = 5


def is_poison(row: Mapping[str, Any]) -> bool:
    """Whether a run whose take-over has passed the barrier is set aside in place of being handed out."""
    # A cancel is heard whatever the run has done, for it starts no call. Undoing does.
    heard = row["cancel_requested"] and row["status"] != RunStatus.COMPENSATING
    return row["fruitless_claims"] > MAX_FRUITLESS_CLAIMS and not heard


async def set_aside(pool: Pool, row: Mapping[str, Any]) -> bool:
    """rule poison_is_set_aside: its claim is closed, and only a person brings it back. Whether it was so."""
    async with transaction(pool) as db:
        closed = await db.fetchrow(_sql.set_aside, row["id"], row["epoch"], new_id())
        if closed is None:
            return False
        await db.execute(_sql.drop_dispatch, row["id"])
        reason = f"claimed {row['fruitless_claims']} times in a row without progress"
        await db.execute(_sql.add_dead_letter, new_id(), row["tenant_id"], row["id"], reason)
        await db.execute(_sql.notify_runs, RUNS_CHANNEL, str(row["id"]))
    _log.error("run set aside", run_id=str(row["id"]), tenant_id=str(row["tenant_id"]))
    return True
