"""Who may decide an approval: the caller's role, and what the approval's step says."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from headrace.json_types import Json

from headrace_control.auth.roles import Role
from headrace_control.waits.model import Wait


@dataclass(frozen=True, slots=True)
class Decider:
    """Who asks to decide, by the API key in use."""

    role: Role
    key_id: UUID
    key_name: str


def refusal(wait: Wait, decider: Decider) -> str | None:
    """Why this one may not decide; None: may.

    With `roles` or `members` given, one of them has to fit: the role, in upper or lower case, or the name of the key.
    """
    if wait.data.get("notStarter") and wait.started_by == decider.key_id:
        return "who started the run may not decide this approval"
    roles, members = _texts(wait.data.get("roles")), _texts(wait.data.get("members"))
    if not roles and not members:
        return None
    if decider.role in {role.upper() for role in roles} or decider.key_name in members:
        return None
    named = [f"the role {role.upper()}" for role in roles] + [f"`{member}`" for member in members]
    return f"this approval is for {' or '.join(named)}"


def _texts(value: Json) -> Sequence[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else ()
