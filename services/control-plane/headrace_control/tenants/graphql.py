"""Tenants and API keys in GraphQL."""

from datetime import datetime
from typing import Annotated

import strawberry

from headrace_control.graphql.context import Info
from headrace_control.graphql.enums import Permission, Role
from headrace_control.graphql.failures import Failed
from headrace_control.graphql.fields import mutation, query
from headrace_control.graphql.pages import Page, page
from headrace_control.graphql.scalars import read_id
from headrace_control.pages import DEFAULT_PAGE
from headrace_control.tenants import model
from headrace_control.tenants.new_key import WantedKey


@strawberry.type(name="Tenant")
class TenantType:
    id: strawberry.ID
    name: str
    platform: bool = strawberry.field(description="Its admins may create tenants.")
    max_runs_in_flight: int = strawberry.field(description="Runs sent or held at once; the rest wait.")
    created_at: datetime

    @classmethod
    def of(cls, tenant: model.Tenant) -> "TenantType":
        return cls(
            id=strawberry.ID(str(tenant.id)),
            name=tenant.name,
            platform=tenant.platform,
            max_runs_in_flight=tenant.max_runs_in_flight,
            created_at=tenant.created_at,
        )


@strawberry.type(name="ApiKey", description="An API key; the key itself is shown once, when it is issued.")
class ApiKeyType:
    id: strawberry.ID
    name: str
    role: Role
    permissions: list[Permission] = strawberry.field(description="What its role allows, as narrowed.")
    workflows: list[str] | None = strawberry.field(
        description="It is for runs of these alone; null: of all workflows."
    )
    prefix: str = strawberry.field(description="The key's first characters.")
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = strawberry.field(description="To the minute.")
    owner: strawberry.ID | None = strawberry.field(
        description="The member who made it, or whose key did: under the rule of two persons they are one."
    )

    @classmethod
    def of(cls, key: model.ApiKey) -> "ApiKeyType":
        return cls(
            id=strawberry.ID(str(key.id)),
            name=key.name,
            role=key.role,
            permissions=list(key.permissions),
            workflows=None if key.workflows is None else list(key.workflows),
            prefix=key.prefix,
            created_at=key.created_at,
            expires_at=key.expires_at,
            revoked_at=key.revoked_at,
            last_used_at=key.last_used_at,
            owner=strawberry.ID(str(key.owner)) if key.owner else None,
        )


@strawberry.type(description="A key at the one moment when it can be read.")
class IssuedApiKey:
    api_key: ApiKeyType
    key: str = strawberry.field(description="Keep it: it is never shown again.")

    @classmethod
    def of(cls, issued: model.IssuedKey) -> "IssuedApiKey":
        return cls(api_key=ApiKeyType.of(issued.api_key), key=issued.text)


@strawberry.type(description="A tenant just created, with its first ADMIN key.")
class NewTenant:
    tenant: TenantType
    issued: IssuedApiKey


CreateTenantPayload = Annotated[NewTenant | Failed, strawberry.union("CreateTenantPayload")]
CreateAdminKeyPayload = Annotated[IssuedApiKey | Failed, strawberry.union("CreateAdminKeyPayload")]
CreateApiKeyPayload = Annotated[IssuedApiKey | Failed, strawberry.union("CreateApiKeyPayload")]
RevokeApiKeyPayload = Annotated[ApiKeyType | Failed, strawberry.union("RevokeApiKeyPayload")]


@strawberry.type
class TenantQuery:
    @query
    async def tenant(self, info: Info) -> TenantType:
        """The caller's tenant."""
        return TenantType.of(await info.context.services.tenants.current(info.context.caller))

    @query
    async def tenants(
        self, info: Info, first: int = DEFAULT_PAGE, after: str | None = None
    ) -> Page[TenantType]:
        """The tenants of the deployment, by name. For admins of a platform tenant."""
        found = await info.context.services.tenants.page(info.context.caller, first, after)
        return page(found, TenantType.of)

    @query
    async def api_keys(
        self, info: Info, first: int = DEFAULT_PAGE, after: str | None = None
    ) -> Page[ApiKeyType]:
        """The tenant's API keys, newest first."""
        found = await info.context.services.tenants.api_keys(info.context.caller, first, after)
        return page(found, ApiKeyType.of)


@strawberry.type
class TenantMutation:
    @mutation
    async def create_tenant(self, info: Info, name: str) -> CreateTenantPayload:
        """Create a tenant. For admins of a platform tenant."""
        made = await info.context.services.tenants.create(info.context.caller, name)
        return NewTenant(tenant=TenantType.of(made.tenant), issued=IssuedApiKey.of(made.key))

    @mutation
    async def create_admin_key(self, info: Info, tenant: str) -> CreateAdminKeyPayload:
        """Issue an ADMIN key of the tenant of this name, which has no admin left to issue one: nobody who can log in,
        and no ADMIN key that was used and lasts longer than a week. For admins of a platform tenant."""
        service = info.context.services.tenants
        return IssuedApiKey.of(await service.create_admin_key(info.context.caller, tenant))

    @mutation
    async def create_api_key(
        self,
        info: Info,
        name: str,
        role: Role,
        expires_at: datetime | None = None,
        permissions: list[Permission] | None = None,
        workflows: list[str] | None = None,
    ) -> CreateApiKeyPayload:
        """Issue an API key of the caller's tenant. `permissions` narrow what its role allows; with `workflows` it
        starts and sees runs of these alone."""
        wanted = WantedKey(name, role, expires_at, permissions, workflows)
        return IssuedApiKey.of(
            await info.context.services.tenants.create_api_key(info.context.caller, wanted)
        )

    @mutation
    async def revoke_api_key(self, info: Info, id: strawberry.ID) -> RevokeApiKeyPayload:  # noqa: A002
        """End an API key, from the next request on."""
        service = info.context.services.tenants
        return ApiKeyType.of(await service.revoke_api_key(info.context.caller, read_id(id, "API key")))
