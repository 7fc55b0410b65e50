"""Schedules in Postgres. Every function works inside the caller's transaction and tenant."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from headrace.errors import Conflict
from headrace.ids import new_id
from headrace.json_types import JsonObject
from headrace.postgres.pool import Db
from headrace.postgres.queries import load

from headrace_control.answer_size import Sized
from headrace_control.answer_text import passed_on
from headrace_control.schedules.deciding import Missed, Overlap
from headrace_control.schedules.model import Firing, FiringOutcome, Schedule, Terms

_sql = load("headrace_control.schedules")

# Told when something of a schedule changed; no payload.
SCHEDULES_CHANNEL = "headrace_schedules"
_NO_ID = UUID(int=2**128 - 1)


async def find(db: Db, tenant_id: UUID, name: str, *, lock: bool = False) -> Schedule | None:
    """With `lock` nobody else changes it, or fires it, until the transaction ends."""
    row = await db.fetchrow(_sql.lock_named if lock else _sql.named, tenant_id, name)
    return _schedule(row) if row else None


async def lock_due(db: Db, tenant_id: UUID, schedule_id: UUID) -> Schedule | None:
    """The schedule, if it is due and nobody else is at it."""
    row = await db.fetchrow(_sql.lock_due, tenant_id, schedule_id)
    return _schedule(row) if row else None


async def shown(
    db: Db, tenant_id: UUID, after: str, name: str | None, first: int, most: int
) -> Sized[Sequence[Schedule]]:
    """For answers, what may be large of them as texts: at most `first` by name, and one more without it; or the one of
    this name. None of them when that has more than `most` bytes."""
    rows = await db.fetch(_sql.shown, tenant_id, after, name, first, most)
    found = [_schedule({**row, "input": passed_on(row["input"])}) for row in rows if row["id"] is not None]
    return Sized(rows[0]["size"], found)


async def now(db: Db) -> datetime:
    """The database's clock, in this transaction."""
    moment: datetime = await db.fetchval(_sql.now)
    return moment


async def count(db: Db, tenant_id: UUID) -> int:
    counted: int = await db.fetchval(_sql.count, tenant_id)
    return counted


async def insert(
    db: Db, tenant_id: UUID, name: str, terms: Terms, acts_for: UUID, next_at: datetime | None
) -> None:
    """Raises `Conflict` when the name is taken."""
    columns = (tenant_id, new_id(), name, terms.workflow, *_terms(terms), acts_for, next_at)
    if await db.fetchval(_sql.insert, *columns) is None:
        raise Conflict("a schedule of this name is already there")


async def change(
    db: Db, tenant_id: UUID, schedule_id: UUID, terms: Terms, acts_for: UUID, next_at: datetime | None
) -> None:
    await db.execute(_sql.change, tenant_id, schedule_id, terms.workflow, *_terms(terms), acts_for, next_at)


def _terms(terms: Terms) -> tuple[Any, ...]:
    return (
        terms.version,
        terms.cron,
        terms.time_zone,
        terms.input,
        terms.missed,
        terms.missed_limit,
        terms.overlap,
    )


async def pause(db: Db, tenant_id: UUID, schedule_id: UUID, error: JsonObject | None = None) -> None:
    await db.execute(_sql.pause, tenant_id, schedule_id, error)


async def resume(db: Db, tenant_id: UUID, schedule_id: UUID, next_at: datetime | None) -> None:
    await db.execute(_sql.resume, tenant_id, schedule_id, next_at)


async def delete(db: Db, tenant_id: UUID, schedule_id: UUID) -> None:
    await db.execute(_sql.delete, tenant_id, schedule_id)


async def fired(
    db: Db, tenant_id: UUID, schedule_id: UUID, next_at: datetime | None, queued_at: datetime | None
) -> None:
    await db.execute(_sql.fired, tenant_id, schedule_id, next_at, queued_at)


async def unfinished_runs(
    db: Db, tenant_id: UUID, schedule_id: UUID, backfill_id: UUID | None = None
) -> Sequence[UUID]:
    """Of the runs that others have to mind, those that have not ended."""
    await db.execute(_sql.close_firings, tenant_id, schedule_id, backfill_id)
    rows = await db.fetch(_sql.open_runs, tenant_id, schedule_id, backfill_id)
    return [row["run_id"] for row in rows]


async def keep_firings(
    db: Db, tenant_id: UUID, schedule_id: UUID, firings: Collection[Firing], *, minded: bool
) -> None:
    """Write down what came of firings, all by the clock or all of one backfill. `minded`: their runs count as
    unfinished until they have ended."""
    if not firings:
        return
    backfill_id = next(iter(firings)).backfill_id
    await db.execute(
        _sql.keep_firings,
        tenant_id,
        schedule_id,
        backfill_id,
        [f.id for f in firings],
        [f.at for f in firings],
        [f.last_at for f in firings],
        [f.outcome for f in firings],
        [f.run_id for f in firings],
        [orjson.dumps(f.error).decode() if f.error else None for f in firings],
        minded,
    )


async def firings(db: Db, tenant_id: UUID, name: str, before: UUID | None, limit: int) -> Sequence[Firing]:
    """Newest first."""
    rows = await db.fetch(_sql.firings_below, tenant_id, name, before or _NO_ID, limit)
    return [
        Firing(
            row["id"],
            row["at"],
            row["last_at"],
            FiringOutcome(row["outcome"]),
            row["run_id"],
            row["error"],
            row["backfill_id"],
        )
        for row in rows
    ]


async def tell(db: Db) -> None:
    """Wake whoever waits for the next firing."""
    await db.execute(_sql.notify, SCHEDULES_CHANNEL)


def _schedule(row: Any) -> Schedule:
    terms = Terms(
        row["workflow"],
        row["cron"],
        row["time_zone"],
        row["input"],
        row["version"],
        Missed(row["missed"]),
        row["missed_limit"],
        Overlap(row["overlap"]),
    )
    return Schedule(
        row["id"],
        row["name"],
        terms,
        row["acts_for"],
        row["paused"],
        row["error"],
        row["next_at"],
        row["queued_at"],
        row["created_at"],
        row["updated_at"],
        row["read_at"],
    )
