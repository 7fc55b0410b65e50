"""Making, changing and pausing schedules in GraphQL."""

from typing import Annotated, Any

import strawberry

from headrace_control.graphql.context import Info
from headrace_control.graphql.deleted import Deleted
from headrace_control.graphql.failures import Failed
from headrace_control.graphql.fields import mutation, query
from headrace_control.graphql.pages import Page, page
from headrace_control.graphql.scalars import JSON, read_input
from headrace_control.pages import DEFAULT_PAGE
from headrace_control.schedules.deciding import MAX_MISSED, Missed, Overlap
from headrace_control.schedules.graphql_types import ScheduleFiringType, ScheduleType
from headrace_control.schedules.model import Terms


@strawberry.input(name="ScheduleInput", description="A schedule to make.")
class ScheduleInput:
    name: str
    workflow: str = strawberry.field(description="Its name.")
    cron: str = strawberry.field(
        description="Minute, hour, day of month, month, day of week: `30 2 * * MON-FRI`; or `@daily` and the like."
    )
    time_zone: str = strawberry.field(default="UTC", description="Of the IANA database, as `Europe/Berlin`.")
    input: JSON | None = strawberry.field(
        default=None, description="Texts may hold expressions: `{{ input.firingAt }}`, `{{ input.date }}`."
    )
    version: int | None = strawberry.field(default=None, description="The newest published one if not given.")
    missed: Missed = Missed.FIRE_ONCE
    missed_limit: int = MAX_MISSED
    overlap: Overlap = Overlap.ALLOW

    def terms(self) -> Terms:
        return Terms(
            self.workflow,
            self.cron,
            self.time_zone,
            read_input(self.input),
            self.version,
            self.missed,
            self.missed_limit,
            self.overlap,
        )


@strawberry.input(name="ScheduleChanges", description="What is not given stays.")
class ScheduleChanges:
    workflow: str | None = None
    cron: str | None = None
    time_zone: str | None = None
    input: JSON | None = None
    version: int | None = strawberry.field(
        default=strawberry.UNSET, description="null is the newest published one."
    )
    missed: Missed | None = None
    missed_limit: int | None = None
    overlap: Overlap | None = None

    def given(self) -> dict[str, Any]:
        return {
            name: value
            for name, value in vars(self).items()
            if value is not strawberry.UNSET and (value is not None or name == "version")
        }


CreateSchedulePayload = Annotated[ScheduleType | Failed, strawberry.union("CreateSchedulePayload")]
UpdateSchedulePayload = Annotated[ScheduleType | Failed, strawberry.union("UpdateSchedulePayload")]
PauseSchedulePayload = Annotated[ScheduleType | Failed, strawberry.union("PauseSchedulePayload")]
ResumeSchedulePayload = Annotated[ScheduleType | Failed, strawberry.union("ResumeSchedulePayload")]
DeleteSchedulePayload = Annotated[Deleted | Failed, strawberry.union("DeleteSchedulePayload")]


@strawberry.type
class ScheduleQuery:
    @query
    async def schedule(self, info: Info, name: str) -> ScheduleType | None:
        """The schedule of this name; null when there is none."""
        found = await info.context.services.schedules.find(info.context.caller, name)
        return ScheduleType.of(found) if found else None

    @query
    async def schedules(
        self, info: Info, first: int = DEFAULT_PAGE, after: str | None = None
    ) -> Page[ScheduleType]:
        """The tenant's schedules, by name."""
        found = await info.context.services.schedules.page(info.context.caller, first, after)
        return page(found, ScheduleType.of)

    @query
    async def schedule_firings(
        self, info: Info, schedule: str, first: int = DEFAULT_PAGE, after: str | None = None
    ) -> Page[ScheduleFiringType]:
        """What came of a schedule's firings, newest first; kept for 90 days."""
        service = info.context.services.schedules
        return page(await service.firings(info.context.caller, schedule, first, after), ScheduleFiringType.of)


@strawberry.type
class ScheduleMutation:
    @mutation
    async def create_schedule(self, info: Info, input: ScheduleInput) -> CreateSchedulePayload:  # noqa: A002
        """Start a workflow by the clock, from the next firing on. The start of that one is checked now."""
        service = info.context.services.schedules
        return ScheduleType.of(await service.create(info.context.caller, input.name, input.terms()))

    @mutation
    async def update_schedule(
        self,
        info: Info,
        name: str,
        input: ScheduleChanges,  # noqa: A002
    ) -> UpdateSchedulePayload:
        """Change a schedule. With another cron or zone it goes on with the first firing from now on."""
        service = info.context.services.schedules
        return ScheduleType.of(await service.update(info.context.caller, name, input.given()))

    @mutation
    async def pause_schedule(self, info: Info, name: str) -> PauseSchedulePayload:
        """Fire no more until it is resumed. A firing that was queued is given up; runs go on."""
        return ScheduleType.of(await info.context.services.schedules.pause(info.context.caller, name))

    @mutation
    async def resume_schedule(self, info: Info, name: str) -> ResumeSchedulePayload:
        """Fire from now on. What it would have fired meanwhile is not missed: start a backfill for it."""
        return ScheduleType.of(await info.context.services.schedules.resume(info.context.caller, name))

    @mutation
    async def delete_schedule(self, info: Info, name: str) -> DeleteSchedulePayload:
        """Take a schedule away, with what is kept of its firings and backfills. Its runs stay."""
        deleted = await info.context.services.schedules.delete(info.context.caller, name)
        return Deleted(name=deleted.name)
