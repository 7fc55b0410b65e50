"""Who is calling, and from where."""

from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from headrace.errors import Forbidden

from headrace_control.auth.permissions import ALLOWED, PLATFORM_ONLY, Permission
from headrace_control.auth.roles import Role


class ActorKind(StrEnum):
    """What kind of somebody acts."""

    API_KEY = "API_KEY"  # a machine, by a key of its tenant
    MEMBER = "MEMBER"  # a person who has logged in
    SERVICE = "SERVICE"  # Headrace itself: a runner, the reporter, the relay
    CALLBACK = "CALLBACK"  # an external system, by a signed address that it was given
    WEBHOOK = "WEBHOOK"  # an external system, by a message that it has signed


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts. `id` is unique among all kinds; `name` is the key's name or the member's e-mail address."""

    kind: ActorKind
    id: UUID
    name: str


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came from: the client's address, if one is known, and the id that its answer, our logs and the
    audit share."""

    address: str | None = None
    correlation_id: str = ""


# All that a key for named workflows may do.
OF_WORKFLOWS = frozenset({Permission.READ, Permission.START_RUNS})


@dataclass(frozen=True, slots=True)
class Caller:
    """An actor at work for a tenant. `platform`: the tenant's admins may create tenants. `scope` narrows what the role
    allows; None: all of it. `owner` is the member whose key acts; None of any other actor. `workflows`: the key is for
    runs of these alone; None: of all."""

    tenant_id: UUID
    actor: Actor
    role: Role
    platform: bool = False
    origin: Origin = field(default_factory=Origin, compare=False)
    scope: frozenset[Permission] | None = None
    owner: UUID | None = None
    workflows: frozenset[str] | None = None

    @property
    def person(self) -> UUID:
        """Who answers for what is done: a member is one with all keys of theirs; any other key is one by itself."""
        return self.owner or self.actor.id

    @property
    def permissions(self) -> frozenset[Permission]:
        """All that the caller may do."""
        return frozenset(permission for permission in Permission if self.may(permission))

    def may(self, permission: Permission) -> bool:
        if self.scope is not None and permission not in self.scope:
            return False
        if self.workflows is not None and permission not in OF_WORKFLOWS:
            return False
        return self.role in ALLOWED[permission] and (self.platform or permission not in PLATFORM_ONLY)

    def require(self, permission: Permission) -> None:
        """Raises `Forbidden` unless the caller may do this. The first line of every service method.

        A key for named workflows never may: what such a key may do says so, by `require_of_workflows`.
        """
        if self.workflows is not None:
            raise Forbidden(
                "this key is for starting and seeing runs of named workflows, and for nothing else"
            )
        self.require_of_workflows(permission)

    def require_of_workflows(self, permission: Permission) -> frozenset[str] | None:
        """As `require`, in a method that keeps to the answer: the workflows whose runs it may touch; None: all."""
        if not self.may(permission):
            narrowed = self.scope is not None and permission not in self.scope
            raise Forbidden(
                f"this key is not for {permission}"
                if narrowed
                else f"the role {self.role} does not allow {permission}"
            )
        return self.workflows
