"""Schedules in Postgres. Every function works inside the caller's transaction and tenant."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from headrace.errors import NotFound
from headrace.ids import new_id
from headrace.json_types import JsonObject
from headrace.postgres.pool import Db
from headrace.postgres.queries import load

from headrace_control.schedules.deciding import Missed, Overlap
from headrace_control.schedules.model import (
    Backfill,
    BackfillStatus,
    Firing,
    FiringOutcome,
    Plan,
    Schedule,
)

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


async def by_name(db: Db, tenant_id: UUID, after: str, limit: int) -> Sequence[Schedule]:
    return [_schedule(row) for row in await db.fetch(_sql.by_name, tenant_id, after, limit)]


async def now(db: Db) -> datetime:
    """The database's clock, in this transaction."""
    moment: datetime = await db.fetchval(_sql.now)
    return moment


async def count(db: Db, tenant_id: UUID) -> int:
    counted: int = await db.fetchval(_sql.count, tenant_id)
    return counted


async def insert(
    db: Db, tenant_id: UUID, name: str, plan: Plan, acts_for: UUID, next_at: datetime | None
) -> None:
    """Raises `Conflict` when the name is taken."""
    await db.execute(_sql.insert, tenant_id, new_id(), name, plan.workflow, *_terms(plan), acts_for, next_at)


async def change(
    db: Db, tenant_id: UUID, schedule_id: UUID, plan: Plan, acts_for: UUID, next_at: datetime | None
) -> None:
    await db.execute(_sql.change, tenant_id, schedule_id, plan.workflow, *_terms(plan), acts_for, next_at)


def _terms(plan: Plan) -> tuple[Any, ...]:
    return (
        plan.version,
        plan.cron,
        plan.time_zone,
        plan.input,
        plan.missed,
        plan.missed_limit,
        plan.overlap,
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


async def insert_backfill(db: Db, tenant_id: UUID, schedule: Schedule, backfill: Backfill) -> None:
    await db.execute(
        _sql.insert_backfill,
        tenant_id,
        backfill.id,
        schedule.id,
        backfill.cron,
        backfill.time_zone,
        backfill.from_at,
        backfill.until_at,
        backfill.done_to,
        backfill.total,
        backfill.at_once,
    )


async def count_running_backfills(db: Db, tenant_id: UUID, schedule_id: UUID | None = None) -> int:
    """Of the tenant, or of one schedule."""
    counted: int = await db.fetchval(_sql.count_running_backfills, tenant_id, schedule_id)
    return counted


async def backfill(db: Db, tenant_id: UUID, backfill_id: UUID, *, lock: bool = False) -> Backfill:
    """Raises `NotFound`. With `lock` it stays as it is until the transaction ends."""
    if lock:
        await db.execute(_sql.lock_backfill, tenant_id, backfill_id)
    row = await db.fetchrow(_sql.backfill, tenant_id, backfill_id)
    if row is None:
        raise NotFound("backfill")
    return _backfill(row)


async def lock_due_backfill(db: Db, tenant_id: UUID, backfill_id: UUID) -> Backfill | None:
    """The backfill, if there is something to do for it and nobody else is at it."""
    if await db.fetchval(_sql.lock_due_backfill, tenant_id, backfill_id) is None:
        return None
    return await backfill(db, tenant_id, backfill_id)


async def backfills(
    db: Db, tenant_id: UUID, name: str, before: UUID | None, limit: int
) -> Sequence[Backfill]:
    """Newest first."""
    rows = await db.fetch(_sql.backfills_below, tenant_id, name, before or _NO_ID, limit)
    return [_backfill(row) for row in rows]


async def move_backfill(
    db: Db, tenant_id: UUID, backfill_id: UUID, done_to: datetime, started: int, look_in: timedelta
) -> None:
    await db.execute(_sql.move_backfill, tenant_id, backfill_id, done_to, started, look_in)


async def end_backfill(db: Db, tenant_id: UUID, backfill_id: UUID) -> None:
    await db.execute(_sql.end_backfill, tenant_id, backfill_id)


async def stop_backfill(db: Db, tenant_id: UUID, backfill_id: UUID, error: JsonObject | None = None) -> None:
    await db.execute(_sql.stop_backfill, tenant_id, backfill_id, error)


async def resume_backfill(db: Db, tenant_id: UUID, backfill_id: UUID, at_once: int | None) -> None:
    await db.execute(_sql.resume_backfill, tenant_id, backfill_id, at_once)


def _schedule(row: Any) -> Schedule:
    plan = Plan(
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
        plan,
        row["acts_for"],
        row["paused"],
        row["error"],
        row["next_at"],
        row["queued_at"],
        row["created_at"],
        row["updated_at"],
        row["read_at"],
    )


def _backfill(row: Any) -> Backfill:
    return Backfill(**{**row, "status": BackfillStatus(row["status"])})
