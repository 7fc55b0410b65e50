"""Rows of dead letters; `db` is inside a tenant's transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from headrace.errors import NotFound
from headrace.postgres.pool import Db
from headrace.postgres.queries import load

from headrace_control.answer_size import Sized
from headrace_control.dead_letters.model import (
    DeadLetter,
    DeadLetterBody,
    DeadLetterFilter,
    DeadLetterSource,
    DeadLetterStatus,
    Group,
    GroupCount,
    Statistic,
    StatisticsBy,
)

_sql = load("headrace_control.dead_letters")

_NO_ID = UUID(int=2**128 - 1)
# As the reporter and the claims write them.
STORED = {
    DeadLetterSource.STEP: "step",
    DeadLetterSource.IN_DOUBT: "in_doubt",
    DeadLetterSource.COMPENSATION: "compensation",
    DeadLetterSource.CLAIM: "claim",
    DeadLetterSource.EVENTS: "reporter",
}
_SOURCES = {stored: source for source, stored in STORED.items()}


async def page(
    db: Db, tenant_id: UUID, wanted: DeadLetterFilter, limit: int, before: UUID | None
) -> Sequence[DeadLetter]:
    """Dead letters below the id `before`, newest first."""
    window = (tenant_id, wanted.status.value, before or _NO_ID, limit)
    await db.execute(_sql.in_index_order)
    if wanted.group is not None:
        workflow = await workflow_id(db, tenant_id, wanted.workflow)
        rows = await db.fetch(_sql.newest_of_group, *window, *stored(wanted.group), workflow)
    elif wanted.workflow is not None:
        rows = await db.fetch(_sql.newest_of_workflow, *window, wanted.workflow)
    else:
        rows = await db.fetch(_sql.newest, *window)
    return [_letter(row) for row in rows]


async def workflow_id(db: Db, tenant_id: UUID, name: str | None) -> UUID | None:
    """Raises `NotFound`; None for None."""
    if name is None:
        return None
    found: UUID | None = await db.fetchval(_sql.workflow_named, tenant_id, name)
    if found is None:
        raise NotFound("workflow")
    return found


async def by_id(db: Db, tenant_id: UUID, letter_id: UUID) -> DeadLetter:
    row = await db.fetchrow(_sql.by_id, tenant_id, [letter_id])
    if row is None:
        raise NotFound("dead letter")
    return _letter(row)


async def body(db: Db, tenant_id: UUID, letter_id: UUID, most: int) -> Sized[DeadLetterBody]:
    """An empty one when it has more than `most` bytes."""
    row = await db.fetchrow(_sql.body, tenant_id, letter_id, most)
    if row is None:
        raise NotFound("dead letter")
    return Sized(row["size"], DeadLetterBody(row["input"], row["attempts"]))


async def groups(
    db: Db, tenant_id: UUID, status: DeadLetterStatus, workflow: UUID | None, limit: int
) -> Sequence[GroupCount]:
    rows = await db.fetch(_sql.groups, tenant_id, status.value, workflow, limit)
    return [
        GroupCount(read_group(row), row["count"], row["first_at"], row["last_at"], row["example"])
        for row in rows
    ]


async def statistics(
    db: Db, tenant_id: UUID, by: StatisticsBy, since: datetime, limit: int
) -> Sequence[Statistic]:
    rows = await db.fetch(_sql.statistics, tenant_id, by.value, since, limit)
    return [
        Statistic(row["name"], row["open"] or 0, row["replayed"] or 0, row["discarded"] or 0) for row in rows
    ]


async def discard(db: Db, tenant_id: UUID, ids: Sequence[UUID], reason: str) -> int:
    return len(await db.fetch(_sql.discard, tenant_id, list(ids), reason))


async def discard_group(
    db: Db, tenant_id: UUID, group: Group, workflow: UUID | None, reason: str, most: int
) -> int:
    rows = await db.fetch(_sql.discard_group, tenant_id, *stored(group), workflow, reason, most)
    return len(rows)


async def is_open(db: Db, tenant_id: UUID, letter_id: UUID) -> bool:
    status: str | None = await db.fetchval(_sql.is_open, tenant_id, letter_id)
    return status == DeadLetterStatus.OPEN


async def close_replayed(db: Db, tenant_id: UUID, letter: DeadLetter, by: UUID) -> None:
    """Close the dead letter, and with it all of its run from the same source: the run `by` goes on with them."""
    source = STORED[letter.source]
    await db.execute(_sql.close_replayed, tenant_id, letter.run_id, source, by)


def stored(group: Group) -> tuple[str, str, str]:
    """As the table has it."""
    return STORED[group.source], group.action, group.code


def read_group(row: Any) -> Group:
    return Group(_SOURCES[row["source"]], row["action"], row["code"])


def _letter(row: Any) -> DeadLetter:
    return DeadLetter(
        row["id"],
        _SOURCES[row["source"]],
        DeadLetterStatus(row["status"]),
        row["run_id"],
        row["step"],
        row["workflow"] or "",
        row["action"],
        row["code"],
        row["reason"],
        row["created_at"],
        row["closed_at"],
        row["closed_reason"],
        row["replayed_by"],
    )
