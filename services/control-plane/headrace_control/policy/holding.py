"""How the actions of a version are held, as runners are told."""

from collections.abc import Mapping
from typing import Any

from headrace_control.policy.model import ApprovalClass, Rules


def declared_classes(resolved: Mapping[str, Any]) -> dict[str, str | None]:
    """The class that each action of a version declares, by `app/action`."""
    actions = resolved.get("actions", {})
    return {ref: pinned.get("definition", {}).get("approvalClass") for ref, pinned in actions.items()}


def held_as(rules: Rules, ref: str, declared: str | None) -> dict[str, Any]:
    """How the tenant's rules hold an action now."""
    app, _, action = ref.partition("/")
    held = rules.effective(app, action, declared)
    if held.approval_class is not ApprovalClass.B:
        return {"class": held.approval_class}
    return {
        "class": held.approval_class,
        "twoPerson": held.terms.two_person,
        "roles": list(held.terms.roles),
        "expiresAfterMs": held.terms.expires_after_ms,
    }
