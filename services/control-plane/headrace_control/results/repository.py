"""Cached results in Postgres. Every function works inside the caller's transaction and tenant."""

from uuid import UUID

from headrace.postgres.pool import Db
from headrace.postgres.queries import load

from headrace_control.results.model import CachedAction

_sql = load("headrace_control.results")


async def by_action(db: Db, tenant_id: UUID, limit: int) -> list[CachedAction]:
    return [CachedAction(**dict(row)) for row in await db.fetch(_sql.by_action, tenant_id, limit)]


async def forget(db: Db, tenant_id: UUID, action: str | None) -> int | None:
    """Results that were kept before now stand for nothing any more: of one action, or with None all. How many there
    were; None when there is no such action."""
    row = await db.fetchrow(_sql.standing, tenant_id, action)
    if row is None or not row["known"]:
        return None
    await db.execute(_sql.forget, tenant_id, action)
    results: int = row["results"]
    return results
