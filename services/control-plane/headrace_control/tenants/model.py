"""Tenants and API keys, as services answer them."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from headrace_control.auth.caller import OF_WORKFLOWS
from headrace_control.auth.permissions import ALLOWED, Permission
from headrace_control.auth.roles import Role


@dataclass(frozen=True, slots=True)
class Tenant:
    id: UUID
    name: str
    platform: bool
    max_runs_in_flight: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of a key after it was shown: everything but the key. `scope` narrows the role; None: not at all.
    `workflows`: it is for runs of these alone; None: of all. `owner` is the member who made it, or whose key did;
    None: nobody who logs in."""

    id: UUID
    name: str
    role: Role
    prefix: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    owner: UUID | None = None
    scope: frozenset[Permission] | None = None
    workflows: tuple[str, ...] | None = None

    @property
    def permissions(self) -> tuple[Permission, ...]:
        """What its role allows, as narrowed."""
        return tuple(
            one
            for one in Permission
            if self.role in ALLOWED[one]
            and (self.scope is None or one in self.scope)
            and (self.workflows is None or one in OF_WORKFLOWS)
        )


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key at the one moment when it can be read. `text` goes to its owner and nowhere else."""

    api_key: ApiKey
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class NewTenant:
    """A tenant just created, with the first key of its admin."""

    tenant: Tenant
    key: IssuedKey
