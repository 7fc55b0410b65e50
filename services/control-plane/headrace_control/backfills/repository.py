"""Backfills in Postgres. Every function but `due` works inside the caller's transaction and tenant."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from headrace.errors import NotFound
from headrace.json_types import JsonObject
from headrace.postgres.pool import Db
from headrace.postgres.queries import load

from headrace_control.backfills.model import Backfill, BackfillStatus

_sql = load("headrace_control.backfills")

_NO_ID = UUID(int=2**128 - 1)


async def due(
    db: Db, most: int, without: Sequence[UUID], without_tenants: Sequence[UUID]
) -> Sequence[tuple[UUID, UUID]]:
    """Of all tenants, by the role headrace_worker: tenant and backfill, the longest due first. A tenant has few that
    run, and each that was advanced goes to the end."""
    rows = await db.fetch(_sql.due, most, without, without_tenants)
    return [(row["tenant_id"], row["id"]) for row in rows]


async def insert(db: Db, tenant_id: UUID, schedule_id: UUID, backfill: Backfill) -> None:
    await db.execute(
        _sql.insert,
        tenant_id,
        backfill.id,
        schedule_id,
        backfill.cron,
        backfill.time_zone,
        backfill.from_at,
        backfill.until_at,
        backfill.done_to,
        backfill.total,
        backfill.at_once,
    )


async def count_running(db: Db, tenant_id: UUID, schedule_id: UUID | None = None) -> int:
    """Of the tenant, or of one schedule."""
    counted: int = await db.fetchval(_sql.count_running, tenant_id, schedule_id)
    return counted


async def by_id(db: Db, tenant_id: UUID, backfill_id: UUID, *, lock: bool = False) -> Backfill:
    """Raises `NotFound`. With `lock` it stays as it is until the transaction ends."""
    if lock:
        await db.execute(_sql.lock, tenant_id, backfill_id)
    row = await db.fetchrow(_sql.by_id, tenant_id, backfill_id)
    if row is None:
        raise NotFound("backfill")
    return _backfill(row)


async def lock_due(db: Db, tenant_id: UUID, backfill_id: UUID) -> Backfill | None:
    """The backfill, if there is something to do for it and nobody else is at it."""
    if await db.fetchval(_sql.lock_due, tenant_id, backfill_id) is None:
        return None
    return await by_id(db, tenant_id, backfill_id)


async def page(db: Db, tenant_id: UUID, schedule: str, before: UUID | None, limit: int) -> Sequence[Backfill]:
    """Those of the schedule of this name, newest first."""
    rows = await db.fetch(_sql.newest, tenant_id, schedule, before or _NO_ID, limit)
    return [_backfill(row) for row in rows]


async def move(
    db: Db, tenant_id: UUID, backfill_id: UUID, done_to: datetime, started: int, look_in: timedelta
) -> None:
    """So many more are started; it is looked at again after `look_in`."""
    await db.execute(_sql.move, tenant_id, backfill_id, done_to, started, look_in)


async def end(db: Db, tenant_id: UUID, backfill_id: UUID) -> None:
    await db.execute(_sql.end, tenant_id, backfill_id)


async def stop(db: Db, tenant_id: UUID, backfill_id: UUID, error: JsonObject | None = None) -> None:
    """`error` is why Headrace stops it."""
    await db.execute(_sql.stop, tenant_id, backfill_id, error)


async def resume(db: Db, tenant_id: UUID, backfill_id: UUID, at_once: int | None) -> None:
    """`at_once` None stays as it is."""
    await db.execute(_sql.resume, tenant_id, backfill_id, at_once)


def _backfill(row: Any) -> Backfill:
    return Backfill(**{**row, "status": BackfillStatus(row["status"])})
