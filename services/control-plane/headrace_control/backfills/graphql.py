"""Backfills in GraphQL."""

from datetime import datetime
from typing import Annotated

import strawberry

from headrace_control.backfills import model
from headrace_control.graphql.context import Info
from headrace_control.graphql.errors_shown import ErrorType
from headrace_control.graphql.failures import Failed
from headrace_control.graphql.fields import mutation, query
from headrace_control.graphql.pages import Page, page
from headrace_control.graphql.scalars import read_any_id, read_id
from headrace_control.pages import DEFAULT_PAGE

strawberry.enum(model.BackfillStatus, description="STOPPED: by a person, or, with an `error`, by Headrace.")


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
    error: ErrorType | None = strawberry.field(
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
            error=ErrorType.of(backfill.error),
            created_at=backfill.created_at,
            finished_at=backfill.finished_at,
        )


StartBackfillPayload = Annotated[BackfillType | Failed, strawberry.union("StartBackfillPayload")]
StopBackfillPayload = Annotated[BackfillType | Failed, strawberry.union("StopBackfillPayload")]
ResumeBackfillPayload = Annotated[BackfillType | Failed, strawberry.union("ResumeBackfillPayload")]


@strawberry.type
class BackfillQuery:
    @query
    async def backfill(self, info: Info, id: strawberry.ID) -> BackfillType | None:  # noqa: A002
        """How far a backfill is; null when there is none of this id."""
        found = await info.context.services.backfills.find(info.context.caller, read_any_id(id))
        return BackfillType.of(found) if found else None

    @query
    async def backfills(
        self, info: Info, schedule: str, first: int = DEFAULT_PAGE, after: str | None = None
    ) -> Page[BackfillType]:
        """A schedule's backfills, newest first."""
        service = info.context.services.backfills
        return page(await service.page(info.context.caller, schedule, first, after), BackfillType.of)


@strawberry.type
class BackfillMutation:
    @mutation
    async def start_backfill(
        self,
        info: Info,
        schedule: str,
        from_: Annotated[datetime, strawberry.argument(name="from")],
        until: datetime,
        at_once: int = 10,
    ) -> StartBackfillPayload:
        """Start a run for each of the schedule's firings from `from` on and before `until`, 10,000 at most, whether or
        not one has run for it; `atOnce` of them, 1 to 1000, are unfinished at most."""
        service = info.context.services.backfills
        return BackfillType.of(await service.start(info.context.caller, schedule, from_, until, at_once))

    @mutation
    async def stop_backfill(self, info: Info, id: strawberry.ID) -> StopBackfillPayload:  # noqa: A002
        """Start nothing more of it; what it has started goes on. A Conflict when it is done."""
        service = info.context.services.backfills
        return BackfillType.of(await service.stop(info.context.caller, read_id(id, "backfill")))

    @mutation
    async def resume_backfill(
        self,
        info: Info,
        id: strawberry.ID,  # noqa: A002
        at_once: int | None = None,
    ) -> ResumeBackfillPayload:
        """Go on with the first firing that it has not started. A Conflict when it is done."""
        service = info.context.services.backfills
        return BackfillType.of(await service.resume(info.context.caller, read_id(id, "backfill"), at_once))
