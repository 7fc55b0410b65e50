"""Log-ins on their way, and sessions, in Postgres."""

from datetime import datetime, timedelta
from uuid import UUID

from headrace.ids import new_id
from headrace.postgres.pool import Db
from headrace.postgres.queries import load

from headrace_control.login.model import Pending

_sql = load("headrace_control.login")


async def begin(
    db: Db, state: bytes, browser: bytes, pending: Pending, origin: str | None, lasts: timedelta, most: int
) -> bool:
    """False when `origin` has begun `most` log-ins that are not finished."""
    begun: bool = await db.fetchval(
        _sql.begin_login,
        state,
        browser,
        pending.nonce,
        pending.verifier,
        pending.tenant,
        pending.invitation_hash,
        pending.challenge,
        pending.redirect,
        pending.client_state,
        origin,
        lasts,
        most,
    )
    return begun


async def take(db: Db, state: bytes, browser: bytes) -> Pending | None:
    """The log-in of this state and this browser, once."""
    row = await db.fetchrow(_sql.take_login, state, browser)
    return Pending(**row) if row else None


async def find_member(db: Db, tenant: str, issuer: str, subject: str) -> tuple[UUID, UUID] | None:
    """Tenant and id of an active member."""
    row = await db.fetchrow(_sql.find_member, tenant, issuer, subject)
    return (row["tenant_id"], row["id"]) if row else None


async def find_invitation(db: Db, code_hash: bytes) -> tuple[UUID, UUID, str] | None:
    """Tenant, member's id and e-mail address of an invitation that can be accepted."""
    row = await db.fetchrow(_sql.find_invitation, code_hash)
    return (row["tenant_id"], row["id"], row["email"]) if row else None


async def put_code(
    db: Db, tenant_id: UUID, member_id: UUID, code_hash: bytes, pending: Pending, lasts: timedelta
) -> None:
    await db.execute(
        _sql.insert_login_code, tenant_id, code_hash, member_id, pending.challenge, pending.redirect, lasts
    )


async def take_code(db: Db, code_hash: bytes) -> tuple[UUID, UUID, str, str] | None:
    """Tenant, member's id, challenge and redirect of a code, once."""
    row = await db.fetchrow(_sql.take_login_code, code_hash)
    return (row["tenant_id"], row["member_id"], row["challenge"], row["redirect"]) if row else None


async def insert_session(
    db: Db, tenant_id: UUID, member_id: UUID, token_hash: bytes, lasts: timedelta
) -> datetime | None:
    """When it ends; None when there is no such active member. Takes away what the member's old ones have left."""
    await db.execute(_sql.forget_old_sessions, tenant_id, member_id)
    ends: datetime | None = await db.fetchval(
        _sql.insert_session, tenant_id, new_id(), member_id, token_hash, lasts
    )
    return ends


async def end_session(db: Db, tenant_id: UUID, token_hash: bytes) -> UUID | None:
    """Its id, if it was open."""
    ended: UUID | None = await db.fetchval(_sql.end_session, tenant_id, token_hash)
    return ended
