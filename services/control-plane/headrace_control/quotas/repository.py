"""Quotas in Postgres."""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from headrace.postgres.pool import Db
from headrace.postgres.queries import load

from headrace_control.quotas.model import Quotas, Usage

_sql = load("headrace_control.quotas")


async def quotas(db: Db, tenant_id: UUID) -> Quotas:
    (row,) = await db.fetch(_sql.quotas, tenant_id)
    return Quotas(**row)


async def usage(db: Db, tenant_id: UUID) -> Usage:
    (row,) = await db.fetch(_sql.usage, tenant_id)
    return Usage(**row)


async def set_quotas(db: Db, tenant_id: UUID, new: Quotas) -> None:
    await db.execute(_sql.set_runs_in_flight, tenant_id, new.runs_in_flight)
    await db.execute(
        _sql.set_quotas,
        tenant_id,
        new.unfinished_runs,
        new.stored_runs,
        new.starts_per_minute,
        new.input_bytes,
        new.loop_items,
        new.log_records,
    )


async def tenant_named(db: Db, name: str) -> UUID | None:
    """Across tenants: for the platform alone."""
    found: UUID | None = await db.fetchval(_sql.named, name)
    return found


async def for_runners(db: Db, tenant_ids: Collection[UUID]) -> Mapping[UUID, dict[str, Any]]:
    """What runners keep to, of the tenants that have such quotas: `{loop_items, log_records}`."""
    rows = await db.fetch(_sql.of_runs, list(tenant_ids))
    return {row["tenant_id"]: {n: row[n] for n in ("loop_items", "log_records")} for row in rows}
