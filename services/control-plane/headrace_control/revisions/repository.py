"""The SQL of past states. Every function works inside the caller's transaction and tenant."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from headrace.postgres.pool import Db
from headrace.postgres.queries import load
from headrace.workflow.state import EventKind, Failure, MessageKind, Place, StepState, StepStatus

from headrace_control.answer_size import Sized
from headrace_control.revisions.model import EventPayload, PastMessage, StoredEvent, TakenRow

_sql = load("headrace_control.revisions")

EventId: TypeAlias = tuple[UUID, Place]


async def events(
    db: Db, tenant_id: UUID, run_id: UUID, after: Place, up_to: Place, limit: int
) -> Sequence[StoredEvent]:
    """At most `limit` events behind `after` and not behind `up_to`, oldest first."""
    rows = await db.fetch(_sql.events, tenant_id, run_id, *after, *up_to, limit)
    return [
        StoredEvent((row["epoch"], row["seq"]), EventKind(row["kind"]), row["step"], row["at"], row["data"])
        for row in rows
    ]


async def taken(db: Db, tenant_id: UUID, run_id: UUID) -> Mapping[str, TakenRow]:
    """The rows that the run began with, as they were then."""
    rows: dict[str, TakenRow] = {}
    for row in await db.fetch(_sql.taken, tenant_id, run_id):
        status, opened = StepStatus(row["status"]), row["opened"]
        if opened:
            state, finished_at = StepState(StepStatus.RUNNING, items=row["items"]), None
        else:
            # Only afterwards it can have been undone.
            status = StepStatus.SUCCESS if status is StepStatus.COMPENSATED else status
            state = StepState(status, error=Failure.from_json(row["error"]), items=row["items"])
            finished_at = row["finished_at"]
        rows[row["key"]] = TakenRow(state, row["started_at"], finished_at, row["taken_from"])
    return rows


async def version_then(
    db: Db, tenant_id: UUID, run_id: UUID, place: Place, time: datetime | None
) -> UUID | None:
    """The version that the run had behind the event at `place`, or at `time`; None: the one that it has now."""
    found: UUID | None = await db.fetchval(_sql.version_then, tenant_id, run_id, *place, time)
    return found


async def messages(
    db: Db,
    tenant_id: UUID,
    run_id: UUID,
    after: int,
    until: datetime | None,
    used: Collection[int],
    limit: int,
) -> Sequence[PastMessage]:
    rows = await db.fetch(_sql.messages, tenant_id, run_id, after, until, list(used), limit)
    return [
        PastMessage(row["seq"], MessageKind(row["kind"]), row["step"], row["name"], row["created_at"])
        for row in rows
    ]


async def payloads(
    db: Db, tenant_id: UUID, ids: Sequence[EventId], most: int
) -> Sized[Mapping[EventId, EventPayload]]:
    """Of each event what may be large, as it is stored. None of them when they have more than `most` bytes together."""
    wanted = (tenant_id, [i for i, _ in ids], [place[0] for _, place in ids], [place[1] for _, place in ids])
    rows = await db.fetch(_sql.payloads, *wanted, most)
    found = {
        (row["run_id"], (row["epoch"], row["seq"])): EventPayload(row["input"], row["output"], row["result"])
        for row in rows
        if row["run_id"] is not None
    }
    return Sized(rows[0]["size"], found)
