"""Rolling versions out in GraphQL."""

from typing import Annotated

import strawberry

from headrace_control.graphql.context import Info
from headrace_control.graphql.failures import Failed
from headrace_control.graphql.fields import mutation, query
from headrace_control.graphql.pages import Page, page
from headrace_control.pages import DEFAULT_PAGE
from headrace_control.rollouts.graphql_types import (
    CohortInput,
    RolloutComparisonType,
    RolloutInput,
    RolloutType,
    read_cohorts,
)

BeginRolloutPayload = Annotated[RolloutType | Failed, strawberry.union("BeginRolloutPayload")]
ChangeRolloutPayload = Annotated[RolloutType | Failed, strawberry.union("ChangeRolloutPayload")]
PromoteRolloutPayload = Annotated[RolloutType | Failed, strawberry.union("PromoteRolloutPayload")]
RollBackRolloutPayload = Annotated[RolloutType | Failed, strawberry.union("RollBackRolloutPayload")]


@strawberry.type
class RolloutQuery:
    @query
    async def rollout(self, info: Info, workflow: str) -> RolloutType | None:
        """The workflow's open rollout, or else its last one; null when there was none."""
        found = await info.context.services.rollouts.find(info.context.caller, workflow)
        return RolloutType.of(found) if found else None

    @query
    async def rollouts(
        self, info: Info, workflow: str, first: int = DEFAULT_PAGE, after: str | None = None
    ) -> Page[RolloutType]:
        """The workflow's rollouts, newest first."""
        service = info.context.services.rollouts
        return page(await service.page(info.context.caller, workflow, first, after), RolloutType.of)

    @query
    async def rollout_comparison(self, info: Info, workflow: str) -> RolloutComparisonType | None:
        """How the runs of both versions fare that were begun during the open rollout, or else the last one; children
        and re-runs left out. null when there was no rollout."""
        found = await info.context.services.rollouts.comparison(info.context.caller, workflow)
        return RolloutComparisonType.of(found) if found else None


@strawberry.type
class RolloutMutation:
    @mutation
    async def begin_rollout(
        self,
        info: Info,
        workflow: str,
        version: int,
        input: RolloutInput,  # noqa: A002
        note: str = "",
    ) -> BeginRolloutPayload:
        """Let a published version take a share of the starts that name no version. The others run the newest of the
        other published versions. To publish a version that takes no more than its share from its first moment on, give
        `rollout` to `publishWorkflow`."""
        service = info.context.services.rollouts
        return RolloutType.of(
            await service.begin(info.context.caller, workflow, version, input.terms(), note)
        )

    @mutation
    async def change_rollout(
        self,
        info: Info,
        workflow: str,
        percent: float | None = None,
        cohorts: list[CohortInput] | None = None,
        note: str = "",
    ) -> ChangeRolloutPayload:
        """Another percentage, other cohorts; what is not given stays. A key that is on the candidate stays there while
        the percentage grows."""
        given = None if cohorts is None else read_cohorts(cohorts)
        service = info.context.services.rollouts
        return RolloutType.of(await service.change(info.context.caller, workflow, percent, given, note))

    @mutation
    async def promote_rollout(self, info: Info, workflow: str, note: str = "") -> PromoteRolloutPayload:
        """Starts that name no version run the candidate from now on. Runs in flight end on their version."""
        service = info.context.services.rollouts
        return RolloutType.of(await service.promote(info.context.caller, workflow, note))

    @mutation
    async def roll_back_rollout(self, info: Info, workflow: str, note: str = "") -> RollBackRolloutPayload:
        """Starts that name no version run the stable version from now on. Runs in flight end on their version; the
        candidate stays published, for starts that name it and for another rollout."""
        service = info.context.services.rollouts
        return RolloutType.of(await service.roll_back(info.context.caller, workflow, note))
