"""Connections in GraphQL. Secrets go in and never come out."""

from datetime import datetime
from typing import Annotated, cast

import strawberry
from headrace.json_types import Json

from headrace_control.apps.graphql import AppType
from headrace_control.apps.limits import dump_limits
from headrace_control.apps.model import Keep
from headrace_control.connections import model
from headrace_control.graphql.context import Info
from headrace_control.graphql.deleted import Deleted
from headrace_control.graphql.failures import Failed
from headrace_control.graphql.fields import field, mutation, query
from headrace_control.graphql.pages import Page, page
from headrace_control.graphql.scalars import JSON
from headrace_control.pages import DEFAULT_PAGE

strawberry.enum(model.ConnectionStatus, description="Whether a connection can be used.")
strawberry.enum(model.BreakerState, description="Whether calls through a connection are made.")


@strawberry.type(name="Connection", description="A tenant's credentials for an app.")
class ConnectionType:
    id: strawberry.ID
    name: str
    base_url: str | None = strawberry.field(description="Stands instead of the app's.")
    config: JSON = strawberry.field(description="What is not secret.")
    secret_fields: list[str] = strawberry.field(
        description="Which secrets it has. Their values are not shown."
    )
    token_version: int
    token_expires_at: datetime | None
    token_error: str | None = strawberry.field(
        description="Why there are no more access tokens; rotating a secret ends it."
    )
    token_trouble: str | None = strawberry.field(
        description="Why the last request for an access token brought none; the next token ends it."
    )
    token_retry_at: datetime | None = strawberry.field(
        description="From when on the token endpoint is asked again."
    )
    status: model.ConnectionStatus
    authorized_at: datetime | None = strawberry.field(
        description="When a person last agreed at the provider."
    )
    authorized_by: str | None = strawberry.field(description="Who that was, to us.")
    authorization_ends_at: datetime | None = strawberry.field(
        description="When what was granted ends; null where the provider does not say."
    )
    limits: JSON | None = strawberry.field(description="Stand instead of the app's.")
    breaker: model.BreakerState = strawberry.field(description="Whether the fleet calls it.")
    open_until: datetime | None = strawberry.field(description="Until when it is left alone.")
    created_at: datetime
    updated_at: datetime
    source: strawberry.Private[model.Connection]

    @field
    async def app(self, info: Info) -> AppType:
        """The app it is for."""
        return AppType.of(await info.context.loaders.apps.load(self.source.app_id))

    @classmethod
    def of(cls, connection: model.Connection) -> "ConnectionType":
        return cls(
            id=strawberry.ID(str(connection.id)),
            name=connection.name,
            base_url=connection.base_url,
            config=JSON(connection.config),
            secret_fields=list(connection.secret_fields),
            token_version=connection.token_version,
            token_expires_at=connection.token_expires_at,
            token_error=connection.token_error,
            token_trouble=connection.token_trouble,
            token_retry_at=connection.token_retry_at,
            status=connection.status,
            authorized_at=connection.authorized_at,
            authorized_by=connection.authorized_by,
            authorization_ends_at=connection.authorization_ends_at,
            limits=JSON(dump_limits(connection.limits)) if connection.limits else None,
            breaker=connection.breaker,
            open_until=connection.open_until,
            created_at=connection.created_at,
            updated_at=connection.updated_at,
            source=connection,
        )


@strawberry.type(description="What a connection test saw.")
class ConnectionTest:
    ok: bool
    status: int | None
    error_code: str | None
    message: str
    address: str | None = strawberry.field(description="The address that was dialled.")
    duration_ms: int


@strawberry.input(description="A connection to create.")
class ConnectionInput:
    app: str
    name: str
    base_url: str | None = None
    config: JSON | None = None
    secrets: JSON | None = strawberry.field(
        default=None,
        description="Texts by field: apiKey; password; clientSecret, refreshToken; header names.",
    )
    limits: JSON | None = strawberry.field(
        default=None,
        description="How fast it may be called: `{requestsPerSecond, burst}`; the app's if not given.",
    )


@strawberry.input(description="What to change of a connection; what is left out stays.")
class ConnectionChanges:
    base_url: str | None = strawberry.field(
        default=strawberry.UNSET, description="null goes back to the app's base URL."
    )
    config: JSON | None = None
    limits: JSON | None = strawberry.field(
        default=strawberry.UNSET, description="null goes back to the app's limits."
    )


CreateConnectionPayload = Annotated[ConnectionType | Failed, strawberry.union("CreateConnectionPayload")]
UpdateConnectionPayload = Annotated[ConnectionType | Failed, strawberry.union("UpdateConnectionPayload")]
RotateConnectionSecretPayload = Annotated[
    ConnectionType | Failed, strawberry.union("RotateConnectionSecretPayload")
]
DeleteConnectionPayload = Annotated[Deleted | Failed, strawberry.union("DeleteConnectionPayload")]
TestConnectionPayload = Annotated[ConnectionTest | Failed, strawberry.union("TestConnectionPayload")]


@strawberry.type
class ConnectionQuery:
    @query
    async def connection(self, info: Info, name: str) -> ConnectionType | None:
        """The connection of this name; null when there is none."""
        found = await info.context.services.connections.get(info.context.caller, name)
        return ConnectionType.of(found) if found else None

    @query
    async def connections(
        self,
        info: Info,
        app: str | None = None,
        status: model.ConnectionStatus | None = None,
        first: int = DEFAULT_PAGE,
        after: str | None = None,
    ) -> Page[ConnectionType]:
        """The tenant's connections, by name; `app` narrows to one app's, `status` to those of it."""
        found = await info.context.services.connections.list(info.context.caller, app, status, first, after)
        return page(found, ConnectionType.of)


@strawberry.type
class ConnectionMutation:
    @mutation
    async def create_connection(self, info: Info, input: ConnectionInput) -> CreateConnectionPayload:  # noqa: A002
        """Create a connection. Its secrets are encrypted and can not be read again."""
        new = model.NewConnection(
            input.app,
            input.name,
            input.base_url,
            cast(Json, {} if input.config is None else input.config),
            cast(Json, {} if input.secrets is None else input.secrets),
            cast(Json, input.limits),
        )
        return ConnectionType.of(await info.context.services.connections.create(info.context.caller, new))

    @mutation
    async def update_connection(
        self,
        info: Info,
        name: str,
        input: ConnectionChanges,  # noqa: A002
    ) -> UpdateConnectionPayload:
        """Change what is not secret of a connection."""
        changes = model.ConnectionChanges(
            Keep.KEEP if input.base_url is strawberry.UNSET else input.base_url,
            cast(Json, input.config),
            Keep.KEEP if input.limits is strawberry.UNSET else cast(Json, input.limits),
        )
        service = info.context.services.connections
        return ConnectionType.of(await service.update(info.context.caller, name, changes))

    @mutation
    async def rotate_connection_secret(
        self, info: Info, name: str, secrets: JSON
    ) -> RotateConnectionSecretPayload:
        """Replace secrets of a connection; those left out stay. Access tokens got with the old ones end."""
        service = info.context.services.connections
        return ConnectionType.of(await service.rotate_secret(info.context.caller, name, secrets))

    @mutation
    async def delete_connection(self, info: Info, name: str) -> DeleteConnectionPayload:
        """Delete a connection with its secrets. Refused while a published version uses it."""
        gone = await info.context.services.connections.delete(info.context.caller, name)
        return Deleted(name=gone.name)

    @mutation
    async def test_connection(
        self, info: Info, name: str, method: str = "GET", path: str = ""
    ) -> TestConnectionPayload:
        """Make one call with a connection; `path` is added to its base URL. Nothing of the answer is shown."""
        seen = await info.context.services.trials.run(info.context.caller, name, method, path)
        return ConnectionTest(
            ok=seen.ok,
            status=seen.status,
            error_code=seen.error_code,
            message=seen.message,
            address=seen.address,
            duration_ms=round(seen.duration * 1000),
        )
