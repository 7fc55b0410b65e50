"""Making, changing, pausing and looking at webhooks in GraphQL."""

from typing import Annotated, Any

import strawberry
from headrace.errors import InvalidInput, Problem
from headrace.json_types import JsonObject

from headrace_control.graphql.context import Info
from headrace_control.graphql.deleted import Deleted
from headrace_control.graphql.failures import Failed
from headrace_control.graphql.fields import mutation, query
from headrace_control.graphql.pages import Page, page
from headrace_control.graphql.scalars import JSON
from headrace_control.pages import DEFAULT_PAGE
from headrace_control.signing_secrets.issue import DEFAULT_OVERLAP
from headrace_control.webhooks.graphql_types import IssuedWebhookType, WebhookDeliveryType, WebhookType
from headrace_control.webhooks.model import (
    DEFAULT_RESULT_SECONDS,
    DEFAULT_TOLERANCE,
    Issued,
    Terms,
    Webhook,
    WebhookAnswer,
)


@strawberry.input(name="WebhookInput", description="A webhook to make.")
class WebhookInput:
    name: str
    workflow: str = strawberry.field(description="Its name.")
    version: int | None = strawberry.field(default=None, description="The newest published one if not given.")
    input: JSON | None = strawberry.field(
        default=None,
        description="Texts may hold expressions: `{{ input.body.orderId }}`. The message's body if not given.",
    )
    schema: JSON | None = strawberry.field(
        default=None, description="JSON Schema that bodies have to fit. Any body fits if not given."
    )
    tolerance_seconds: int = DEFAULT_TOLERANCE
    answer: WebhookAnswer = WebhookAnswer.RUN_ID
    result_seconds: int = DEFAULT_RESULT_SECONDS

    def terms(self) -> Terms:
        return Terms(
            self.workflow,
            self.version,
            _object(self.input, "input"),
            _object(self.schema, "schema"),
            self.tolerance_seconds,
            self.answer,
            self.result_seconds,
        )


@strawberry.input(name="WebhookChanges", description="What is not given stays.")
class WebhookChanges:
    workflow: str | None = None
    version: int | None = strawberry.field(
        default=strawberry.UNSET, description="null is the newest published one."
    )
    input: JSON | None = strawberry.field(default=strawberry.UNSET, description="null is the message's body.")
    schema: JSON | None = strawberry.field(default=strawberry.UNSET, description="null lets any body pass.")
    tolerance_seconds: int | None = None
    answer: WebhookAnswer | None = None
    result_seconds: int | None = None

    def given(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in vars(self).items():
            if name in ("input", "schema") and value is not strawberry.UNSET:
                found[name] = _object(value, name)
            elif value is not strawberry.UNSET and (value is not None or name == "version"):
                found[name] = value
        return found


CreateWebhookPayload = Annotated[IssuedWebhookType | Failed, strawberry.union("CreateWebhookPayload")]
UpdateWebhookPayload = Annotated[WebhookType | Failed, strawberry.union("UpdateWebhookPayload")]
RotateWebhookSecretPayload = Annotated[
    IssuedWebhookType | Failed, strawberry.union("RotateWebhookSecretPayload")
]
PauseWebhookPayload = Annotated[WebhookType | Failed, strawberry.union("PauseWebhookPayload")]
ResumeWebhookPayload = Annotated[WebhookType | Failed, strawberry.union("ResumeWebhookPayload")]
DeleteWebhookPayload = Annotated[Deleted | Failed, strawberry.union("DeleteWebhookPayload")]


@strawberry.type
class WebhookQuery:
    @query
    async def webhook(self, info: Info, name: str) -> WebhookType | None:
        """The webhook of this name; null when there is none."""
        found = await info.context.services.webhooks.find(info.context.caller, name)
        return _shown(info, found) if found else None

    @query
    async def webhooks(
        self, info: Info, first: int = DEFAULT_PAGE, after: str | None = None
    ) -> Page[WebhookType]:
        """The tenant's webhooks, by name."""
        found = await info.context.services.webhooks.page(info.context.caller, first, after)
        return page(found, lambda webhook: _shown(info, webhook))

    @query
    async def webhook_deliveries(
        self, info: Info, webhook: str, first: int = DEFAULT_PAGE, after: str | None = None
    ) -> Page[WebhookDeliveryType]:
        """What came of a webhook's messages, newest first; kept for 30 days."""
        service = info.context.services.webhooks
        found = await service.deliveries(info.context.caller, webhook, first, after)
        return page(found, WebhookDeliveryType.of)


@strawberry.type
class WebhookMutation:
    @mutation
    async def create_webhook(self, info: Info, input: WebhookInput) -> CreateWebhookPayload:  # noqa: A002
        """Start a workflow by signed messages. The answer has the secret that they are signed with, this once."""
        service = info.context.services.webhooks
        return _issued(info, await service.create(info.context.caller, input.name, input.terms()))

    @mutation
    async def update_webhook(
        self,
        info: Info,
        name: str,
        input: WebhookChanges,  # noqa: A002
    ) -> UpdateWebhookPayload:
        """Change a webhook. Its address and its secrets stay."""
        service = info.context.services.webhooks
        return _shown(info, await service.update(info.context.caller, name, input.given()))

    @mutation
    async def rotate_webhook_secret(
        self, info: Info, name: str, overlap_seconds: int = DEFAULT_OVERLAP
    ) -> RotateWebhookSecretPayload:
        """A new secret. The one before it counts for the overlap more, a week at most; 0: no more from now on."""
        service = info.context.services.webhooks
        return _issued(info, await service.rotate(info.context.caller, name, overlap_seconds))

    @mutation
    async def pause_webhook(self, info: Info, name: str) -> PauseWebhookPayload:
        """Take no messages until it is resumed: they are answered as if it were not there. Runs go on."""
        return _shown(info, await info.context.services.webhooks.pause(info.context.caller, name))

    @mutation
    async def resume_webhook(self, info: Info, name: str) -> ResumeWebhookPayload:
        """Take messages again."""
        return _shown(info, await info.context.services.webhooks.resume(info.context.caller, name))

    @mutation
    async def delete_webhook(self, info: Info, name: str) -> DeleteWebhookPayload:
        """Take a webhook away, with its address, its secrets and its deliveries. Its runs stay."""
        deleted = await info.context.services.webhooks.delete(info.context.caller, name)
        return Deleted(name=deleted.name)


def _shown(info: Info, webhook: Webhook) -> WebhookType:
    return WebhookType.of(webhook, info.context.services.webhooks.url(info.context.caller, webhook))


def _issued(info: Info, issued: Issued) -> IssuedWebhookType:
    return IssuedWebhookType(webhook=_shown(info, issued.webhook), secret=issued.secret)


def _object(value: object, path: str) -> JsonObject | None:
    if value is None or isinstance(value, dict):
        return value
    raise InvalidInput([Problem(path, "an object is needed", "Write names and values in it.")])
