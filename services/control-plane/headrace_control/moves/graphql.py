"""Moving runs to another version in GraphQL."""

from datetime import datetime
from typing import Annotated, Any

import strawberry
from headrace.errors import HeadraceError
from headrace.workflow.move import MoveFate

from headrace_control.graphql.actors import ActorType
from headrace_control.graphql.context import Info
from headrace_control.graphql.failures import Failed, ProblemType, failure_of
from headrace_control.graphql.fields import field, mutation, query
from headrace_control.graphql.scalars import read_any_id, read_id
from headrace_control.moves import model
from headrace_control.runs.graphql_types import RunType
from headrace_control.runs.model import Run
from headrace_control.workflows.graphql_types import ChangeType, VersionDiffType, WorkflowVersionType

strawberry.enum(
    MoveFate,
    description="What a step is to a run that is moved. SKIPPED stays skipped; UNDER_WAY has begun and not ended; "
    "NEW is in the other version alone, GONE is not in it.",
)


@strawberry.type(name="MoveStep", description="A step of either version, and what it is to the run.")
class MoveStepType:
    key: str
    fate: MoveFate
    type: str
    action: str | None


@strawberry.type(name="MovePreview", description="What moving a run to a version would do.")
class MovePreviewType:
    preview: strawberry.Private[model.MovePreview]
    fits: bool = strawberry.field(description="There are no problems.")
    held: bool = strawberry.field(description="A runner has the run: it can be moved when it is paused.")
    problems: list[ProblemType] = strawberry.field(description="Why the run can not go on by the version.")
    steps: list[MoveStepType] = strawberry.field(
        description="Those of the version, then those that it has not."
    )
    diff: VersionDiffType = strawberry.field(description="What makes the version out of the run's.")

    @classmethod
    def of(cls, preview: model.MovePreview) -> "MovePreviewType":
        return cls(
            preview=preview,
            fits=not preview.problems,
            held=preview.held,
            problems=[
                ProblemType(path=p.path, message=p.message, mend=p.mend, code=p.code)
                for p in preview.problems
            ],
            steps=[MoveStepType(key=s.key, fate=s.fate, type=s.type, action=s.action) for s in preview.steps],
            diff=VersionDiffType(
                changes=[ChangeType.of(change) for change in preview.diff.changes],
                truncated=preview.diff.truncated,
            ),
        )

    @field
    async def from_version(self, info: Info) -> WorkflowVersionType:
        """The run's version."""
        return WorkflowVersionType.of(await info.context.loaders.workflows.version(self.preview.from_id))

    @field
    async def to_version(self, info: Info) -> WorkflowVersionType:
        """The version that it would go on by."""
        return WorkflowVersionType.of(await info.context.loaders.workflows.version(self.preview.to_id))


@strawberry.type(name="RunMove", description="A run was moved to another version.")
class RunMoveType:
    move: strawberry.Private[model.Move]
    at: datetime
    actor: ActorType
    note: str
    epoch: int = strawberry.field(description="Of the run's last event before it;")
    seq: int = strawberry.field(description="and its place in the epoch.")

    @classmethod
    def of(cls, move: model.Move) -> "RunMoveType":
        return cls(
            move=move,
            at=move.at,
            actor=ActorType.of(move.actor),
            note=move.note,
            epoch=move.epoch,
            seq=move.seq,
        )

    @field
    async def from_version(self, info: Info) -> WorkflowVersionType:
        """The version that it had."""
        return WorkflowVersionType.of(await info.context.loaders.workflows.version(self.move.from_id))

    @field
    async def to_version(self, info: Info) -> WorkflowVersionType:
        """The version that it went on by."""
        return WorkflowVersionType.of(await info.context.loaders.workflows.version(self.move.to_id))


MoveRunPayload = Annotated[RunType | Failed, strawberry.union("MoveRunPayload")]


@strawberry.type(description="What became of each move, in their order.")
class MovedRuns:
    items: list[MoveRunPayload]


MoveRunsPayload = Annotated[MovedRuns | Failed, strawberry.union("MoveRunsPayload")]


@strawberry.type
class MoveQuery:
    @query
    async def move_preview(self, info: Info, run: strawberry.ID, version: int) -> MovePreviewType | None:
        """What moving an unfinished run to this version of its workflow would do, and what is in the way."""
        service = info.context.services.moves
        return MovePreviewType.of(await service.preview(info.context.caller, read_id(run, "run"), version))

    @query
    async def run_moves(self, info: Info, run: strawberry.ID) -> list[RunMoveType] | None:
        """How a run was moved, oldest first; null when there is no such run."""
        found = await info.context.services.moves.moves(info.context.caller, read_any_id(run))
        return None if found is None else [RunMoveType.of(one) for one in found]


@strawberry.type
class MoveMutation:
    @mutation
    async def move_runs(
        self, info: Info, ids: list[strawberry.ID], version: int, note: str = ""
    ) -> MoveRunsPayload:
        """Let unfinished runs, 200 at most, go on by another published version of their workflow; each is answered by
        itself. A run that a runner holds is a Conflict: pause it, and move it when it is PAUSED. What was done stays
        done; a run that does not fit is InvalidInput, as `movePreview` tells beforehand."""
        service = info.context.services.moves
        wanted = [read_any_id(one) for one in ids]
        answers = await service.move(info.context.caller, wanted, version, note)
        return MovedRuns(items=[_answer(one) for one in answers])


def _answer(answer: Run | HeadraceError) -> Any:
    if isinstance(answer, Run):
        return RunType.of(answer)
    failure = failure_of(answer)
    if failure is None:
        raise answer
    return failure
