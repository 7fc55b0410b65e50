"""Schedules, firings and backfills in GraphQL."""

from datetime import datetime

import strawberry

from headrace_control.graphql.context import Info
from headrace_control.graphql.fields import field
from headrace_control.graphql.scalars import JSON
from headrace_control.runs.graphql_types import RunErrorType, RunType
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
strawberry.enum(model.BackfillStatus, description="STOPPED: by a person, or, with an `error`, by Headrace.")

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
    error: RunErrorType | None = strawberry.field(description="Why Headrace paused it.")
    next_firings: list[datetime] = strawberry.field(description="The next 5; none of one that is paused.")
    queued_firing: datetime | None = strawberry.field(
        description="The firing that waits for runs of earlier ones to end."
    )
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, schedule: model.Schedule) -> "ScheduleType":
        plan = schedule.plan
        return cls(
            id=strawberry.ID(str(schedule.id)),
            name=schedule.name,
            workflow=plan.workflow,
            version=plan.version,
            cron=plan.cron,
            time_zone=plan.time_zone,
            input=JSON(plan.input),
            missed=plan.missed,
            missed_limit=plan.missed_limit,
            overlap=plan.overlap,
            paused=schedule.paused,
            error=RunErrorType.of(schedule.error),
            next_firings=_following(plan, schedule.next_at),
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
    error: RunErrorType | None
    backfill_id: strawberry.ID | None = strawberry.field(description="The backfill that it is of.")

    @classmethod
    def of(cls, firing: model.Firing) -> "ScheduleFiringType":
        return cls(
            firing=firing,
            id=strawberry.ID(str(firing.id)),
            at=firing.at,
            last_at=firing.last_at,
            outcome=firing.outcome,
            error=RunErrorType.of(firing.error),
            backfill_id=strawberry.ID(str(firing.backfill_id)) if firing.backfill_id else None,
        )

    @field
    async def run(self, info: Info) -> RunType | None:
        """The run that it started; null also when the run is not kept any more."""
        if self.firing.run_id is None:
            return None
        found = await info.context.loaders.runs.run.load(self.firing.run_id)
        return RunType.of(found) if found else None


@strawberry.type(name="Backfill", description="Firings of a range that are started later.")
class BackfillType:
    id: strawberry.ID
    schedule: str = strawberry.field(description="Its name.")
    from_: datetime = strawberry.field(name="from")
    until: datetime = strawberry.field(description="Firings before then.")
    status: model.BackfillStatus
    total: int = strawberry.field(description="How many firings are in the range.")
    started: int = strawberry.field(description="How many of them have been started.")
    at_once: int = strawberry.field(description="How many of its runs are unfinished at most.")
    error: RunErrorType | None = strawberry.field(
        description="Why Headrace stopped it, in front of a firing that was refused."
    )
    created_at: datetime
    finished_at: datetime | None = strawberry.field(description="When its last run was started.")

    @classmethod
    def of(cls, backfill: model.Backfill) -> "BackfillType":
        return cls(
            id=strawberry.ID(str(backfill.id)),
            schedule=backfill.schedule,
            from_=backfill.from_at,
            until=backfill.until_at,
            status=backfill.status,
            total=backfill.total,
            started=backfill.started,
            at_once=backfill.at_once,
            error=RunErrorType.of(backfill.error),
            created_at=backfill.created_at,
            finished_at=backfill.finished_at,
        )


def _following(plan: model.Plan, next_at: datetime | None) -> list[datetime]:
    found: list[datetime] = []
    try:
        clock = plan.clock
    except (NotCron, NoSuchZone):  # its zone is in the database no more: the loop pauses it
        return found
    while next_at is not None and len(found) < NEXT_FIRINGS:
        found.append(next_at)
        next_at = clock.after(next_at)
    return found
