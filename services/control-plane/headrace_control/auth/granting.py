"""Nobody gives away more than they have."""

from collections.abc import Iterable

from headrace.errors import Forbidden

from headrace_control.auth.caller import Caller
from headrace_control.auth.permissions import ALLOWED, Permission
from headrace_control.auth.roles import Role


def require_within_scope(caller: Caller, role: Role, permissions: Iterable[Permission] | None = None) -> None:
    """Raises `Forbidden` when the role, or the permissions that narrow it, hold more than a narrowed caller's scope:
    else whoever manages keys or members could get around it."""
    if caller.scope is None:
        return
    given = {one for one in Permission if role in ALLOWED[one]}
    if more := sorted((given if permissions is None else given & set(permissions)) - caller.scope):
        raise Forbidden(f"this key is not for {', '.join(more)}, so it gives that to nobody")
