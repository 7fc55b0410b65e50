"""Rows of dead letters that belong to no tenant; `db` is of the role headrace_worker, in `IN_INDEX_ORDER`."""

from collections.abc import Sequence
from uuid import UUID

from headrace.postgres.pool import Db
from headrace.postgres.queries import load

from headrace_control.dead_letters.model import DeadLetterStatus, NobodysDeadLetter

_sql = load("headrace_control.dead_letters")

_NO_ID = UUID(int=2**128 - 1)


async def page(
    db: Db, status: DeadLetterStatus, limit: int, before: UUID | None
) -> Sequence[NobodysDeadLetter]:
    """Those below the id `before`, newest first."""
    rows = await db.fetch(_sql.newest_of_nobody, status.value, before or _NO_ID, limit)
    return [
        NobodysDeadLetter(
            row["id"],
            row["source"],
            DeadLetterStatus(row["status"]),
            row["reason"],
            row["created_at"],
            row["closed_at"],
            row["closed_reason"],
        )
        for row in rows
    ]


async def open_of(db: Db, source: str, most: int) -> Sequence[UUID]:
    """Of one source, at most so many that are open."""
    return [row["id"] for row in await db.fetch(_sql.open_of_nobody, source, most)]


async def discard(db: Db, ids: Sequence[UUID], reason: str) -> int:
    """How many of them were open, and nobody's."""
    return len(await db.fetch(_sql.discard_nobodys, list(ids), reason))
