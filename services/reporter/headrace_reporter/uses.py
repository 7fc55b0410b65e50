"""Which credentials runs have used, for the tenants' audits.

Taken from the attempts as they are applied, in the same transaction: what the fence lets pass once is recorded once,
and no use is lost with a run that never ends. One record for each run and connection in a batch, with calls to the same
host and address counted together: a run's events come in a few batches, so that the log grows by runs and not by calls.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from headrace.ids import new_id
from headrace.json_types import Json, JsonObject
from headrace.postgres.pool import Db
from headrace.postgres.queries import load

from headrace_reporter.changes import RunRow
from headrace_reporter.lasting import dump

_sql = load("headrace_reporter")

# Hosts and addresses of one record; a loop over more is told by its number alone.
MOST = 50


async def write_uses(db: Db, runs: Sequence[RunRow]) -> None:
    """One statement, whatever the runs have called."""
    used = [(run, connection, uses) for run in runs for connection, uses in _by_connection(run).items()]
    if used:
        await db.execute(
            _sql.write_uses,
            [run.tenant_id for run, _, _ in used],
            [new_id() for _ in used],
            [f"connection/{connection}" for _, connection, _ in used],
            [dump(_detail(run, uses)) for run, _, uses in used],
        )


def _by_connection(run: RunRow) -> dict[UUID, list[Any]]:
    found: dict[UUID, list[Any]] = {}
    for attempt in run.attempts:
        if attempt["connection"] is not None:
            found.setdefault(attempt["connection"], []).append(attempt)
    return found


def _detail(run: RunRow, attempts: Sequence[Any]) -> JsonObject:
    places: dict[tuple[Any, Any], list[datetime]] = {}
    for attempt in attempts:
        places.setdefault((attempt["host"], attempt["address"]), []).append(attempt["started_at"])
    calls: list[Json] = [
        {
            "host": host,
            "address": address,
            "calls": len(times),
            "first": min(times).isoformat(),
            "last": max(times).isoformat(),
        }
        for (host, address), times in list(places.items())[:MOST]
    ]
    return {"run": str(run.id), "calls": calls, "places": len(places)}
