"""Dry runs in GraphQL."""

from datetime import datetime
from typing import Annotated, Any

import strawberry

from headrace_control.dry_runs import model
from headrace_control.graphql.context import Info
from headrace_control.graphql.errors_shown import ErrorType
from headrace_control.graphql.failures import Failed
from headrace_control.graphql.fields import mutation, query
from headrace_control.graphql.scalars import JSON, read_id

strawberry.enum(
    model.DryRunStatus,
    description="DONE: there is a report, which says how the walk ended. FAILED: it could not be walked.",
)


@strawberry.input(description="What is walked, on which input, and what stands for the answers of its calls.")
class DryRunInput:
    workflow: str | None = strawberry.field(
        default=None, description="Its name; with a run, its own version if left out."
    )
    version: int | None = strawberry.field(
        default=None, description="Another than the newest published one, or than the run's own."
    )
    draft: bool = strawberry.field(default=False, description="The open draft, if it could be published.")
    document: JSON | None = strawberry.field(
        default=None, description="A document that is not stored: a JSON value, or a text of YAML or JSON."
    )
    input: JSON | None = strawberry.field(default=None, description="The input; of the run if left out.")
    patch: JSON | None = strawberry.field(
        default=None, description="A JSON Merge Patch (RFC 7396) of the input."
    )
    responses: JSON | None = strawberry.field(
        default=None,
        description="By step: `{status, headers, body}`, or a list, one for each call; see the guide of dry runs.",
    )
    run: strawberry.ID | None = strawberry.field(
        default=None,
        description="An ended run: what it recorded answers, and its requests are compared with.",
    )

    def wish(self) -> model.DryRunWish:
        document: Any = self.document
        given: Any = self.input
        patch: Any = self.patch
        responses: Any = self.responses
        run = None if self.run is None else read_id(self.run, "run")
        return model.DryRunWish(
            self.workflow, self.version, self.draft, document, given, patch, responses, run
        )


@strawberry.type(description="Something that keeps a walk from going on, or that is to be looked at.")
class DryRunProblem:
    path: str
    code: str
    message: str
    mend: str


@strawberry.type(description="One row of a walk: a step, an item of a loop, a step of a sub-workflow.")
class DryRunStep:
    path: str = strawberry.field(description="Its row key; of a sub-workflow's step behind its parent's.")
    type: str
    status: str = strawberry.field(description="As of a step of a run; or NO_RESPONSE, or NOT_REACHED.")
    answered_by: str | None = strawberry.field(description="DECLARED, RECORDED or ASSUMED.")
    requests: list[JSON] = strawberry.field(
        description="What would be sent: method, url, headers, body, action, revision, connection."
    )
    output: JSON | None
    error: ErrorType | None
    asks: JSON | None = strawberry.field(description="Whom the policy would ask before the call.")


@strawberry.type(description="A request of the recorded run's version, of the candidate, or of both.")
class RequestChange:
    path: str
    number: int = strawberry.field(description="Which of the row's requests, from 1.")
    change: str = strawberry.field(
        description="SAME, ADDED, REMOVED, CHANGED, REORDERED, or NOT_REACHED: the walk stopped before it."
    )
    moved: bool
    differences: list[JSON] = strawberry.field(description="at (such as `body.items[0]`), before, after.")


@strawberry.type(name="DryRunReport", description="What came of a walk.")
class DryRunReportType:
    status: str = strawberry.field(description="SUCCESS, FAILED, CANCELED; or INCOMPLETE: see the problems.")
    result: JSON | None
    error: ErrorType | None
    ended_at: datetime = strawberry.field(
        description="By the clock of the walk, in which no wait takes time."
    )
    steps: list[DryRunStep]
    not_shown: int = strawberry.field(description="Steps that there are besides.")
    problems: list[DryRunProblem]
    changes: list[RequestChange] | None = strawberry.field(description="Null without a run to compare with.")

    @classmethod
    def of(cls, report: Any) -> "DryRunReportType":
        changes = report["changes"]
        return cls(
            status=report["status"],
            result=_json(report["result"]),
            error=_error(report["error"]),
            ended_at=datetime.fromisoformat(report["endedAt"]),
            steps=[
                DryRunStep(
                    path=one["path"],
                    type=one["type"],
                    status=one["status"],
                    answered_by=one["answeredBy"],
                    requests=[JSON(request) for request in one["requests"]],
                    output=_json(one["output"]),
                    error=_error(one["error"]),
                    asks=_json(one["asks"]),
                )
                for one in report["steps"]
            ],
            not_shown=report["notShown"],
            problems=[DryRunProblem(**one) for one in report["problems"]],
            changes=None
            if changes is None
            else [
                RequestChange(
                    path=one["path"],
                    number=one["number"],
                    change=one["change"],
                    moved=one["moved"],
                    differences=[JSON(found) for found in one["differences"]],
                )
                for one in changes
            ],
        )


@strawberry.type(name="DryRun", description="A version walked without calling anything. Kept for a day.")
class DryRunType:
    id: strawberry.ID
    workflow: str
    version: int | None = strawberry.field(description="Its number; null for what is not published.")
    status: model.DryRunStatus
    recorded_run: strawberry.ID | None
    created_at: datetime
    finished_at: datetime | None
    failure: ErrorType | None = strawberry.field(description="Why it could not be walked.")
    report: DryRunReportType | None

    @classmethod
    def of(cls, one: model.DryRun) -> "DryRunType":
        return cls(
            id=strawberry.ID(str(one.id)),
            workflow=one.workflow,
            version=one.number,
            status=one.status,
            recorded_run=None if one.run_id is None else strawberry.ID(str(one.run_id)),
            created_at=one.created_at,
            finished_at=one.finished_at,
            failure=_error(one.failure),
            report=None if one.report is None else DryRunReportType.of(one.report),
        )


def _json(value: Any) -> Any:
    return None if value is None else JSON(value)


def _error(error: Any) -> ErrorType | None:
    return None if error is None else ErrorType(code=error["code"], message=error["message"])


StartDryRunPayload = Annotated[DryRunType | Failed, strawberry.union("StartDryRunPayload")]


@strawberry.type
class DryRunQuery:
    @query
    async def dry_run(self, info: Info, id: strawberry.ID) -> DryRunType | None:  # noqa: A002
        """One dry run, with its report when it is done."""
        found = await info.context.services.dry_runs.get(info.context.caller, read_id(id, "dry run"))
        return DryRunType.of(found)


@strawberry.type
class DryRunMutation:
    @mutation
    async def start_dry_run(self, info: Info, how: DryRunInput) -> StartDryRunPayload:
        """Have a runner walk a version, a draft or a document, with declared or recorded responses in place of calls.
        It is no run: nothing is called, counted or limited by it."""
        return DryRunType.of(await info.context.services.dry_runs.start(info.context.caller, how.wish()))
