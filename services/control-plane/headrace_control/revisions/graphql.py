"""Past states of runs in GraphQL."""

from datetime import datetime

import strawberry
from headrace.errors import InvalidInput, Problem
from headrace.json_types import JsonObject
from headrace.workflow.state import EventKind, MessageKind, ParkReason, RunStatus, StepStatus, WaitKind

from headrace_control.graphql.context import Info
from headrace_control.graphql.errors_shown import ErrorType
from headrace_control.graphql.fields import field, query
from headrace_control.graphql.pages import Page, page
from headrace_control.graphql.scalars import JSON, json_text, read_id
from headrace_control.pages import DEFAULT_PAGE
from headrace_control.revisions import model
from headrace_control.runs.graphql_types import StepWaitType

strawberry.enum(MessageKind, description="What is said to a run.")


@strawberry.type(
    name="RunRevision", description="One moment of a run: after one of its events, or its start."
)
class RunRevisionType:
    revision: str = strawberry.field(description="`epoch.seq` of the event; `0.0` is the start.")
    at: datetime = strawberry.field(description="When it happened, by the clock of the event's writer.")
    note: str = strawberry.field(description="What happened, as a sentence.")
    kind: EventKind | None = strawberry.field(description="Of the event.")
    step: str | None = strawberry.field(description="The row that the event is about.")

    @classmethod
    def of(cls, revision: model.Revision) -> "RunRevisionType":
        return cls(
            revision=model.write_revision(revision.place),
            at=revision.at,
            note=revision.note,
            kind=revision.kind,
            step=revision.step,
        )


@strawberry.type(name="PastStep", description="One step of a run, or an item of a loop, as it was.")
class PastStepType:
    past: strawberry.Private[model.PastStep]
    key: str = strawberry.field(description="As a step run's.")
    status: StepStatus
    wait: StepWaitType | None
    round: int = strawberry.field(description="Of a repeat: the rounds that were over.")
    item_count: int | None = strawberry.field(description="Of a loop that had begun: how many items it has.")
    attempt_count: int = strawberry.field(description="Attempts that had ended.")
    error: ErrorType | None
    retry_at: datetime | None = strawberry.field(description="When the next attempt was due.")
    started_at: datetime | None
    finished_at: datetime | None
    taken_from: strawberry.ID | None = strawberry.field(
        description="The run that did it, where this one, a re-run, had taken it over."
    )

    @classmethod
    def of(cls, past: model.PastStep) -> "PastStepType":
        state = past.state
        return cls(
            past=past,
            key=past.key,
            status=state.status,
            wait=_wait(state.wait, state.retry_at) if state.status is StepStatus.WAITING else None,
            round=state.round,
            item_count=state.items,
            attempt_count=state.attempts,
            error=ErrorType.of(state.error.as_json() if state.error else None),
            retry_at=state.retry_at,
            started_at=past.started_at,
            finished_at=past.finished_at,
            taken_from=strawberry.ID(str(past.taken_from)) if past.taken_from else None,
        )

    @field
    async def input(self, info: Info) -> JSON | None:
        """What the step was given, redacted."""
        place = self.past.input_of
        if place == model.BEGINNING:
            taken = await info.context.loaders.runs.step_payload.load((self.past.run_id, self.key))
            return json_text(taken.input) if taken else None
        found = (
            await info.context.loaders.revisions.payload.load((self.past.run_id, place)) if place else None
        )
        return json_text(found.input) if found else None

    @field
    async def output(self, info: Info) -> JSON | None:
        """What the step had made, redacted."""
        place = self.past.output_of
        if place == model.BEGINNING:
            taken = await info.context.loaders.runs.step_payload.load((self.past.run_id, self.key))
            return json_text(taken.output) if taken else None
        found = (
            await info.context.loaders.revisions.payload.load((self.past.run_id, place)) if place else None
        )
        return json_text(found.output) if found else None


@strawberry.type(name="PastMessage", description="What had been said to a run, and no event had used up.")
class PastMessageType:
    seq: int = strawberry.field(description="Its place among the run's messages.")
    kind: MessageKind
    step: str | None = strawberry.field(description="The row that it is for.")
    name: str | None = strawberry.field(description="The signal's name.")
    at: datetime

    @classmethod
    def of(cls, message: model.PastMessage) -> "PastMessageType":
        return cls(seq=message.seq, kind=message.kind, step=message.step, name=message.name, at=message.at)


@strawberry.type(name="PastRun", description="A run as it was: the fold of its events up to a moment.")
class PastRunType:
    past: strawberry.Private[model.PastRun]
    run_id: strawberry.ID
    revision: RunRevisionType = strawberry.field(description="The last event that is in it.")
    status: RunStatus = strawberry.field(
        description="As the events tell: QUEUED until its first one, WAITING while it is paused."
    )
    wait_reason: ParkReason | None
    error: ErrorType | None

    @classmethod
    def of(cls, past: model.PastRun) -> "PastRunType":
        return cls(
            past=past,
            run_id=strawberry.ID(str(past.run_id)),
            revision=RunRevisionType.of(past.revision),
            status=past.status,
            wait_reason=past.wait_reason,
            error=ErrorType.of(past.error.as_json() if past.error else None),
        )

    @field
    async def result(self, info: Info) -> JSON | None:
        """What the run had made."""
        place = self.past.result_of
        found = (
            await info.context.loaders.revisions.payload.load((self.past.run_id, place)) if place else None
        )
        return json_text(found.result) if found else None

    @field
    async def steps(
        self, info: Info, first: int = DEFAULT_PAGE, after: str | None = None
    ) -> Page[PastStepType]:
        """The steps in the order of the version, behind each its items, what asks about it and what undoes it; those
        not begun are QUEUED."""
        context = info.context
        found = await context.services.revisions.steps(context.caller, self.past, first, after)
        return page(found, PastStepType.of)

    @field
    async def messages(
        self, info: Info, first: int = DEFAULT_PAGE, after: str | None = None
    ) -> Page[PastMessageType]:
        """What had come by then and was not used up, oldest first."""
        context = info.context
        found = await context.services.revisions.messages(context.caller, self.past, first, after)
        return page(found, PastMessageType.of)


@strawberry.input(description="A moment of a run; nothing given: now.")
class RunMoment:
    revision: str | None = strawberry.field(default=None, description="`epoch.seq`, of one of its revisions.")
    time: datetime | None = strawberry.field(default=None, description="The newest revision up to then.")

    def wanted(self) -> model.At:
        if self.revision is not None and self.time is not None:
            raise InvalidInput([Problem("at", "both a revision and a time", "give one of them")])
        return model.At(None if self.revision is None else model.read_revision(self.revision), self.time)


@strawberry.type
class RevisionQuery:
    @query
    async def run_revisions(
        self,
        info: Info,
        id: strawberry.ID,  # noqa: A002
        first: int = DEFAULT_PAGE,
        after: str | None = None,
    ) -> Page[RunRevisionType] | None:
        """What happened to a run, oldest first, beginning with its start."""
        context = info.context
        found = await context.services.revisions.revisions(context.caller, read_id(id, "run"), first, after)
        return page(found, RunRevisionType.of)

    @query
    async def run_at(
        self,
        info: Info,
        id: strawberry.ID,  # noqa: A002
        at: RunMoment | None = None,
    ) -> PastRunType | None:
        """A run and its steps as they were after the events up to a moment."""
        context = info.context
        wanted = at.wanted() if at else model.At()
        return PastRunType.of(
            await context.services.revisions.past(context.caller, read_id(id, "run"), wanted)
        )


def _wait(wait: JsonObject | None, until: datetime | None) -> StepWaitType | None:
    return StepWaitType(kind=WaitKind(str(wait["kind"])), until=until) if wait else None
