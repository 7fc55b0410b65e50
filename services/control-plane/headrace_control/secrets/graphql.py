"""Secrets in GraphQL: names, never values."""

from collections.abc import Sequence
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
from headrace_control.workflows.gates import Notice
from headrace_control.workflows.graphql_types import NoticeType


@strawberry.type(name="Secret", description="A secret that workflows name in their env.")
class SecretType:
    id: strawberry.ID
    name: str
    apps: list[str] | None = strawberry.field(
        description="The apps that it may be sent to, by name; null: any."
    )
    created_at: datetime
    updated_at: datetime
    notices: list[NoticeType] = strawberry.field(
        description="In the answer of `setSecret` with some `apps`: versions, published or with runs under way, that "
        "would send it elsewhere, 20 at most; how many more; why some are not known. Empty in any other place."
    )

    @classmethod
    def of(cls, secret: model.Secret, told: Sequence[Notice] = ()) -> "SecretType":
        return cls(
            id=strawberry.ID(str(secret.id)),
            name=secret.name,
            apps=None if secret.apps is None else list(secret.apps),
            created_at=secret.created_at,
            updated_at=secret.updated_at,
            notices=[NoticeType.of(notice) for notice in told],
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
        `apps` alone; null: to any. Left out, they stay as they were. Given some, `notices` has the versions that would
        send it elsewhere: it is set all the same, and their runs fail there."""
        service, caller = info.context.services.secrets, info.context.caller
        only = Keep.KEEP if apps is strawberry.UNSET else apps
        secret = await service.put(caller, name, value, only)
        told = await service.refusals(caller, name) if isinstance(only, list) else ()
        return SecretType.of(secret, told)

    @mutation
    async def delete_secret(self, info: Info, name: str) -> DeleteSecretPayload:
        """Delete a secret. Refused while a published version uses it."""
        return Deleted(name=(await info.context.services.secrets.delete(info.context.caller, name)).name)
