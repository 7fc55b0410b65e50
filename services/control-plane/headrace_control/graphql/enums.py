"""Enums of the API that several slices use, registered once."""

import strawberry

from headrace_control.auth.permissions import Permission
from headrace_control.auth.roles import Role

strawberry.enum(Role, description="What a member or an API key is for.")
strawberry.enum(Permission, description="Something that a caller may be allowed to do.")

__all__ = ["Permission", "Role"]
