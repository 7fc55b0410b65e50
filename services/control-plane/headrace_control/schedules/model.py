"""Schedules and their firings, as services answer them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from headrace.json_types import JsonObject

from headrace_control.schedules.cron import Cron, read_cron
from headrace_control.schedules.deciding import MAX_MISSED, Missed, Overlap


@dataclass(frozen=True, slots=True)
class Terms:
    """What people say of a schedule. `version` None is the newest published one; `input` may hold expressions over the
    firing; `missed_limit` is how many firings `FIRE_ALL` starts at most."""

    workflow: str
    cron: str
    time_zone: str
    input: JsonObject
    version: int | None = None
    missed: Missed = Missed.FIRE_ONCE
    missed_limit: int = MAX_MISSED
    overlap: Overlap = Overlap.ALLOW

    @property
    def clock(self) -> Cron:
        return read_cron(self.cron, self.time_zone)

    def as_json(self) -> JsonObject:
        """As the audit digests it."""
        return {
            "workflow": self.workflow,
            "version": self.version,
            "cron": self.cron,
            "timeZone": self.time_zone,
            "input": self.input,
            "missed": self.missed,
            "missedLimit": self.missed_limit,
            "overlap": self.overlap,
        }


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule. `acts_for` is who made it or changed it last; `error` says why Headrace paused it; `queued_at` is
    the firing that waits for runs of earlier ones to end; `read_at` is when it was read, by the database's clock."""

    id: UUID
    name: str
    terms: Terms
    acts_for: UUID
    paused: bool
    error: JsonObject | None
    next_at: datetime | None
    queued_at: datetime | None
    created_at: datetime
    updated_at: datetime
    read_at: datetime


class FiringOutcome(StrEnum):
    """What came of a firing."""

    STARTED = "STARTED"
    QUEUED = "QUEUED"  # waits for runs of earlier firings to end
    SKIPPED = "SKIPPED"  # runs of earlier firings, or others of the workflow, were in the way
    MISSED = "MISSED"  # no control plane was there in time
    FAILED = "FAILED"  # the start was refused


@dataclass(frozen=True, slots=True)
class Firing:
    """What came of the firing of `at`, or of all from `at` to `last_at`."""

    id: UUID
    at: datetime
    last_at: datetime | None
    outcome: FiringOutcome
    run_id: UUID | None
    error: JsonObject | None
    backfill_id: UUID | None
