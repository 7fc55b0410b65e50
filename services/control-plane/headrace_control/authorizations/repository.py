"""Authorizations on their way, in Postgres. What is secret of one stands sealed among its connection's fields."""

from datetime import datetime, timedelta
from uuid import UUID

from headrace.postgres.pool import Db
from headrace.postgres.queries import load

from headrace_control.auth.caller import Actor
from headrace_control.authorizations.model import Pending
from headrace_control.connections.repository import place_of, put_secrets
from headrace_control.vault.vault import Stored, Vault

_sql = load("headrace_control.authorizations")

VERIFIER, CODE = "verifier", "code"


async def begin(
    db: Db, tenant_id: UUID, state: bytes, pending: Pending, lasts: timedelta, most: int
) -> datetime | None:
    """When it is over; None when the connection has `most` on their way. Takes away what is over."""
    await db.execute(_sql.forget_expired, tenant_id)
    if await db.fetchval(_sql.begun, tenant_id, pending.connection_id) >= most:
        return None
    over: datetime = await db.fetchval(
        _sql.begin,
        tenant_id,
        pending.id,
        pending.connection_id,
        pending.actor_kind,
        pending.actor_id,
        state,
        pending.redirect,
        pending.client_state,
        pending.provider,
        lasts,
    )
    return over


async def tenant_of(db: Db, state: bytes) -> UUID | None:
    """Whose authorization has this state, if it is on its way."""
    tenant_id: UUID | None = await db.fetchval(_sql.tenant_of, state)
    return tenant_id


async def lock_by_state(db: Db, tenant_id: UUID, state: bytes) -> Pending | None:
    row = await db.fetchrow(_sql.lock_by_state, tenant_id, state)
    return Pending(**row) if row else None


async def answered(db: Db, tenant_id: UUID, pending: Pending, code: bytes, lasts: timedelta) -> None:
    """From now on it is finished by `code`, and its state is good for nothing."""
    await db.execute(_sql.answered, tenant_id, pending.id, code, lasts)


async def end(db: Db, tenant_id: UUID, pending: Pending) -> None:
    await db.execute(_sql.end_authorization, tenant_id, pending.id)
    await _forget(db, tenant_id, pending)


async def take_by_code(
    db: Db, vault: Vault, tenant_id: UUID, code: bytes
) -> tuple[Pending, dict[str, str]] | None:
    """The authorization of this code with its opened parts, once."""
    row = await db.fetchrow(_sql.take_by_code, tenant_id, code)
    if row is None:
        return None
    pending = Pending(**row)
    rows = await db.fetch(_sql.sealed_parts, tenant_id, pending.connection_id, _names(pending))
    stored = [Stored.of(place_of(tenant_id, pending.connection_id, row["field"]), row) for row in rows]
    opened = await vault.unseal(tenant_id, stored)
    await _forget(db, tenant_id, pending)
    return pending, {place.field.rpartition(":")[2]: value for place, value in opened.items()}


async def put(db: Db, vault: Vault, tenant_id: UUID, pending: Pending, part: str, value: str) -> None:
    """Seal one of the two parts."""
    place = place_of(tenant_id, pending.connection_id, _name(pending, part))
    await put_secrets(db, tenant_id, await vault.seal(db, tenant_id, {place: value}))


async def connection_name(db: Db, tenant_id: UUID, connection_id: UUID) -> str:
    return str(await db.fetchval(_sql.connection_name, tenant_id, connection_id))


def new_pending(
    authorization_id: UUID, connection_id: UUID, actor: Actor, redirect: str, state: str, provider: bytes
) -> Pending:
    return Pending(authorization_id, connection_id, actor.kind.value, actor.id, redirect, state, provider)


async def _forget(db: Db, tenant_id: UUID, pending: Pending) -> None:
    await db.execute(_sql.forget_parts, tenant_id, pending.connection_id, _names(pending))


def _names(pending: Pending) -> list[str]:
    return [_name(pending, part) for part in (VERIFIER, CODE)]


def _name(pending: Pending, part: str) -> str:
    return f"oauth:pending:{pending.id}:{part}"
