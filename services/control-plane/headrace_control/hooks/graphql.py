"""Hooks and their messages in GraphQL."""

from datetime import datetime
from typing import Annotated

import strawberry

from headrace_control.graphql.context import Info
from headrace_control.graphql.deleted import Deleted
from headrace_control.graphql.errors_shown import ErrorType
from headrace_control.graphql.failures import Failed
from headrace_control.graphql.fields import mutation, query
from headrace_control.graphql.pages import Page, page
from headrace_control.graphql.scalars import JSON
from headrace_control.hooks import model
from headrace_control.pages import DEFAULT_PAGE
from headrace_control.signing_secrets.issue import DEFAULT_OVERLAP

strawberry.enum(model.HookEvent, description="What hooks are told of.")
strawberry.enum(model.HookMessageStatus, description="GIVEN_UP: every attempt failed; it can be sent again.")


@strawberry.type(name="Hook", description="An address that is told what happens, by signed messages.")
class HookType:
    id: strawberry.ID
    name: str
    url: str
    events: list[model.HookEvent]
    paused: bool
    previous_secret_until: datetime | None = strawberry.field(
        description="Until when messages are signed with the secret before the newest one, too."
    )
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, hook: model.Hook) -> "HookType":
        return cls(
            id=strawberry.ID(str(hook.id)),
            name=hook.name,
            url=hook.url,
            events=[*hook.events],
            paused=hook.paused,
            previous_secret_until=hook.previous_until,
            created_at=hook.created_at,
            updated_at=hook.updated_at,
        )


@strawberry.type(name="IssuedHook", description="A hook with its newest secret.")
class IssuedHookType:
    hook: HookType
    secret: str = strawberry.field(description="Shown this once.")

    @classmethod
    def of(cls, issued: model.IssuedHook) -> "IssuedHookType":
        return cls(hook=HookType.of(issued.hook), secret=issued.secret)


@strawberry.type(name="HookMessage", description="Something that a hook is told, and what came of it.")
class HookMessageType:
    id: strawberry.ID = strawberry.field(description="Its webhook-id, the same at each attempt.")
    event: model.HookEvent
    data: JSON
    status: model.HookMessageStatus
    attempts: int
    next_at: datetime | None = strawberry.field(
        description="When it is tried next; null while its hook is paused."
    )
    error: ErrorType | None = strawberry.field(description="What came of the last attempt.")
    created_at: datetime
    ended_at: datetime | None

    @classmethod
    def of(cls, message: model.HookMessage) -> "HookMessageType":
        return cls(
            id=strawberry.ID(str(message.id)),
            event=message.event,
            data=JSON(message.data),
            status=message.status,
            attempts=message.attempts,
            next_at=message.next_at,
            error=ErrorType.of(message.error),
            created_at=message.created_at,
            ended_at=message.ended_at,
        )


@strawberry.type(name="ResentHookMessages", description="What is sent once more.")
class ResentHookMessagesType:
    messages: int


CreateHookPayload = Annotated[IssuedHookType | Failed, strawberry.union("CreateHookPayload")]
UpdateHookPayload = Annotated[HookType | Failed, strawberry.union("UpdateHookPayload")]
RotateHookSecretPayload = Annotated[IssuedHookType | Failed, strawberry.union("RotateHookSecretPayload")]
PauseHookPayload = Annotated[HookType | Failed, strawberry.union("PauseHookPayload")]
ResumeHookPayload = Annotated[HookType | Failed, strawberry.union("ResumeHookPayload")]
DeleteHookPayload = Annotated[Deleted | Failed, strawberry.union("DeleteHookPayload")]
ResendHookMessagesPayload = Annotated[
    ResentHookMessagesType | Failed, strawberry.union("ResendHookMessagesPayload")
]


@strawberry.type
class HookQuery:
    @query
    async def hook(self, info: Info, name: str) -> HookType | None:
        """The hook of this name; null when there is none."""
        found = await info.context.services.hooks.find(info.context.caller, name)
        return HookType.of(found) if found else None

    @query
    async def hooks(self, info: Info, first: int = DEFAULT_PAGE, after: str | None = None) -> Page[HookType]:
        """The tenant's hooks, by name."""
        return page(await info.context.services.hooks.page(info.context.caller, first, after), HookType.of)

    @query
    async def hook_messages(
        self, info: Info, hook: str, first: int = DEFAULT_PAGE, after: str | None = None
    ) -> Page[HookMessageType]:
        """A hook's messages, newest first; kept for 30 days after their end."""
        service = info.context.services.hooks
        return page(await service.messages(info.context.caller, hook, first, after), HookMessageType.of)


@strawberry.type
class HookMutation:
    @mutation
    async def create_hook(
        self, info: Info, name: str, url: str, events: list[model.HookEvent]
    ) -> CreateHookPayload:
        """Have an address told what happens from now on. The answer has the secret that messages are signed with."""
        service = info.context.services.hooks
        return IssuedHookType.of(await service.create(info.context.caller, name, url, events))

    @mutation
    async def update_hook(
        self, info: Info, name: str, url: str | None = None, events: list[model.HookEvent] | None = None
    ) -> UpdateHookPayload:
        """Change a hook; what is not given stays. Messages that wait go to the new address."""
        service = info.context.services.hooks
        return HookType.of(await service.update(info.context.caller, name, url, events))

    @mutation
    async def rotate_hook_secret(
        self, info: Info, name: str, overlap_seconds: int = DEFAULT_OVERLAP
    ) -> RotateHookSecretPayload:
        """A new secret. Messages are signed with the one before, too, for the overlap, a week at most."""
        service = info.context.services.hooks
        return IssuedHookType.of(await service.rotate(info.context.caller, name, overlap_seconds))

    @mutation
    async def pause_hook(self, info: Info, name: str) -> PauseHookPayload:
        """Tell it of nothing that happens until it is resumed. Messages that wait are kept."""
        return HookType.of(await info.context.services.hooks.pause(info.context.caller, name))

    @mutation
    async def resume_hook(self, info: Info, name: str) -> ResumeHookPayload:
        """Send what waits, and tell it of what happens from now on."""
        return HookType.of(await info.context.services.hooks.resume(info.context.caller, name))

    @mutation
    async def delete_hook(self, info: Info, name: str) -> DeleteHookPayload:
        """Take a hook away, with its secrets and its messages."""
        return Deleted(name=(await info.context.services.hooks.delete(info.context.caller, name)).name)

    @mutation
    async def resend_hook_messages(self, info: Info, name: str) -> ResendHookMessagesPayload:
        """Send what was given up once more, under the same ids."""
        return ResentHookMessagesType(
            messages=await info.context.services.hooks.resend(info.context.caller, name)
        )
