"""Secrets in Postgres, sealed."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from headrace.postgres.pool import Db
from headrace.postgres.queries import load
from headrace.secret_bounds import Bounds
from headrace.workflow.state import ENDED_RUN, RunStatus

from headrace_control.apps.model import Keep
from headrace_control.secrets.model import Secret
from headrace_control.vault.envelope import Place
from headrace_control.vault.vault import Sealed, Stored

_sql = load("headrace_control.secrets")

# A version's document may be large.
_VERSIONS_AT_ONCE = 10


async def lock_secret(db: Db, tenant_id: UUID, name: str) -> UUID | None:
    """The secret's id, and nobody else sets it until the transaction ends; None when there is none."""
    await db.execute(_sql.hold_name, tenant_id, name)
    found: UUID | None = await db.fetchval(_sql.reserve_secret, tenant_id, name)
    return found


async def put_secret(
    db: Db, tenant_id: UUID, name: str, sealed: Sealed, apps: Sequence[str] | Keep | None
) -> Secret:
    """Of a name that `lock_secret` holds."""
    keep = isinstance(apps, Keep)
    row: Any = await db.fetchrow(
        _sql.put_secret,
        tenant_id,
        sealed.place.owner_id,
        name,
        sealed.key_id,
        sealed.sealed,
        None if keep else apps,
        keep,
    )
    return _secret(row)


async def keep_apps(db: Db, tenant_id: UUID, names: Sequence[str]) -> frozenset[str]:
    """Those of these apps that there are; they stay where they are until the transaction ends."""
    return frozenset(row["name"] for row in await db.fetch(_sql.keep_apps, tenant_id, names))


async def find_secret(db: Db, tenant_id: UUID, name: str) -> Secret | None:
    row = await db.fetchrow(_sql.secret_named, tenant_id, name)
    return _secret(row) if row else None


async def list_secrets(db: Db, tenant_id: UUID, after: str | None, limit: int) -> Sequence[Secret]:
    """By name."""
    return [_secret(row) for row in await db.fetch(_sql.secrets_after, tenant_id, after or "", limit)]


async def sealed_values(
    db: Db, tenant_id: UUID, names: Sequence[str]
) -> dict[str, tuple[Stored, Mapping[str, str] | None]]:
    """By name, with the apps that it may be sent to and their base URLs; names that do not exist are left out."""
    rows = await db.fetch(_sql.sealed_values, tenant_id, names)
    return {row["name"]: (Stored.of(place_of(tenant_id, row["id"]), row), row["places"]) for row in rows}


async def secrets_for(db: Db, tenant_id: UUID, app: str, limit: int) -> Sequence[str]:
    """The names of those that may be sent to this app among few."""
    return [row["name"] for row in await db.fetch(_sql.for_app, tenant_id, app, limit)]


async def bounds_of(db: Db, tenant_id: UUID, names: Sequence[str]) -> Bounds:
    """Of those of these secrets that are for some apps alone: the apps' base URLs, by their names."""
    return {row["name"]: row["places"] for row in await db.fetch(_sql.bounds, tenant_id, names)}


async def runnable_versions(
    db: Db, tenant_id: UUID, name: str, places: Mapping[str, str]
) -> AsyncIterator[Any]:
    """Versions that can still run, use the secret, and call something that is not at one of these `places`: `workflow`,
    `number`, `resolved`, and `own_urls`, the base URLs of connections that have their own, by their ids."""
    unfinished = sorted(set(RunStatus) - ENDED_RUN)
    async for row in db.cursor(
        _sql.runnable_versions, tenant_id, name, places, unfinished, prefetch=_VERSIONS_AT_ONCE
    ):
        yield row


async def delete_secret(db: Db, tenant_id: UUID, secret_id: UUID) -> None:
    await db.execute(_sql.delete_secret, tenant_id, secret_id)


def _secret(row: Any) -> Secret:
    return Secret(**{**row, "apps": None if row["apps"] is None else tuple(row["apps"])})


def place_of(tenant_id: UUID, secret_id: UUID) -> Place:
    return Place(tenant_id, "secret", secret_id, "value")
