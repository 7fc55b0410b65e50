"""The one table of who may do what."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType

from headrace_control.auth.roles import Role


class Permission(StrEnum):
    """Something a caller may be allowed to do. Services ask for one before anything else."""

    READ = "READ"  # designs, runs and logs; never a secret
    DESIGN = "DESIGN"  # apps, actions, workflows and their versions
    START_RUNS = "START_RUNS"
    MANAGE_SCHEDULES = "MANAGE_SCHEDULES"  # what starts runs by the clock, and backfills
    MANAGE_ROLLOUTS = "MANAGE_ROLLOUTS"  # which published version how many starts run
    MANAGE_WEBHOOKS = "MANAGE_WEBHOOKS"  # what starts runs by messages of external systems, and its secrets
    SIGNAL_RUNS = "SIGNAL_RUNS"  # tell a run that something happened
    CONTROL_RUNS = "CONTROL_RUNS"  # cancel, pause, resume, settle a doubt, replay, set aside
    DECIDE = "DECIDE"  # approvals
    USE_CONNECTIONS = "USE_CONNECTIONS"  # make a call through one, as a test
    MANAGE_CONNECTIONS = "MANAGE_CONNECTIONS"  # connections, secrets and their keys
    MANAGE_POLICY = "MANAGE_POLICY"  # which actions run by themselves, and who approves others
    MANAGE_HOOKS = "MANAGE_HOOKS"  # which addresses outside are told what happens
    READ_AUDIT = "READ_AUDIT"  # who did what in the tenant
    MANAGE_KEYS = "MANAGE_KEYS"  # API keys of the tenant
    MANAGE_MEMBERS = "MANAGE_MEMBERS"  # people of the tenant: invitations, roles, sessions
    READ_FLEET = "READ_FLEET"  # how much there is to do in the whole deployment; of a platform tenant's operators alone
    MANAGE_TENANTS = "MANAGE_TENANTS"  # of a platform tenant's admins alone


_EVERYONE = frozenset(Role)
_ADMIN = frozenset({Role.ADMIN})

ALLOWED: Mapping[Permission, frozenset[Role]] = MappingProxyType(
    {
        Permission.READ: _EVERYONE,
        Permission.DESIGN: _ADMIN | {Role.DESIGNER},
        Permission.START_RUNS: _ADMIN | {Role.DESIGNER, Role.OPERATOR},
        Permission.MANAGE_SCHEDULES: _ADMIN | {Role.DESIGNER, Role.OPERATOR},
        Permission.MANAGE_ROLLOUTS: _ADMIN | {Role.DESIGNER, Role.OPERATOR},
        Permission.MANAGE_WEBHOOKS: _ADMIN | {Role.DESIGNER, Role.OPERATOR},
        Permission.SIGNAL_RUNS: _ADMIN | {Role.DESIGNER, Role.OPERATOR},
        Permission.CONTROL_RUNS: _ADMIN | {Role.OPERATOR},
        Permission.DECIDE: _ADMIN | {Role.APPROVER},
        Permission.USE_CONNECTIONS: _ADMIN | {Role.DESIGNER},
        Permission.MANAGE_CONNECTIONS: _ADMIN,
        Permission.MANAGE_POLICY: _ADMIN,
        Permission.MANAGE_HOOKS: _ADMIN,
        Permission.READ_AUDIT: _ADMIN,
        Permission.MANAGE_KEYS: _ADMIN,
        Permission.MANAGE_MEMBERS: _ADMIN,
        Permission.READ_FLEET: _ADMIN | {Role.OPERATOR},
        Permission.MANAGE_TENANTS: _ADMIN,
    }
)

# Beside the role, these need a caller of a platform tenant: the platform's operators act for it.
PLATFORM_ONLY = frozenset({Permission.READ_FLEET, Permission.MANAGE_TENANTS})


def scope_of(names: Iterable[str] | None) -> frozenset[Permission] | None:
    """A key's scope as it is stored. A permission that there is no more allows nothing."""
    return None if names is None else frozenset(one for one in Permission if one in set(names))
