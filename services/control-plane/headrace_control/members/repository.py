"""Members in Postgres."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from headrace.ids import new_id
from headrace.postgres.pool import Db
from headrace.postgres.queries import load

from headrace_control.auth.roles import Role
from headrace_control.auth.tokens import NewToken
from headrace_control.members.model import Identity, Member, MemberStatus

_sql = load("headrace_control.members")


async def lock_members(db: Db, tenant_id: UUID) -> None:
    """Nobody else changes who the tenant's admins are until the transaction ends."""
    await db.execute(_sql.lock_members, tenant_id)


async def invite(
    db: Db, tenant_id: UUID, email: str, role: Role, code: NewToken, lasts: timedelta, by: str
) -> Member | None:
    """None when the address is an active member's."""
    return _member(
        await db.fetchrow(_sql.invite, tenant_id, new_id(), email, role, code.hash, lasts, by),
    )


async def find_member(db: Db, tenant_id: UUID, member_id: UUID) -> Member | None:
    return _member(await db.fetchrow(_sql.find_member, tenant_id, member_id))


async def list_members(
    db: Db, tenant_id: UUID, before: UUID | None, status: MemberStatus | None, limit: int
) -> Sequence[Member]:
    """Newest first."""
    rows = await db.fetch(_sql.list_members, tenant_id, before, status, limit)
    return [member for row in rows if (member := _member(row))]


async def accept(
    db: Db, tenant_id: UUID, member_id: UUID, code_hash: bytes, identity: Identity
) -> Member | None:
    """The member, bound to `identity` from now on; None when the code is spent. Raises `Conflict` when the identity is
    another member of the tenant already."""
    return _member(
        await db.fetchrow(
            _sql.accept, tenant_id, member_id, code_hash, identity.issuer, identity.subject, identity.name
        )
    )


async def change_role(db: Db, tenant_id: UUID, member_id: UUID, role: Role) -> Member | None:
    return _member(await db.fetchrow(_sql.change_role, tenant_id, member_id, role))


async def remove(db: Db, tenant_id: UUID, member_id: UUID) -> Member | None:
    return _member(await db.fetchrow(_sql.remove, tenant_id, member_id))


async def end_sessions(db: Db, tenant_id: UUID, member_id: UUID) -> int:
    """How many were open."""
    done: str = await db.execute(_sql.end_sessions, tenant_id, member_id)
    return int(done.rpartition(" ")[2])


async def has_other_admin(db: Db, tenant_id: UUID, member_id: UUID) -> bool:
    """Whether somebody else can manage the tenant's members."""
    found: bool = await db.fetchval(_sql.has_other_admin, tenant_id, member_id)
    return found


async def unknown_deciders(db: Db, tenant_id: UUID, names: Sequence[str]) -> frozenset[str]:
    """Those that are no address of a member, active or invited, and no name of a key that is alive."""
    return frozenset(row["wanted"] for row in await db.fetch(_sql.unknown_deciders, tenant_id, names))


def _member(row: Any) -> Member | None:
    if row is None:
        return None
    return Member(**{**row, "role": Role(row["role"]), "status": MemberStatus(row["status"])})
