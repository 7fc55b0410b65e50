"""Starting, reading, canceling, pausing and watching runs in GraphQL."""

import contextlib
from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Annotated, Any

import strawberry
from headrace.errors import HeadraceError
from headrace.workflow.state import RunStatus

from headrace_control.graphql.context import Info
from headrace_control.graphql.failures import (
    Failed,
    NotStarted,
    failure_of,
)
from headrace_control.graphql.fields import mutation, query, subscription
from headrace_control.graphql.pages import Page, page
from headrace_control.graphql.scalars import JSON, read_id, read_input
from headrace_control.pages import DEFAULT_PAGE
from headrace_control.runs import model
from headrace_control.runs.graphql_types import RunType


@strawberry.input(name="RunStart", description="A run to start.")
class RunStartInput:
    workflow: str = strawberry.field(description="Its name.")
    input: JSON | None = strawberry.field(
        default=None, description="What the version's parameters ask for; at most 256 KB."
    )
    version: int | None = strawberry.field(default=None, description="The newest published one if not given.")
    idempotency_key: str | None = strawberry.field(
        default=None, description="The same key with the same wish answers the same run."
    )

    def wish(self) -> model.RunStart:
        return model.RunStart(self.workflow, read_input(self.input), self.version, self.idempotency_key)


@strawberry.input(name="RunFilter", description="Which runs; what is not given does not narrow.")
class RunFilterInput:
    workflow: str | None = strawberry.field(default=None, description="Its name.")
    version: int | None = strawberry.field(default=None, description="The number of one of that workflow's.")
    status: list[RunStatus] | None = strawberry.field(
        default=None, description="Any of these; of any status when the list is empty."
    )
    created_after: datetime | None = strawberry.field(default=None, description="Then or later.")
    created_before: datetime | None = strawberry.field(default=None, description="Before then.")
    schedule: str | None = strawberry.field(
        default=None, description="The name of the one that started them."
    )
    webhook: str | None = strawberry.field(default=None, description="The name of the one that started them.")

    def wanted(self) -> model.RunFilter:
        return model.RunFilter(
            None if self.workflow is None else {self.workflow},
            tuple(self.status or ()),
            self.created_after,
            self.created_before,
            self.version,
            self.schedule,
            self.webhook,
        )


StartRunPayload = Annotated[
    RunType | NotStarted,
    strawberry.union("StartRunPayload"),
]
CancelRunPayload = Annotated[RunType | Failed, strawberry.union("CancelRunPayload")]
PauseRunPayload = Annotated[RunType | Failed, strawberry.union("PauseRunPayload")]
ResumeRunPayload = Annotated[RunType | Failed, strawberry.union("ResumeRunPayload")]


@strawberry.type(description="What became of each start, in their order.")
class StartedRuns:
    items: list[StartRunPayload]


StartRunsPayload = Annotated[StartedRuns | Failed, strawberry.union("StartRunsPayload")]


@strawberry.type
class RunQuery:
    @query
    async def run(self, info: Info, id: strawberry.ID) -> RunType | None:  # noqa: A002
        """One run."""
        return RunType.of(await info.context.services.runs.get(info.context.caller, read_id(id, "run")))

    @query
    async def runs(
        self,
        info: Info,
        filter: RunFilterInput | None = None,  # noqa: A002
        first: int = DEFAULT_PAGE,
        after: str | None = None,
    ) -> Page[RunType]:
        """Runs, newest first."""
        wanted = filter.wanted() if filter else model.RunFilter()
        return page(
            await info.context.services.runs.page(info.context.caller, wanted, first, after), RunType.of
        )


@strawberry.type
class RunMutation:
    @mutation
    async def start_run(
        self,
        info: Info,
        workflow: str,
        input: JSON | None = None,  # noqa: A002
        version: int | None = None,
        idempotency_key: str | None = None,
    ) -> StartRunPayload:
        """Start a run of a workflow's published version, the newest one if none is given.

        With an idempotency key, asking again with the same workflow, version and input answers the same run,
        and asking for something else with it is a Conflict. A deprecated version is not started.
        """
        wish = model.RunStart(workflow, read_input(input), version, idempotency_key)
        return RunType.of(await info.context.services.runs.start(info.context.caller, wish))

    @mutation
    async def start_runs(self, info: Info, items: list[RunStartInput]) -> StartRunsPayload:
        """Start up to 1000 runs at once. Each is answered on its own; a bad one does not hold back the others."""
        wishes = [item.wish() for item in items]
        answers = await info.context.services.runs.start_all(info.context.caller, wishes)
        return StartedRuns(items=[_started(answer) for answer in answers])

    @mutation
    async def cancel_run(self, info: Info, id: strawberry.ID) -> CancelRunPayload:  # noqa: A002
        """Ask for the end of a run. It ends as soon as its runner knows; `cancelRequested` is true from now on.

        What it did is undone before, where its version says how. A run that is being undone already is left to that.
        """
        return RunType.of(await info.context.services.runs.cancel(info.context.caller, read_id(id, "run")))

    @mutation
    async def pause_run(self, info: Info, id: strawberry.ID) -> PauseRunPayload:  # noqa: A002
        """Ask that a run starts nothing more: steps under way end, then it is PAUSED. Messages to it are kept.

        A Conflict when it has ended, is to be canceled, or is being undone.
        """
        return RunType.of(await info.context.services.runs.pause(info.context.caller, read_id(id, "run")))

    @mutation
    async def resume_run(self, info: Info, id: strawberry.ID) -> ResumeRunPayload:  # noqa: A002
        """Take a pause back: the run goes on now. One that is not paused stays as it is."""
        return RunType.of(await info.context.services.runs.resume(info.context.caller, read_id(id, "run")))


@strawberry.type
class RunSubscription:
    @subscription
    async def run_changed(self, info: Info, id: strawberry.ID) -> AsyncGenerator[RunType, None]:  # noqa: A002
        """The run now, and again after each change, until it has ended. A slow reader gets the newest state."""
        watched = info.context.services.runs.watch(info.context.caller, read_id(id, "run"))
        async with contextlib.aclosing(watched) as changes:
            async for run in changes:
                yield RunType.of(run)


def _started(answer: model.Run | HeadraceError) -> Any:
    if isinstance(answer, model.Run):
        return RunType.of(answer)
    failure = failure_of(answer)
    if failure is None:
        raise answer
    return failure
