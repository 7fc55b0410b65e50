"""Re-runs in GraphQL."""

from typing import Annotated, Any

import strawberry

from headrace_control.graphql.context import Info
from headrace_control.graphql.failures import (
    NotStarted,
)
from headrace_control.graphql.fields import mutation, query
from headrace_control.graphql.scalars import JSON, read_id
from headrace_control.reruns import model
from headrace_control.runs.graphql_types import RunType

strawberry.enum(
    model.RerunFate,
    description="TAKEN_OVER: done, and stays so. AGAIN: it had begun, and is done again. AHEAD: it had not begun.",
)


@strawberry.input(description="How an ended run is run again; nothing given: from where it failed.")
class RerunInput:
    steps: list[str] | None = strawberry.field(
        default=None,
        description="Also from these steps, with all that follows: `pay`, an item `each[3]`, a child's `ship/charge`.",
    )
    whole: bool = strawberry.field(default=False, description="Take nothing over.")
    version: int | None = strawberry.field(default=None, description="Another version than the run's own.")
    patch: JSON | None = strawberry.field(
        default=None, description="A JSON Merge Patch (RFC 7396) of the run's input."
    )
    repeat_in_doubt: bool = strawberry.field(
        default=False, description="Make calls again of which nobody knows whether they were made."
    )

    def wish(self, key: str | None = None) -> model.RerunWish:
        patch: Any = self.patch
        return model.RerunWish(
            tuple(self.steps or ()), self.whole, self.version, patch, self.repeat_in_doubt, key
        )


@strawberry.type(name="RerunStep", description="One step, or an item of a loop that is done again.")
class RerunStepType:
    path: str = strawberry.field(description="Its row key; of a child run's step behind its parent's.")
    fate: model.RerunFate
    type: str
    action: str | None
    in_doubt: bool = strawberry.field(description="Nobody knows whether its call was made.")
    keeps_key: bool = strawberry.field(description="It is called under the idempotency key that it had.")
    item_count: int | None = strawberry.field(description="Of a loop that has begun: how many items it has.")

    @classmethod
    def of(cls, step: model.RerunStep) -> "RerunStepType":
        return cls(
            path=step.path,
            fate=step.fate,
            type=step.type,
            action=step.action,
            in_doubt=step.in_doubt,
            keeps_key=step.keeps_key,
            item_count=step.items,
        )


@strawberry.type(description="What a re-run would do.")
class RerunPreview:
    steps: list[RerunStepType]
    more: int = strawberry.field(description="Steps that are not shown.")


RerunRunPayload = Annotated[
    RunType | NotStarted,
    strawberry.union("RerunRunPayload"),
]


@strawberry.type
class RerunQuery:
    @query
    async def rerun_preview(
        self, info: Info, run: strawberry.ID, how: RerunInput | None = None
    ) -> RerunPreview | None:
        """What a re-run would take over, and what it would do again, step by step. Nothing is started."""
        wish = (how or RerunInput()).wish()
        found = await info.context.services.reruns.preview(info.context.caller, read_id(run, "run"), wish)
        return RerunPreview(steps=[RerunStepType.of(step) for step in found.steps], more=found.more)


@strawberry.type
class RerunMutation:
    @mutation
    async def rerun_run(
        self,
        info: Info,
        run: strawberry.ID,
        how: RerunInput | None = None,
        idempotency_key: str | None = None,
    ) -> RerunRunPayload:
        """Start a new run that goes on from where an ended one stopped, without doing again what it did.

        A Conflict while another run goes on from the same one, and for calls in doubt that are not to be repeated.
        """
        wish = (how or RerunInput()).wish(idempotency_key)
        return RunType.of(
            await info.context.services.reruns.rerun(info.context.caller, read_id(run, "run"), wish)
        )
