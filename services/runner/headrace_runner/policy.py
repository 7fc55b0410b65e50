"""How the actions of a run are held by its tenant's policy, as its claim says."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# How long an approval lasts for an action of which the claim says nothing.
_A_WEEK_MS = 7 * 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Held:
    """`approval_class` is A (runs), B (asks first) or C (never). The others are of B: who approves, and how long a
    request and an approval last."""

    approval_class: str
    two_person: bool = False
    roles: tuple[str, ...] = ()
    expires_after_ms: int = _A_WEEK_MS


# What nobody says anything of asks first.
UNKNOWN = Held("B")


def read_policy(given: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Held]:
    """By `app/action`."""
    return {
        ref: Held(
            str(said["class"]),
            bool(said.get("twoPerson")),
            tuple(said.get("roles", ())),
            int(said.get("expiresAfterMs", _A_WEEK_MS)),
        )
        for ref, said in given.items()
    }
