"""Who the people of a tenant are: invited, given a role, removed."""

from datetime import timedelta
from uuid import UUID

from headrace.errors import Conflict, Forbidden, InvalidInput, NotFound, Problem
from headrace.json_types import JsonObject
from headrace.postgres.pool import Db, Pool, tenant_transaction

from headrace_control.audit.record import Act, record
from headrace_control.auth.caller import ActorKind, Caller
from headrace_control.auth.granting import require_within_scope
from headrace_control.auth.permissions import Permission
from headrace_control.auth.roles import Role
from headrace_control.auth.tokens import TokenKind, mint_token
from headrace_control.members import repository
from headrace_control.members.emails import read_email
from headrace_control.members.model import IssuedInvitation, Me, Member, MemberStatus
from headrace_control.pages import Cursor, PageOf, page_of, page_size
from headrace_control.tenants.repository import find_tenant

_MEMBERS = Cursor("members")


class MemberService:
    """Members, over a pool of the role headrace_api. `invitations_last`: how long a code can be used."""

    def __init__(self, pool: Pool, invitations_last: timedelta) -> None:
        self._pool, self._invitations_last = pool, invitations_last

    async def me(self, caller: Caller) -> Me:
        """Who the caller is. Of every caller: nobody needs a permission to know what they may do."""
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            tenant = await find_tenant(db, caller.tenant_id)
        if tenant is None:
            raise NotFound("tenant")
        permissions = [one for one in Permission if caller.may(one)]
        return Me(caller.actor, caller.role, permissions, tenant)

    async def members(
        self, caller: Caller, status: MemberStatus | None, first: int, after: str | None
    ) -> PageOf[Member]:
        """The tenant's members, newest first."""
        caller.require(Permission.MANAGE_MEMBERS)
        limit, before = page_size(first), _MEMBERS.read_id(after)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            found = await repository.list_members(db, caller.tenant_id, before, status, limit + 1)
        return page_of(found, limit, lambda member: _MEMBERS.write(member.id))

    async def invite(self, caller: Caller, email: str, role: Role) -> IssuedInvitation:
        """Invite a person, or once more: the code of an earlier invitation ends. Raises `InvalidInput`, `Conflict`."""
        caller.require(Permission.MANAGE_MEMBERS)
        require_within_scope(caller, role)
        address = read_email(email)
        if address is None:
            mend = "give one such as `kim@example.com`, in ASCII"
            raise InvalidInput([Problem("email", "this is no e-mail address", mend)])
        code = mint_token(TokenKind.INVITATION)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            member = await repository.invite(
                db, caller.tenant_id, address, role, code, self._invitations_last, caller.actor.name
            )
            if member is None:
                raise Conflict("this person is a member already; change the role instead")
            await record(db, caller, Act("member.invite", _target(member), after=_kept(member)))
        return IssuedInvitation(member, code.text)

    async def revoke_invitation(self, caller: Caller, member_id: UUID) -> Member:
        """End an invitation that was not accepted. Raises `NotFound`, and `Conflict` when it was."""
        caller.require(Permission.MANAGE_MEMBERS)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            before = await _locked(db, caller, member_id)
            if before.status is MemberStatus.ACTIVE:
                raise Conflict("the invitation was accepted; remove the member instead")
            return await _removed(db, caller, before, "member.revoke_invitation")

    async def change_role(self, caller: Caller, member_id: UUID, role: Role) -> Member:
        """Give a member another role, from the next request on. Raises `NotFound`, and `Conflict` when nobody who can
        manage members would be left."""
        caller.require(Permission.MANAGE_MEMBERS)
        require_within_scope(caller, role)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            before = await _locked(db, caller, member_id)
            if role is not Role.ADMIN:
                await _keep_an_admin(db, caller, before)
            after = await repository.change_role(db, caller.tenant_id, member_id, role)
            if after is None:
                raise NotFound("member")
            act = Act("member.change_role", _target(after), before=_kept(before), after=_kept(after))
            await record(db, caller, act)
            return after

    async def remove(self, caller: Caller, member_id: UUID) -> Member:
        """Remove a member and end their sessions, from the next request on. Raises as `change_role` does."""
        caller.require(Permission.MANAGE_MEMBERS)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            before = await _locked(db, caller, member_id)
            await _keep_an_admin(db, caller, before)
            return await _removed(db, caller, before, "member.remove")

    async def revoke_sessions(self, caller: Caller, member_id: UUID | None) -> int:
        """End all sessions of a member; None: the caller's own. How many were open. Raises `NotFound`."""
        if member_id is None or member_id == caller.actor.id:
            if caller.actor.kind is not ActorKind.MEMBER:
                raise Forbidden("only a member has sessions of their own; name the member")
            member_id = caller.actor.id
        else:
            caller.require(Permission.MANAGE_MEMBERS)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            member = await repository.find_member(db, caller.tenant_id, member_id)
            if member is None:
                raise NotFound("member")
            ended = await repository.end_sessions(db, caller.tenant_id, member_id)
            await record(db, caller, Act("member.revoke_sessions", _target(member), detail={"ended": ended}))
            return ended


async def _locked(db: Db, caller: Caller, member_id: UUID) -> Member:
    await repository.lock_members(db, caller.tenant_id)
    member = await repository.find_member(db, caller.tenant_id, member_id)
    if member is None or member.status is MemberStatus.REMOVED:
        raise NotFound("member")
    return member


async def _keep_an_admin(db: Db, caller: Caller, member: Member) -> None:
    if member.role is not Role.ADMIN or member.status is not MemberStatus.ACTIVE:
        return
    if not await repository.has_other_admin(db, caller.tenant_id, member.id):
        raise Conflict(
            "this is the last admin, and there is no ADMIN key; make another member an admin first, or issue a key"
        )


async def _removed(db: Db, caller: Caller, before: Member, action: str) -> Member:
    member = await repository.remove(db, caller.tenant_id, before.id)
    if member is None:
        raise NotFound("member")
    await repository.end_sessions(db, caller.tenant_id, member.id)
    await record(db, caller, Act(action, _target(member), before=_kept(before), after=_kept(member)))
    return member


def _target(member: Member) -> str:
    return f"member/{member.id}"


def _kept(member: Member) -> JsonObject:
    """What of a member is worth a digest."""
    return {"email": member.email, "role": member.role, "status": member.status}
