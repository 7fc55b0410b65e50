"""The roles of members and API keys."""

from enum import StrEnum


class Role(StrEnum):
    """What a member or a key is for. `auth.permissions` says what each may do."""

    ADMIN = "ADMIN"
    DESIGNER = "DESIGNER"
    OPERATOR = "OPERATOR"
    APPROVER = "APPROVER"
    VIEWER = "VIEWER"
