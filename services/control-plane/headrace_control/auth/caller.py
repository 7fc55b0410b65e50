"""Who is calling."""

from dataclasses import dataclass
from uuid import UUID

from headrace.errors import Forbidden

from headrace_control.auth.permissions import ALLOWED, PLATFORM_ONLY, Permission
from headrace_control.auth.roles import Role


@dataclass(frozen=True, slots=True)
class Caller:
    """A tenant's API key at work. `platform`: the tenant's admins may create tenants."""

    tenant_id: UUID
    api_key_id: UUID
    role: Role
    platform: bool = False

    def may(self, permission: Permission) -> bool:
        return self.role in ALLOWED[permission] and (self.platform or permission not in PLATFORM_ONLY)

    def require(self, permission: Permission) -> None:
        """Raises `Forbidden` unless the caller may do this. The first line of every service method."""
        if not self.may(permission):
            raise Forbidden(f"the role {self.role} does not allow {permission}")
