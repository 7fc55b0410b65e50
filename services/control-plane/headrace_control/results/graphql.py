"""Cached results in GraphQL."""

from datetime import datetime
from typing import Annotated

import strawberry

from headrace_control.graphql.context import Info
from headrace_control.graphql.failures import Failed
from headrace_control.graphql.fields import mutation, query
from headrace_control.results import model


@strawberry.type(name="CachedAction", description="An action of which results stand for calls.")
class CachedActionType:
    action: str
    results: int = strawberry.field(description="How many.")
    newest_at: datetime
    until: datetime = strawberry.field(description="When the last of them ends.")

    @classmethod
    def of(cls, one: model.CachedAction) -> "CachedActionType":
        return cls(action=one.action, results=one.results, newest_at=one.newest_at, until=one.until)


@strawberry.type(description="Results that stand for no call any more.")
class ForgottenResults:
    results: int = strawberry.field(description="How many.")


ForgetCachedResultsPayload = Annotated[
    ForgottenResults | Failed, strawberry.union("ForgetCachedResultsPayload")
]


@strawberry.type
class ResultQuery:
    @query
    async def cached_results(self, info: Info) -> list[CachedActionType]:
        """The actions of which results are cached, see `cache` of a step."""
        found = await info.context.services.results.by_action(info.context.caller)
        return [CachedActionType.of(one) for one in found]


@strawberry.type
class ResultMutation:
    @mutation
    async def forget_cached_results(
        self, info: Info, action: str | None = None
    ) -> ForgetCachedResultsPayload:
        """Have the next calls of an action (`app/action`), or with null those of all, made again."""
        count = await info.context.services.results.forget(info.context.caller, action)
        return ForgottenResults(results=count)
