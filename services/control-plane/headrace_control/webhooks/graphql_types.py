"""Webhooks and what came of their messages in GraphQL."""

from datetime import datetime

import strawberry

from headrace_control.graphql.context import Info
from headrace_control.graphql.errors_shown import ErrorType
from headrace_control.graphql.fields import field
from headrace_control.graphql.scalars import JSON
from headrace_control.runs.graphql_types import RunType
from headrace_control.webhooks import model

strawberry.enum(model.WebhookAnswer, description="What a message is answered with.")


@strawberry.type(name="Webhook", description="Starts a workflow by signed messages of an external system.")
class WebhookType:
    id: strawberry.ID
    name: str
    url: str = strawberry.field(description="Where messages are posted to.")
    workflow: str = strawberry.field(description="Its name.")
    version: int | None = strawberry.field(description="null: the newest published one.")
    input: JSON | None = strawberry.field(
        description="Texts may hold expressions over the message; null: its body is the input."
    )
    schema: JSON | None = strawberry.field(description="JSON Schema of the body; null: any body.")
    tolerance_seconds: int = strawberry.field(description="How far a message's timestamp may be off.")
    answer: model.WebhookAnswer
    result_seconds: int = strawberry.field(description="How long RESULT is waited for at most.")
    paused: bool
    previous_secret_until: datetime | None = strawberry.field(
        description="Until when the secret before the newest one counts, too."
    )
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, webhook: model.Webhook, url: str) -> "WebhookType":
        terms = webhook.terms
        return cls(
            id=strawberry.ID(str(webhook.id)),
            name=webhook.name,
            url=url,
            workflow=terms.workflow,
            version=terms.version,
            input=JSON(terms.input) if terms.input is not None else None,
            schema=JSON(terms.schema) if terms.schema is not None else None,
            tolerance_seconds=terms.tolerance_seconds,
            answer=terms.answer,
            result_seconds=terms.result_seconds,
            paused=webhook.paused,
            previous_secret_until=webhook.previous_until,
            created_at=webhook.created_at,
            updated_at=webhook.updated_at,
        )


@strawberry.type(name="IssuedWebhook", description="A webhook with its newest secret.")
class IssuedWebhookType:
    webhook: WebhookType
    secret: str = strawberry.field(description="Shown this once.")


@strawberry.type(
    name="WebhookDelivery",
    description="A message that started a run, or some that were refused for the same reason in ten seconds.",
)
class WebhookDeliveryType:
    delivery: strawberry.Private[model.Delivery]
    id: strawberry.ID
    message_id: str | None = strawberry.field(description="Of one that started a run.")
    error: ErrorType | None = strawberry.field(description="Why it was refused.")
    times: int = strawberry.field(description="How many were refused so.")
    at: datetime

    @classmethod
    def of(cls, delivery: model.Delivery) -> "WebhookDeliveryType":
        return cls(
            delivery=delivery,
            id=strawberry.ID(str(delivery.id)),
            message_id=delivery.message_id,
            error=ErrorType.of(delivery.error),
            times=delivery.times,
            at=delivery.created_at,
        )

    @field
    async def run(self, info: Info) -> RunType | None:
        """The run that it started; null also when the run is not kept any more."""
        if self.delivery.run_id is None:
            return None
        found = await info.context.loaders.runs.run.load(self.delivery.run_id)
        return RunType.of(found) if found else None
