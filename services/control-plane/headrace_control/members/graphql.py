"""Members in GraphQL."""

from datetime import datetime
from typing import Annotated

import strawberry

from headrace_control.auth.permissions import Permission
from headrace_control.auth.roles import Role
from headrace_control.graphql.actors import ActorType
from headrace_control.graphql.context import Info
from headrace_control.graphql.failures import Failed
from headrace_control.graphql.fields import mutation, query
from headrace_control.graphql.pages import Page, page
from headrace_control.graphql.scalars import read_id
from headrace_control.members import model
from headrace_control.pages import DEFAULT_PAGE
from headrace_control.tenants.graphql import TenantType

strawberry.enum(model.MemberStatus, description="Where a member stands.")


@strawberry.type(name="Me", description="The caller, as the services see it.")
class MeType:
    actor: ActorType
    role: Role
    permissions: list[Permission]
    tenant: TenantType

    @classmethod
    def of(cls, me: model.Me) -> "MeType":
        return cls(
            actor=ActorType.of(me.actor),
            role=me.role,
            permissions=list(me.permissions),
            tenant=TenantType.of(me.tenant),
        )


@strawberry.type(name="Member", description="A person of the tenant.")
class MemberType:
    id: strawberry.ID
    email: str
    name: str = strawberry.field(description="As the identity provider says.")
    role: Role
    status: model.MemberStatus
    invited_by: str
    created_at: datetime
    joined_at: datetime | None
    removed_at: datetime | None
    invitation_expires_at: datetime | None = strawberry.field(
        description="Of an invitation not yet accepted."
    )

    @classmethod
    def of(cls, member: model.Member) -> "MemberType":
        return cls(
            id=strawberry.ID(str(member.id)),
            email=member.email,
            name=member.name,
            role=member.role,
            status=member.status,
            invited_by=member.invited_by,
            created_at=member.created_at,
            joined_at=member.joined_at,
            removed_at=member.removed_at,
            invitation_expires_at=member.code_expires_at,
        )


@strawberry.type(description="An invitation at the one moment when its code can be read.")
class IssuedInvitation:
    member: MemberType
    code: str = strawberry.field(
        description="For the invited person; it can be used once, and is never shown again."
    )

    @classmethod
    def of(cls, issued: model.IssuedInvitation) -> "IssuedInvitation":
        return cls(member=MemberType.of(issued.member), code=issued.code)


@strawberry.type(description="Sessions that were ended.")
class EndedSessions:
    count: int


InviteMemberPayload = Annotated[IssuedInvitation | Failed, strawberry.union("InviteMemberPayload")]
RevokeInvitationPayload = Annotated[MemberType | Failed, strawberry.union("RevokeInvitationPayload")]
ChangeMemberRolePayload = Annotated[MemberType | Failed, strawberry.union("ChangeMemberRolePayload")]
RemoveMemberPayload = Annotated[MemberType | Failed, strawberry.union("RemoveMemberPayload")]
RevokeSessionsPayload = Annotated[EndedSessions | Failed, strawberry.union("RevokeSessionsPayload")]


@strawberry.type
class MemberQuery:
    @query
    async def me(self, info: Info) -> MeType:
        """Who the caller is, and what they may do."""
        return MeType.of(await info.context.services.members.me(info.context.caller))

    @query
    async def members(
        self,
        info: Info,
        status: model.MemberStatus | None = None,
        first: int = DEFAULT_PAGE,
        after: str | None = None,
    ) -> Page[MemberType]:
        """The tenant's members, newest first; `status` narrows to one status."""
        service = info.context.services.members
        return page(await service.members(info.context.caller, status, first, after), MemberType.of)


@strawberry.type
class MemberMutation:
    @mutation
    async def invite_member(self, info: Info, email: str, role: Role) -> InviteMemberPayload:
        """Invite a person by e-mail address; once more ends the earlier code. Who accepts has to log in with this
        address, verified by the identity provider."""
        service = info.context.services.members
        return IssuedInvitation.of(await service.invite(info.context.caller, email, role))

    @mutation
    async def revoke_invitation(self, info: Info, id: strawberry.ID) -> RevokeInvitationPayload:  # noqa: A002
        """End an invitation that was not accepted."""
        service = info.context.services.members
        return MemberType.of(await service.revoke_invitation(info.context.caller, read_id(id, "member")))

    @mutation
    async def change_member_role(
        self,
        info: Info,
        id: strawberry.ID,  # noqa: A002
        role: Role,
    ) -> ChangeMemberRolePayload:
        """Give a member another role, from the next request on."""
        service = info.context.services.members
        return MemberType.of(await service.change_role(info.context.caller, read_id(id, "member"), role))

    @mutation
    async def remove_member(self, info: Info, id: strawberry.ID) -> RemoveMemberPayload:  # noqa: A002
        """Remove a member and end their sessions, from the next request on."""
        service = info.context.services.members
        return MemberType.of(await service.remove(info.context.caller, read_id(id, "member")))

    @mutation
    async def revoke_sessions(self, info: Info, member: strawberry.ID | None = None) -> RevokeSessionsPayload:
        """End all sessions of a member; without one, the caller's own."""
        service, member_id = (
            info.context.services.members,
            None if member is None else read_id(member, "member"),
        )
        return EndedSessions(count=await service.revoke_sessions(info.context.caller, member_id))
