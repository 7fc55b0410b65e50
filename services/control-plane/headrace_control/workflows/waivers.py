"""What an admin may let pass: a long-lived version whose steps lack compensation or idempotency."""

from headrace.errors import InvalidInput, Problem
from headrace.json_types import JsonObject
from headrace.workflow.classification import Classification

from headrace_control.auth.caller import Caller
from headrace_control.auth.permissions import Permission

MAX_REASON = 1000
# The places that the audit keeps; the version keeps all of them.
MAX_PLACES = 100


def check_waiver(caller: Caller, waiver: str | None) -> None:
    """Raises `Forbidden` for who may not loosen the tenant's rules, and `InvalidInput` where no reason is given."""
    if waiver is None:
        return
    caller.require(Permission.MANAGE_POLICY)
    if not waiver.strip():
        raise InvalidInput([Problem("waiver", "a waiver needs a reason", "Say why, or leave it out.")])
    if len(waiver) > MAX_REASON:
        raise InvalidInput([Problem("waiver", f"longer than {MAX_REASON} characters", "Shorten it.")])


def waived_of(found: Classification, waiver: str | None) -> str | None:
    """The waiver, where there is something to waive. Raises `InvalidInput` where there is and nobody does."""
    lacks = found.hindrances
    if lacks and waiver is None:
        raise InvalidInput([lack.problem for lack in lacks])
    return waiver if lacks else None


def audited(found: Classification, waiver: str | None) -> JsonObject:
    """What the audit keeps of a waiver."""
    if waiver is None:
        return {}
    places = list(dict.fromkeys(lack.path for lack in found.hindrances))
    return {"waiver": waiver, "lacking": [*places[:MAX_PLACES]]}
