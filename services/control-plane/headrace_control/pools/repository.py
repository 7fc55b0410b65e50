"""Runner pools in Postgres. What is asked across tenants is asked as headrace_worker."""

from collections.abc import Collection, Sequence
from uuid import UUID

from headrace.pools import stored
from headrace.postgres.listen import DISPATCH_CHANNEL, POOLS_CHANNEL
from headrace.postgres.pool import Db
from headrace.postgres.queries import load

from headrace_control.pools.model import RunnerPool, TenantPools

_sql = load("headrace_control.pools")


async def pools(db: Db) -> Sequence[RunnerPool]:
    """By name."""
    return [RunnerPool(**row) for row in await db.fetch(_sql.pools)]


async def count(db: Db) -> int:
    """How many there are; nobody adds one until the transaction ends."""
    await db.execute(_sql.one_at_a_time)
    found: int = await db.fetchval(_sql.count_pools)
    return found


async def add(db: Db, name: str) -> RunnerPool | None:
    """None when it is there already."""
    row = await db.fetchrow(_sql.add, name)
    if row is None:
        return None
    await db.execute(_sql.notify, POOLS_CHANNEL)
    return RunnerPool(**row)


async def users(db: Db, name: str) -> tuple[int, Sequence[str], int]:
    """How many tenants are granted it, the names of some, and how many runs in it have not ended."""
    (row,) = await db.fetch(_sql.users, name)
    return row["tenants"], row["named"] or (), await db.fetchval(_sql.unfinished, name)


async def remove(db: Db, name: str) -> None:
    """Raises asyncpg's `ForeignKeyViolationError` when somebody has been granted it meanwhile."""
    await db.execute(_sql.remove, name)
    await db.execute(_sql.notify, POOLS_CHANNEL)


async def known(db: Db, names: Collection[str]) -> set[str]:
    """Those of the names that pools have."""
    return {row["name"] for row in await db.fetch(_sql.known, list(names))}


async def of_tenant(db: Db, tenant_id: UUID) -> TenantPools:
    (row,) = await db.fetch(_sql.of_tenant, tenant_id)
    return TenantPools(row["pool"], row["granted"])


async def lock_tenant(db: Db, tenant_id: UUID) -> None:
    """Its pools are set by nobody else until the transaction ends."""
    await db.execute(_sql.lock_tenant, tenant_id)


async def bound_elsewhere(db: Db, tenant_id: UUID, pools: Sequence[str]) -> tuple[str, str] | None:
    """A workflow that is bound to another pool than these, and that pool."""
    row = await db.fetchrow(_sql.bound_elsewhere, tenant_id, pools)
    return (row["name"], row["pool"]) if row else None


async def set_tenant(db: Db, tenant_id: UUID, new: TenantPools) -> None:
    await db.execute(_sql.revoke, tenant_id, list(new.granted))
    await db.execute(_sql.grant, tenant_id, list(new.granted))
    await db.execute(_sql.set_pool_of_tenant, tenant_id, stored(new.pool))


async def lock_workflow(db: Db, tenant_id: UUID, name: str) -> tuple[bool, str | None]:
    """Whether there is such a workflow, and the pool that it is bound to."""
    row = await db.fetchrow(_sql.workflow, tenant_id, name)
    return (True, row["pool"]) if row else (False, None)


async def bind_workflow(db: Db, tenant_id: UUID, name: str, pool: str | None) -> None:
    await db.execute(_sql.bind_workflow, tenant_id, name, pool)


async def move_some(
    db: Db, pool: str, into: str, after: UUID, tenant_id: UUID | None, most: int
) -> Sequence[UUID]:
    """Put up to `most` unfinished runs of a pool into another one, those with ids above `after`, in order."""
    found = [row["id"] for row in await db.fetch(_sql.lock_unfinished, pool, after, tenant_id, most)]
    if found:
        await db.execute(_sql.move_runs, found, stored(into))
        await db.execute(_sql.move_dispatches, found, stored(into))
        await db.execute(_sql.notify, DISPATCH_CHANNEL)
    return found


async def move_dry_runs(db: Db, pool: str, into: str, tenant_id: UUID | None) -> None:
    await db.execute(_sql.move_dry_runs, pool, stored(into), tenant_id)
