"""Rollouts, as services answer them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from headrace.json_types import JsonObject

from headrace_control.auth.caller import Actor

Cohorts = Mapping[str, Sequence[str]]
"""Values of the key that always go to the candidate, by the name that a group of them has."""


class RolloutStatus(StrEnum):
    """A rollout is open until the candidate is promoted or rolled back, and never opens again."""

    OPEN = "OPEN"
    PROMOTED = "PROMOTED"
    ROLLED_BACK = "ROLLED_BACK"


class RolloutChangeKind(StrEnum):
    BEGUN = "BEGUN"
    CHANGED = "CHANGED"
    PROMOTED = "PROMOTED"
    ROLLED_BACK = "ROLLED_BACK"


@dataclass(frozen=True, slots=True)
class Terms:
    """Which starts the candidate takes: `percent` of them, 0 to 100 to a hundredth, sticky by the value that `key`, a
    JSONPath, finds in the input; and those of the cohorts whatever the percentage."""

    percent: float
    key: str | None = None
    cohorts: Cohorts = field(default_factory=dict)

    @property
    def share(self) -> int:
        """The percentage in hundredths of a percent."""
        return round(self.percent * 100)

    def as_json(self) -> JsonObject:
        return {"percent": self.percent, "key": self.key, "cohorts": cohorts_json(self.cohorts)}


@dataclass(frozen=True, slots=True)
class Rollout:
    id: UUID
    workflow_id: UUID
    workflow: str
    stable_id: UUID
    candidate_id: UUID
    status: RolloutStatus
    terms: Terms
    begun_at: datetime
    ended_at: datetime | None

    @property
    def is_open(self) -> bool:
        return self.status is RolloutStatus.OPEN


@dataclass(frozen=True, slots=True)
class RolloutChange:
    """One thing that was done to a rollout, and what it was from then on. `note` says why."""

    number: int
    kind: RolloutChangeKind
    percent: float
    cohorts: Cohorts
    note: str
    at: datetime
    actor: Actor


def cohorts_json(cohorts: Cohorts) -> JsonObject:
    return {name: list(values) for name, values in cohorts.items()}
