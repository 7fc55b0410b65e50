"""Tenants and API keys in Postgres."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from headrace.ids import new_id
from headrace.postgres.pool import Db
from headrace.postgres.queries import load

from headrace_control.auth.keys import NewKey
from headrace_control.auth.permissions import scope_of
from headrace_control.auth.roles import Role
from headrace_control.tenants.model import ApiKey, Tenant
from headrace_control.tenants.new_key import WantedKey

_sql = load("headrace_control.tenants")


async def insert_tenant(db: Db, tenant_id: UUID, name: str, platform: bool = False) -> Tenant | None:
    """None when the name is taken."""
    row = await db.fetchrow(_sql.insert_tenant, tenant_id, name, platform)
    return _tenant(row) if row else None


async def find_tenant(db: Db, tenant_id: UUID) -> Tenant | None:
    row = await db.fetchrow(_sql.find_tenant, tenant_id)
    return _tenant(row) if row else None


async def tenant_named(db: Db, name: str) -> UUID | None:
    """Of the whole deployment: a name is there once."""
    found: UUID | None = await db.fetchval(_sql.tenant_named, name)
    return found


async def lock_tenant(db: Db, tenant_id: UUID) -> Tenant | None:
    """The tenant, whose admins nobody changes meanwhile."""
    row = await db.fetchrow(_sql.lock_tenant, tenant_id)
    return _tenant(row) if row else None


async def has_admin(db: Db, tenant_id: UUID, longer_than: timedelta) -> bool:
    """Whether somebody of the tenant can make keys: a person, or a key in use that lasts `longer_than` this."""
    found: bool = await db.fetchval(_sql.has_admin, tenant_id, longer_than)
    return found


async def list_tenants(db: Db, after: str | None, limit: int) -> Sequence[Tenant]:
    """Of the whole deployment, by name; `db` acts as headrace_worker."""
    return [_tenant(row) for row in await db.fetch(_sql.list_tenants, after, limit)]


async def lock_bootstrap(db: Db) -> Tenant | None:
    """The platform tenant, if there is one; other bootstraps are kept out until the transaction ends."""
    await db.execute(_sql.one_bootstrap_at_a_time)
    row = await db.fetchrow(_sql.platform_tenants)
    return _tenant(row) if row else None


async def now(db: Db) -> datetime:
    """The clock of the SQL."""
    at: datetime = await db.fetchval(_sql.now)
    return at


async def insert_api_key(
    db: Db, tenant_id: UUID, wanted: WantedKey, key: NewKey, owner: UUID | None
) -> ApiKey:
    permissions = None if wanted.permissions is None else list(wanted.permissions)
    row = await db.fetchrow(
        _sql.insert_api_key,
        tenant_id,
        new_id(),
        wanted.name,
        wanted.role,
        key.prefix,
        key.hash,
        wanted.expires_at,
        permissions,
        owner,
        None if wanted.workflows is None else list(wanted.workflows),
    )
    return _api_key(row)


async def end_of_key(db: Db, tenant_id: UUID, key_id: UUID) -> datetime | None:
    """When the key ends; None: never."""
    at: datetime | None = await db.fetchval(_sql.end_of_key, tenant_id, key_id)
    return at


async def workflows_there(db: Db, tenant_id: UUID, names: Sequence[str]) -> set[str]:
    """Those of the names that workflows have."""
    return {row["name"] for row in await db.fetch(_sql.workflows_there, tenant_id, names)}


async def revoke_api_key(db: Db, tenant_id: UUID, key_id: UUID) -> ApiKey | None:
    row = await db.fetchrow(_sql.revoke_api_key, tenant_id, key_id)
    return _api_key(row) if row else None


async def list_api_keys(db: Db, tenant_id: UUID, before: UUID | None, limit: int) -> Sequence[ApiKey]:
    """Newest first."""
    return [_api_key(row) for row in await db.fetch(_sql.list_api_keys, tenant_id, before, limit)]


def _tenant(row: Any) -> Tenant:
    return Tenant(**row)


def _api_key(row: Any) -> ApiKey:
    workflows = row["workflows"]
    fields = {
        **row,
        "role": Role(row["role"]),
        "scope": scope_of(row["permissions"]),
        "workflows": None if workflows is None else tuple(workflows),
    }
    del fields["permissions"]
    return ApiKey(**fields)
