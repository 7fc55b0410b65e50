"""Dead letters in GraphQL."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import strawberry

from headrace_control.answer_text import passed_on
from headrace_control.dead_letters import model
from headrace_control.graphql.context import Info
from headrace_control.graphql.errors_shown import ErrorType
from headrace_control.graphql.failures import Failed
from headrace_control.graphql.fields import field, mutation, query
from headrace_control.graphql.pages import Page, page
from headrace_control.graphql.scalars import JSON, json_text, read_any_id, read_id
from headrace_control.pages import DEFAULT_PAGE
from headrace_control.runs.graphql_types import RunType

strawberry.enum(
    model.DeadLetterSource,
    description=(
        "What was given up: a STEP that failed for good, a call IN_DOUBT, a COMPENSATION that failed, a run that no "
        "CLAIM got on with, or whose EVENTS could not be applied."
    ),
)
strawberry.enum(model.DeadLetterStatus, description="OPEN until somebody replays or discards it.")
strawberry.enum(model.StatisticsBy, name="DeadLettersBy", description="What dead letters are counted by.")


@strawberry.type(name="DeadLetterGroup", description="Dead letters with the same cause.")
class DeadLetterGroupType:
    source: model.DeadLetterSource
    action: str = strawberry.field(description="`app/action`, or the type of the step.")
    code: str = strawberry.field(description="The failure's code.")

    @classmethod
    def of(cls, group: model.Group) -> "DeadLetterGroupType":
        return cls(source=group.source, action=group.action, code=group.code)


@strawberry.type(name="DeadLetter", description="Something that a run gave up on.")
class DeadLetterType:
    letter: strawberry.Private[model.DeadLetter]
    id: strawberry.ID
    status: model.DeadLetterStatus
    group: DeadLetterGroupType
    workflow: str
    step: str | None = strawberry.field(description="The row key; null where the whole run was set aside.")
    error: ErrorType
    created_at: datetime
    closed_at: datetime | None
    closed_reason: str | None = strawberry.field(description="Why it was discarded.")

    @classmethod
    def of(cls, letter: model.DeadLetter) -> "DeadLetterType":
        return cls(
            letter=letter,
            id=strawberry.ID(str(letter.id)),
            status=letter.status,
            group=DeadLetterGroupType(source=letter.source, action=letter.action, code=letter.code),
            workflow=letter.workflow,
            step=letter.step,
            error=ErrorType(code=letter.code, message=letter.message),
            created_at=letter.created_at,
            closed_at=letter.closed_at,
            closed_reason=letter.closed_reason,
        )

    @field
    async def run(self, info: Info) -> RunType | None:
        """The run that gave up; null once it is no longer kept."""
        found = await info.context.loaders.runs.run.load(self.letter.run_id)
        return RunType.of(found) if found else None

    @field
    async def replayed_by(self, info: Info) -> RunType | None:
        """The run that goes on from it."""
        if self.letter.replayed_by is None:
            return None
        found = await info.context.loaders.runs.run.load(self.letter.replayed_by)
        return RunType.of(found) if found else None


@strawberry.type(description="What is kept of a dead letter to look into it, redacted.")
class DeadLetterDetail:
    letter: DeadLetterType
    input: JSON | None = strawberry.field(description="What the step was given.")
    attempts: list[JSON] = strawberry.field(description="Every request that was made, the first one first.")


@strawberry.type(name="DeadLetterGroupCount", description="How many dead letters of one status a group has.")
class DeadLetterGroupCountType:
    group: DeadLetterGroupType
    count: int
    first_at: datetime
    last_at: datetime
    example: strawberry.ID = strawberry.field(description="The newest of them.")


@strawberry.type(name="DeadLetterStatistic", description="Dead letters of one workflow, action or cause.")
class DeadLetterStatisticType:
    name: str
    open: int
    replayed: int
    discarded: int


@strawberry.type(description="What a discard closed.")
class DiscardedDeadLetters:
    count: int = strawberry.field(
        description="Of a group or source at most 10000 at once: ask again until it is NotFound."
    )


@strawberry.input(description="A group of dead letters.")
class DeadLetterGroupInput:
    source: model.DeadLetterSource
    action: str
    code: str

    def wanted(self) -> model.Group:
        return model.Group(self.source, self.action, self.code)


@strawberry.input(
    name="DeadLetterFilter", description="Which dead letters; what is not given does not narrow."
)
class DeadLetterFilterInput:
    status: model.DeadLetterStatus = model.DeadLetterStatus.OPEN
    workflow: str | None = strawberry.field(default=None, description="Its name.")
    group: DeadLetterGroupInput | None = None

    def wanted(self) -> model.DeadLetterFilter:
        return model.DeadLetterFilter(self.status, self.workflow, self.group.wanted() if self.group else None)


DiscardDeadLettersPayload = Annotated[
    DiscardedDeadLetters | Failed, strawberry.union("DiscardDeadLettersPayload")
]


@strawberry.type
class DeadLetterQuery:
    @query
    async def dead_letters(
        self,
        info: Info,
        filter: DeadLetterFilterInput | None = None,  # noqa: A002
        first: int = DEFAULT_PAGE,
        after: str | None = None,
    ) -> Page[DeadLetterType]:
        """What runs gave up on, newest first; the open ones unless the filter says so."""
        wanted = (filter or DeadLetterFilterInput()).wanted()
        found = await info.context.services.dead_letters.page(info.context.caller, wanted, first, after)
        return page(found, DeadLetterType.of)

    @query
    async def dead_letter(self, info: Info, id: strawberry.ID) -> DeadLetterDetail | None:  # noqa: A002
        """One dead letter, with the step's input and attempts."""
        service, letter_id = info.context.services.dead_letters, read_id(id, "dead letter")
        letter = await service.get(info.context.caller, letter_id)
        body = await service.body(info.context.caller, letter_id)
        return DeadLetterDetail(
            letter=DeadLetterType.of(letter),
            input=json_text(body.input),
            attempts=[JSON(passed_on(attempt)) for attempt in body.attempts],
        )

    @query
    async def dead_letter_groups(
        self,
        info: Info,
        status: model.DeadLetterStatus = model.DeadLetterStatus.OPEN,
        workflow: str | None = None,
    ) -> list[DeadLetterGroupCountType]:
        """The causes of what was given up, the most frequent first; at most 200."""
        found = await info.context.services.dead_letters.groups(info.context.caller, status, workflow)
        return [
            DeadLetterGroupCountType(
                group=DeadLetterGroupType.of(one.group),
                count=one.count,
                first_at=one.first_at,
                last_at=one.last_at,
                example=strawberry.ID(str(one.example)),
            )
            for one in found
        ]

    @query
    async def dead_letter_statistics(
        self,
        info: Info,
        by: model.StatisticsBy = model.StatisticsBy.CAUSE,
        since: datetime | None = None,
    ) -> list[DeadLetterStatisticType]:
        """How much was given up since a moment (a week ago if none is given); at most 200 lines."""
        begin = since or datetime.now(UTC) - timedelta(days=7)
        found = await info.context.services.dead_letters.statistics(info.context.caller, by, begin)
        return [
            DeadLetterStatisticType(
                name=one.name, open=one.open, replayed=one.replayed, discarded=one.discarded
            )
            for one in found
        ]


@strawberry.type
class DeadLetterMutation:
    @mutation
    async def discard_dead_letters(
        self,
        info: Info,
        reason: str,
        ids: list[strawberry.ID] | None = None,
        group: DeadLetterGroupInput | None = None,
        workflow: str | None = None,
    ) -> DiscardDeadLettersPayload:
        """Close open dead letters for good, by their ids (at most 200) or all of a group, and say why."""
        service, caller = info.context.services.dead_letters, info.context.caller
        wanted = None if ids is None else [read_any_id(one) for one in ids]
        named = group.wanted() if group else None
        count = await service.discard(caller, wanted, named, workflow, reason)
        return DiscardedDeadLetters(count=count)
