"""Schedules and firings in GraphQL."""

from datetime import datetime

import strawberry

from headrace_control.graphql.context import Info
from headrace_control.graphql.errors_shown import ErrorType
from headrace_control.graphql.fields import field
from headrace_control.graphql.scalars import JSON
from headrace_control.runs.graphql_types import RunType
from headrace_control.schedules import model
from headrace_control.schedules.cron import NoSuchZone, NotCron
from headrace_control.schedules.deciding import Missed, Overlap

strawberry.enum(
    Missed, name="MissedPolicy", description="What becomes of firings that no control plane was there for."
)
strawberry.enum(
    Overlap,
    name="OverlapPolicy",
    description="What a firing does while a run of an earlier one is unfinished.",
)
strawberry.enum(model.FiringOutcome, description="What came of a firing.")

# How many of the firings to come are shown.
NEXT_FIRINGS = 5


@strawberry.type(name="Schedule", description="Starts a workflow by the clock.")
class ScheduleType:
    id: strawberry.ID
    name: str
    workflow: str = strawberry.field(description="Its name.")
    version: int | None = strawberry.field(description="null: the newest published one.")
    cron: str
    time_zone: str = strawberry.field(description="Of the IANA database.")
    input: JSON = strawberry.field(description="Texts may hold expressions over the firing.")
    missed: Missed
    missed_limit: int = strawberry.field(description="How many firings FIRE_ALL starts at most.")
    overlap: Overlap
    paused: bool
    error: ErrorType | None = strawberry.field(description="Why Headrace paused it.")
    next_firings: list[datetime] = strawberry.field(description="The next 5; none of one that is paused.")
    queued_firing: datetime | None = strawberry.field(
        description="The firing that waits for runs of earlier ones to end."
    )
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, schedule: model.Schedule) -> "ScheduleType":
        terms = schedule.terms
        return cls(
            id=strawberry.ID(str(schedule.id)),
            name=schedule.name,
            workflow=terms.workflow,
            version=terms.version,
            cron=terms.cron,
            time_zone=terms.time_zone,
            input=JSON(terms.input),
            missed=terms.missed,
            missed_limit=terms.missed_limit,
            overlap=terms.overlap,
            paused=schedule.paused,
            error=ErrorType.of(schedule.error),
            next_firings=_following(terms, schedule.next_at),
            queued_firing=schedule.queued_at,
            created_at=schedule.created_at,
            updated_at=schedule.updated_at,
        )


@strawberry.type(name="ScheduleFiring", description="What came of a firing.")
class ScheduleFiringType:
    firing: strawberry.Private[model.Firing]
    id: strawberry.ID
    at: datetime
    last_at: datetime | None = strawberry.field(description="Of MISSED: the last one of those in a row.")
    outcome: model.FiringOutcome
    error: ErrorType | None = strawberry.field(description="Of SKIPPED and FAILED: why it started nothing.")
    backfill_id: strawberry.ID | None = strawberry.field(description="The backfill that it is of.")

    @classmethod
    def of(cls, firing: model.Firing) -> "ScheduleFiringType":
        return cls(
            firing=firing,
            id=strawberry.ID(str(firing.id)),
            at=firing.at,
            last_at=firing.last_at,
            outcome=firing.outcome,
            error=ErrorType.of(firing.error),
            backfill_id=strawberry.ID(str(firing.backfill_id)) if firing.backfill_id else None,
        )

    @field
    async def run(self, info: Info) -> RunType | None:
        """The run that it started; null also when the run is not kept any more."""
        if self.firing.run_id is None:
            return None
        found = await info.context.loaders.runs.run.load(self.firing.run_id)
        return RunType.of(found) if found else None


def _following(terms: model.Terms, next_at: datetime | None) -> list[datetime]:
    found: list[datetime] = []
    try:
        clock = terms.clock
    except (NotCron, NoSuchZone):  # its zone is in the database no more: the loop pauses it
        return found
    while next_at is not None and len(found) < NEXT_FIRINGS:
        found.append(next_at)
        next_at = clock.after(next_at)
    return found
