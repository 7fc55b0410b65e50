"""Dead letters that belong to no tenant, in GraphQL."""

from datetime import datetime
from typing import Annotated

import strawberry

from headrace_control.dead_letters import model
from headrace_control.dead_letters.graphql import DiscardedDeadLetters
from headrace_control.graphql.context import Info
from headrace_control.graphql.failures import Failed
from headrace_control.graphql.fields import mutation, query
from headrace_control.graphql.pages import Page, page
from headrace_control.graphql.scalars import read_any_id
from headrace_control.pages import DEFAULT_PAGE


@strawberry.type(
    name="NobodysDeadLetter",
    description="A message that could not be read, or events that nobody was granted: they belong to no tenant. What "
    "is in them is not shown, for it may be any tenant's.",
)
class NobodysDeadLetterType:
    id: strawberry.ID
    status: model.DeadLetterStatus
    source: str = strawberry.field(description="The queue that it came by, or `reporter`.")
    reason: str
    created_at: datetime
    closed_at: datetime | None
    closed_reason: str | None = strawberry.field(description="Why it was discarded.")

    @classmethod
    def of(cls, letter: model.NobodysDeadLetter) -> "NobodysDeadLetterType":
        return cls(
            id=strawberry.ID(str(letter.id)),
            status=letter.status,
            source=letter.source,
            reason=letter.reason,
            created_at=letter.created_at,
            closed_at=letter.closed_at,
            closed_reason=letter.closed_reason,
        )


DiscardNobodysDeadLettersPayload = Annotated[
    DiscardedDeadLetters | Failed, strawberry.union("DiscardNobodysDeadLettersPayload")
]


@strawberry.type
class NobodysDeadLetterQuery:
    @query
    async def nobodys_dead_letters(
        self,
        info: Info,
        status: model.DeadLetterStatus = model.DeadLetterStatus.OPEN,
        first: int = DEFAULT_PAGE,
        after: str | None = None,
    ) -> Page[NobodysDeadLetterType]:
        """Dead letters that belong to no tenant, newest first; the open ones unless it says so. For admins of a
        platform tenant."""
        service = info.context.services.nobodys_dead_letters
        return page(await service.page(info.context.caller, status, first, after), NobodysDeadLetterType.of)


@strawberry.type
class NobodysDeadLetterMutation:
    @mutation
    async def discard_nobodys_dead_letters(
        self,
        info: Info,
        reason: str,
        ids: list[strawberry.ID] | None = None,
        of_source: str | None = None,
    ) -> DiscardNobodysDeadLettersPayload:
        """Close open dead letters that belong to no tenant for good, by their ids (at most 200) or all of a source, and
        say why. For admins of a platform tenant."""
        wanted = None if ids is None else [read_any_id(one) for one in ids]
        service = info.context.services.nobodys_dead_letters
        return DiscardedDeadLetters(
            count=await service.discard(info.context.caller, wanted, of_source, reason)
        )
