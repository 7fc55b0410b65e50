"""Secrets in GraphQL: names, never values."""

from datetime import datetime
from typing import Annotated

import strawberry

from headrace_control.apps.model import Keep
from headrace_control.graphql.context import Info
from headrace_control.graphql.deleted import Deleted
from headrace_control.graphql.failures import Failed
from headrace_control.graphql.fields import mutation, query
from headrace_control.graphql.pages import Page, page
from headrace_control.pages import DEFAULT_PAGE
from headrace_control.secrets import model


@strawberry.type(name="Secret", description="A secret that workflows name in their env.")
class SecretType:
    id: strawberry.ID
    name: str
    apps: list[str] | None = strawberry.field(
        description="The apps that it may be sent to, by name; null: any."
    )
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, secret: model.Secret) -> "SecretType":
        return cls(
            id=strawberry.ID(str(secret.id)),
            name=secret.name,
            apps=None if secret.apps is None else list(secret.apps),
            created_at=secret.created_at,
            updated_at=secret.updated_at,
        )


SetSecretPayload = Annotated[SecretType | Failed, strawberry.union("SetSecretPayload")]
DeleteSecretPayload = Annotated[Deleted | Failed, strawberry.union("DeleteSecretPayload")]


@strawberry.type
class SecretQuery:
    @query
    async def secrets(
        self, info: Info, first: int = DEFAULT_PAGE, after: str | None = None
    ) -> Page[SecretType]:
        """The tenant's secrets, by name."""
        found = await info.context.services.secrets.list(info.context.caller, first, after)
        return page(found, SecretType.of)


@strawberry.type
class SecretMutation:
    @mutation
    async def set_secret(
        self, info: Info, name: str, value: str, apps: list[str] | None = strawberry.UNSET
    ) -> SetSecretPayload:
        """Create a secret, or replace its value. Values are encrypted and can not be read again. Steps may send it to
        `apps` alone; null: to any. Left out, they stay as they were."""
        only = Keep.KEEP if apps is strawberry.UNSET else apps
        return SecretType.of(await info.context.services.secrets.put(info.context.caller, name, value, only))

    @mutation
    async def delete_secret(self, info: Info, name: str) -> DeleteSecretPayload:
        """Delete a secret. Refused while a published version uses it."""
        return Deleted(name=(await info.context.services.secrets.delete(info.context.caller, name)).name)
