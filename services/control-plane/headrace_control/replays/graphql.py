"""Replays in GraphQL."""

from datetime import datetime
from typing import Annotated, Any

import strawberry

from headrace_control.dead_letters.graphql import DeadLetterGroupInput, DeadLetterGroupType
from headrace_control.graphql.context import Info
from headrace_control.graphql.failures import Failed, NotStarted
from headrace_control.graphql.fields import mutation, query
from headrace_control.graphql.pages import Page, page
from headrace_control.graphql.scalars import JSON, read_id
from headrace_control.pages import DEFAULT_PAGE
from headrace_control.replays import model
from headrace_control.runs.graphql_types import RunType

strawberry.enum(model.ReplayStatus, description="A STOPPED replay can be resumed.")


@strawberry.type(
    name="Replay", description="A replay of the dead letters of a group that were open when it began."
)
class ReplayType:
    id: strawberry.ID
    group: DeadLetterGroupType
    workflow: str | None
    status: model.ReplayStatus
    total: int = strawberry.field(description="Dead letters that were open when it began.")
    replayed: int = strawberry.field(description="Runs that it has started.")
    refused: int = strawberry.field(description="Dead letters that could not be replayed; they stay open.")
    refusal: JSON | None = strawberry.field(description="The last refusal: code, message, deadLetter.")
    per_second: int
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, replay: model.Replay) -> "ReplayType":
        return cls(
            id=strawberry.ID(str(replay.id)),
            group=DeadLetterGroupType.of(replay.group),
            workflow=replay.workflow,
            status=replay.status,
            total=replay.total,
            replayed=replay.replayed,
            refused=replay.refused,
            refusal=None if replay.refusal is None else JSON(replay.refusal),
            per_second=replay.per_second,
            created_at=replay.created_at,
            finished_at=replay.finished_at,
        )


@strawberry.input(description="How a dead letter is replayed.")
class ReplayInput:
    patch: JSON | None = strawberry.field(
        default=None, description="A JSON Merge Patch (RFC 7396) of the input of each run."
    )
    version: int | None = strawberry.field(default=None, description="Another version than the run's own.")
    repeat_in_doubt: bool = strawberry.field(
        default=False, description="Make calls again of which nobody knows whether they were made."
    )

    def wish(self, per_second: int = 10) -> model.ReplayWish:
        patch: Any = self.patch
        return model.ReplayWish(patch, self.version, self.repeat_in_doubt, per_second)


ReplayDeadLetterPayload = Annotated[
    RunType | NotStarted,
    strawberry.union("ReplayDeadLetterPayload"),
]
ReplayDeadLettersPayload = Annotated[ReplayType | Failed, strawberry.union("ReplayDeadLettersPayload")]
StopReplayPayload = Annotated[ReplayType | Failed, strawberry.union("StopReplayPayload")]
ResumeReplayPayload = Annotated[ReplayType | Failed, strawberry.union("ResumeReplayPayload")]


@strawberry.type
class ReplayQuery:
    @query
    async def replay(self, info: Info, id: strawberry.ID) -> ReplayType | None:  # noqa: A002
        """One replay of a group, and how far it is."""
        found = await info.context.services.replays.get(info.context.caller, read_id(id, "replay"))
        return ReplayType.of(found)

    @query
    async def replays(
        self, info: Info, first: int = DEFAULT_PAGE, after: str | None = None
    ) -> Page[ReplayType]:
        """Replays of groups, newest first."""
        return page(
            await info.context.services.replays.page(info.context.caller, first, after), ReplayType.of
        )


@strawberry.type
class ReplayMutation:
    @mutation
    async def replay_dead_letter(
        self,
        info: Info,
        id: strawberry.ID,  # noqa: A002
        how: ReplayInput | None = None,
    ) -> ReplayDeadLetterPayload:
        """Go on from one dead letter: by a re-run of its run, by a run that undoes what is left, or, where its run was
        set aside and has not ended, by that run itself. A Conflict when it is closed already."""
        wish = (how or ReplayInput()).wish()
        service = info.context.services.replays
        return RunType.of(await service.replay(info.context.caller, read_id(id, "dead letter"), wish))

    @mutation
    async def replay_dead_letters(
        self,
        info: Info,
        group: DeadLetterGroupInput,
        workflow: str | None = None,
        how: ReplayInput | None = None,
        per_second: int = 10,
    ) -> ReplayDeadLettersPayload:
        """Replay all dead letters of a group that are open now, at most so many in a second (100 at most)."""
        wish = (how or ReplayInput()).wish(per_second)
        service = info.context.services.replays
        return ReplayType.of(await service.start(info.context.caller, group.wanted(), workflow, wish))

    @mutation
    async def stop_replay(self, info: Info, id: strawberry.ID) -> StopReplayPayload:  # noqa: A002
        """Start no more runs of a replay, until it is resumed."""
        found = await info.context.services.replays.stop(info.context.caller, read_id(id, "replay"))
        return ReplayType.of(found)

    @mutation
    async def resume_replay(self, info: Info, id: strawberry.ID) -> ResumeReplayPayload:  # noqa: A002
        """Go on with a replay where it was stopped."""
        found = await info.context.services.replays.resume(info.context.caller, read_id(id, "replay"))
        return ReplayType.of(found)
