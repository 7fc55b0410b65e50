"""Runs, steps, attempts and events in GraphQL."""

from datetime import datetime

import strawberry
from headrace.workflow.state import EventKind, ParkReason, RunStatus, StepStatus, WaitKind

from headrace_control.answer_text import hidden, passed_on
from headrace_control.graphql.actors import ActorType
from headrace_control.graphql.context import Info
from headrace_control.graphql.errors_shown import ErrorType
from headrace_control.graphql.fields import field
from headrace_control.graphql.pages import Page, PageInfo, page
from headrace_control.graphql.scalars import JSON, json_text
from headrace_control.pages import DEFAULT_PAGE, PageOf
from headrace_control.runs import model
from headrace_control.waits.graphql_types import WaitType
from headrace_control.workflows.graphql_types import WorkflowType, WorkflowVersionType

strawberry.enum(RunStatus, description="What a run is doing. SUCCESS, FAILED and CANCELED are its ends.")
strawberry.enum(StepStatus, description="What a step of a run is doing.")
strawberry.enum(ParkReason, name="WaitReason", description="Why a run is WAITING, or still QUEUED.")
strawberry.enum(WaitKind, description="What a step waits for.")
strawberry.enum(EventKind, description="What an event says.")
strawberry.enum(model.TriggerKind, description="What starts runs without anybody asking for it.")
strawberry.enum(model.AttemptOutcome, description="How an attempt ended; UNKNOWN: sent, and not answered.")


@strawberry.type(name="RunTrigger", description="What started a run that nobody asked for.")
class RunTriggerType:
    kind: model.TriggerKind
    name: str = strawberry.field(description="The schedule's or the webhook's.")
    firing_at: datetime | None = strawberry.field(
        description="Of a schedule: the time that the run stands for."
    )
    backfill_id: strawberry.ID | None = strawberry.field(description="The backfill that it is of.")
    message_id: str | None = strawberry.field(description="Of a webhook: the message's id.")

    @classmethod
    def of(cls, trigger: model.Trigger | None) -> "RunTriggerType | None":
        if trigger is None:
            return None
        backfill = strawberry.ID(str(trigger.backfill_id)) if trigger.backfill_id else None
        return cls(
            kind=trigger.kind,
            name=trigger.name,
            firing_at=trigger.firing_at,
            backfill_id=backfill,
            message_id=trigger.message_id,
        )


@strawberry.type(name="Attempt", description="One request of one step.")
class AttemptType:
    number: int = strawberry.field(description="1 for the first.")
    outcome: model.AttemptOutcome
    http_status: int | None
    error: ErrorType | None
    address: str | None = strawberry.field(description="The address that was dialled.")
    started_at: datetime
    duration_ms: int

    @classmethod
    def of(cls, attempt: model.Attempt) -> "AttemptType":
        return cls(
            number=attempt.number,
            outcome=attempt.outcome,
            http_status=attempt.http_status,
            error=ErrorType.of(attempt.error),
            address=attempt.address,
            started_at=attempt.started_at,
            duration_ms=attempt.duration_ms,
        )


@strawberry.type(name="StepWait", description="What a WAITING step waits for.")
class StepWaitType:
    kind: WaitKind
    until: datetime | None = strawberry.field(description="When the wait is over at the latest.")

    @classmethod
    def of(cls, wait: model.StepWait | None) -> "StepWaitType | None":
        return cls(kind=wait.kind, until=wait.until) if wait else None


@strawberry.type(name="StepRun", description="One step of one run, or an item of a loop.")
class StepRunType:
    step: strawberry.Private[model.StepRun]
    key: str = strawberry.field(
        description="The step's key; of an item `key[3]`, and with `.probe` or `.undo` behind."
    )
    status: StepStatus
    wait: StepWaitType | None
    round: int = strawberry.field(description="Of a repeat: the rounds that are over.")
    item_count: int | None = strawberry.field(description="Of a loop that has begun: how many items it has.")
    attempt_count: int = strawberry.field(description="Attempts that ended.")
    error: ErrorType | None
    retry_at: datetime | None = strawberry.field(description="When the next attempt is due.")
    started_at: datetime | None
    finished_at: datetime | None
    taken_from: strawberry.ID | None = strawberry.field(
        description="The run that did it, where this one, a re-run, has taken it over."
    )

    @classmethod
    def of(cls, step: model.StepRun) -> "StepRunType":
        return cls(
            step=step,
            key=step.key,
            status=step.status,
            wait=StepWaitType.of(step.wait),
            round=step.round,
            item_count=step.items,
            attempt_count=step.attempts,
            error=ErrorType.of(step.error),
            retry_at=step.retry_at,
            started_at=step.started_at,
            finished_at=step.finished_at,
            taken_from=strawberry.ID(str(step.taken_from)) if step.taken_from else None,
        )

    @field
    async def input(self, info: Info) -> JSON | None:
        """What the step was given, redacted."""
        found = await info.context.loaders.runs.step_payload.load((self.step.run_id, self.key))
        return json_text(found.input) if found else None

    @field
    async def output(self, info: Info) -> JSON | None:
        """What the step made, redacted."""
        found = await info.context.loaders.runs.step_payload.load((self.step.run_id, self.key))
        return json_text(found.output) if found else None

    @field
    async def attempts(self, info: Info) -> list[AttemptType]:
        """Every attempt, the first one first; at most 50."""
        found = await info.context.loaders.runs.attempts.load((self.step.run_id, self.key))
        return [AttemptType.of(attempt) for attempt in found or ()]

    @field
    async def items(
        self, info: Info, first: int = DEFAULT_PAGE, after: str | None = None
    ) -> "Page[StepRunType]":
        """Of a loop: its items that have begun, in order, each followed by what asked about it and what undid it."""
        if self.step.items is None:
            return Page(items=[], page_info=PageInfo(has_next_page=False, end_cursor=None))
        found = await info.context.loaders.runs.items.load(((self.step.run_id, self.key), first, after))
        return page(found or PageOf((), None, False), StepRunType.of)


@strawberry.type(name="Event", description="One applied fact about a run.")
class EventType:
    epoch: int = strawberry.field(description="Of the claim whose holder wrote it.")
    seq: int = strawberry.field(description="Its place within the epoch.")
    kind: EventKind
    step: str | None
    at: datetime
    data: JSON

    @classmethod
    def of(cls, event: model.RunEvent) -> "EventType":
        return cls(
            epoch=event.epoch,
            seq=event.seq,
            kind=event.kind,
            step=event.step,
            at=event.at,
            data=JSON(passed_on(event.data)),
        )


@strawberry.type(name="Run", description="One execution of a workflow version.")
class RunType:
    run: strawberry.Private[model.Run]
    id: strawberry.ID
    status: RunStatus
    wait_reason: ParkReason | None
    error: ErrorType | None
    cancel_requested: bool = strawberry.field(description="Somebody asked for its end.")
    pause_requested: bool = strawberry.field(description="Somebody asked that it starts nothing more.")
    parent_step: str | None = strawberry.field(description="The row key of the parent's step that it is.")
    trigger: RunTriggerType | None = strawberry.field(
        description="What started it; null of a run that somebody asked for."
    )
    undoes: strawberry.ID | None = strawberry.field(description="The ended run whose steps this one undoes.")
    pool: str = strawberry.field(description="The runner pool whose runners advance it.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, run: model.Run) -> "RunType":
        return cls(
            run=run,
            id=strawberry.ID(str(run.id)),
            status=run.status,
            wait_reason=run.wait_reason,
            error=ErrorType.of(run.error),
            cancel_requested=run.cancel_requested,
            pause_requested=run.pause_requested,
            parent_step=run.parent_step,
            trigger=RunTriggerType.of(run.trigger),
            undoes=strawberry.ID(str(run.undoes_run_id)) if run.undoes_run_id else None,
            pool=run.pool,
            created_at=run.created_at,
            started_at=run.started_at,
            finished_at=run.finished_at,
        )

    @field
    async def workflow(self, info: Info) -> WorkflowType:
        """The workflow that runs."""
        return WorkflowType.of(await info.context.loaders.workflows.workflow(self.run.workflow_id))

    @field
    async def version(self, info: Info) -> WorkflowVersionType:
        """The version that runs; it never changes."""
        return WorkflowVersionType.of(await info.context.loaders.workflows.version(self.run.version_id))

    @field
    async def input(self, info: Info) -> JSON | None:
        """What the run was started with. What the version's parameters mark as `x-sensitive` is hidden."""
        found = await info.context.loaders.runs.payload.load(self.run.id)
        if not found or found.input is None:
            return None
        marks = await info.context.loaders.workflows.marks.load(self.run.version_id)
        return json_text(await hidden(found.input, marks) if marks else found.input)

    @field
    async def result(self, info: Info) -> JSON | None:
        """What the run made, once it has ended in SUCCESS."""
        found = await info.context.loaders.runs.payload.load(self.run.id)
        return json_text(found.result) if found else None

    @field
    async def started_by(self, info: Info) -> ActorType | None:
        """Who asked for it; of a run with a `trigger`, who made that schedule or webhook, or changed it last; of a
        child, who started its parent. null where that is not known."""
        if self.run.created_by is None:
            return None
        found = await info.context.loaders.runs.starter.load(self.run.created_by)
        return ActorType.of(found) if found else None

    @field
    async def parent(self, info: Info) -> "RunType | None":
        """The run whose step this one is."""
        if self.run.parent_run_id is None:
            return None
        found = await info.context.loaders.runs.run.load(self.run.parent_run_id)
        return RunType.of(found) if found else None

    @field
    async def origin(self, info: Info) -> "RunType | None":
        """Of a re-run: the ended run that it goes on from."""
        if self.run.origin_run_id is None:
            return None
        found = await info.context.loaders.runs.run.load(self.run.origin_run_id)
        return RunType.of(found) if found else None

    @field
    async def reruns(
        self, info: Info, first: int = DEFAULT_PAGE, after: str | None = None
    ) -> "Page[RunType]":
        """The runs that go on from this one, the first one first."""
        found = await info.context.loaders.runs.reruns.load((self.run.id, first, after))
        return page(found or PageOf((), None, False), RunType.of)

    @field
    async def children(
        self, info: Info, first: int = DEFAULT_PAGE, after: str | None = None
    ) -> "Page[RunType]":
        """The runs that this one has started as its steps, the first one first."""
        found = await info.context.loaders.runs.children.load((self.run.id, first, after))
        return page(found or PageOf((), None, False), RunType.of)

    @field
    async def waits(self, info: Info, first: int = DEFAULT_PAGE, after: str | None = None) -> Page[WaitType]:
        """Its steps that wait, or waited, for a person or a signal, by their row keys."""
        found = await info.context.loaders.waits.of_run.load((self.run.id, first, after))
        return page(found or PageOf((), None, False), WaitType.of)

    @field
    async def steps(self, info: Info) -> list[StepRunType]:
        """The steps in the order of the version; those not begun are QUEUED.

        Behind a step stands what asked about its doubt (`key.probe`) and what undid it (`key.undo`). A loop's items
        are its own `items`. A run that undoes items of another's loop shows that loop, with `takenFrom`.
        """
        whose = model.StepsOf(self.run.id, self.run.version_id, self.run.ended)
        return [StepRunType.of(step) for step in await info.context.loaders.runs.steps.load(whose) or ()]

    @field
    async def events(
        self, info: Info, first: int = DEFAULT_PAGE, after: str | None = None
    ) -> Page[EventType]:
        """What happened, oldest first."""
        found = await info.context.loaders.runs.events.load((self.run.id, first, after))
        return page(found or PageOf((), None, False), EventType.of)
