"""Members, as services answer them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from headrace_control.auth.caller import Actor
from headrace_control.auth.permissions import Permission
from headrace_control.auth.roles import Role
from headrace_control.tenants.model import Tenant


class MemberStatus(StrEnum):
    INVITED = "INVITED"
    ACTIVE = "ACTIVE"
    REMOVED = "REMOVED"


@dataclass(frozen=True, slots=True)
class Member:
    """A person of a tenant. `code_expires_at`: until when an invitation can be accepted."""

    id: UUID
    email: str
    name: str
    role: Role
    status: MemberStatus
    invited_by: str
    created_at: datetime
    joined_at: datetime | None
    removed_at: datetime | None
    code_expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class IssuedInvitation:
    """An invitation at the one moment when its code can be read."""

    member: Member
    code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the identity provider says that somebody is. `email` is in lower case, and None unless it is verified."""

    issuer: str
    subject: str
    email: str | None
    name: str


@dataclass(frozen=True, slots=True)
class Me:
    """What a caller is, as the services see it."""

    actor: Actor
    role: Role
    permissions: Sequence[Permission]
    tenant: Tenant
