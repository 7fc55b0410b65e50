"""Authorizations in GraphQL: begun and finished by the same actor."""

from datetime import datetime
from typing import Annotated

import strawberry

from headrace_control.authorizations.model import AuthorizationWanted
from headrace_control.connections.graphql import ConnectionType
from headrace_control.graphql.context import Info
from headrace_control.graphql.failures import Failed, ProviderRefusedType
from headrace_control.graphql.fields import mutation


@strawberry.type(description="An authorization on its way.")
class AuthorizationBegun:
    url: str = strawberry.field(description="Where the browser goes, once.")
    callback: str = strawberry.field(description="The redirect URI, as the provider has to know it.")
    expires_at: datetime = strawberry.field(description="When it is over.")


AuthorizeConnectionPayload = Annotated[
    AuthorizationBegun | Failed, strawberry.union("AuthorizeConnectionPayload")
]
FinishAuthorizationPayload = Annotated[
    ConnectionType | ProviderRefusedType | Failed, strawberry.union("FinishAuthorizationPayload")
]


@strawberry.type
class AuthorizationMutation:
    @mutation
    async def authorize_connection(
        self, info: Info, name: str, redirect: str, state: str
    ) -> AuthorizeConnectionPayload:
        """Begin to authorize a connection. The browser ends up at `redirect`, on the loopback or at an address that
        the operator allows, with your `state` and the code for `finishAuthorization`."""
        wanted = AuthorizationWanted(name, redirect, state)
        begun = await info.context.services.authorizations.begin(info.context.caller, wanted)
        return AuthorizationBegun(url=begun.url, callback=begun.callback, expires_at=begun.expires_at)

    @mutation
    async def finish_authorization(self, info: Info, code: str) -> FinishAuthorizationPayload:
        """Finish an authorization that you began, once, by the code that the browser brought."""
        service = info.context.services.authorizations
        return ConnectionType.of(await service.finish(info.context.caller, code))
