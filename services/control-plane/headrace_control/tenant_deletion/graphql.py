"""Deletions of tenants in GraphQL."""

from datetime import datetime
from typing import Annotated

import strawberry

from headrace_control.graphql.context import Info
from headrace_control.graphql.failures import Failed
from headrace_control.graphql.fields import mutation, query
from headrace_control.graphql.pages import Page, page
from headrace_control.graphql.scalars import JSON
from headrace_control.pages import DEFAULT_PAGE
from headrace_control.tenant_deletion import model


@strawberry.type(name="TenantDeletion", description="A tenant's end: asked for, under way, or done.")
class TenantDeletionType:
    tenant_id: strawberry.ID
    tenant: str | None = strawberry.field(description="Its name; null once it is gone.")
    asked_at: datetime
    cancel_at: datetime = strawberry.field(description="When runs that have not ended are canceled.")
    due_at: datetime = strawberry.field(description="When everything goes; it can be taken back until then.")
    begun_at: datetime | None = strawberry.field(description="When the first of it went.")
    done_at: datetime | None = strawberry.field(description="When the last of it was gone.")
    counts: JSON = strawberry.field(description="Rows that went, by table.")

    @classmethod
    def of(cls, deletion: model.TenantDeletion) -> "TenantDeletionType":
        return cls(
            tenant_id=strawberry.ID(str(deletion.tenant_id)),
            tenant=deletion.tenant,
            asked_at=deletion.asked_at,
            cancel_at=deletion.cancel_at,
            due_at=deletion.due_at,
            begun_at=deletion.begun_at,
            done_at=deletion.done_at,
            counts=JSON(dict(deletion.counts)),
        )


DeleteTenantPayload = Annotated[TenantDeletionType | Failed, strawberry.union("DeleteTenantPayload")]
KeepTenantPayload = Annotated[TenantDeletionType | Failed, strawberry.union("KeepTenantPayload")]


@strawberry.type
class TenantDeletionQuery:
    @query
    async def tenant_deletion(self, info: Info) -> TenantDeletionType | None:
        """The deletion of the caller's tenant, if one was asked for."""
        found = await info.context.services.tenant_deletions.of_own(info.context.caller)
        return TenantDeletionType.of(found) if found else None

    @query
    async def tenant_deletions(
        self, info: Info, first: int = DEFAULT_PAGE, after: str | None = None
    ) -> Page[TenantDeletionType]:
        """Deletions of all tenants, those that are done too; newest tenants first. For admins of a platform tenant."""
        found = await info.context.services.tenant_deletions.page(info.context.caller, first, after)
        return page(found, TenantDeletionType.of)


@strawberry.type
class TenantDeletionMutation:
    @mutation
    async def delete_tenant(
        self,
        info: Info,
        tenant: str,
        confirm: str,
        grace_days: int = model.USUAL_GRACE,
        cancel_runs: bool = False,
    ) -> DeleteTenantPayload:
        """Have a tenant deleted, with everything of it, in `graceDays`; nothing starts in it from now on. What runs may
        end until 12 hours before, and is canceled then; with `cancelRuns`, now. For admins of a platform tenant;
        `confirm` is the tenant's name once more."""
        service = info.context.services.tenant_deletions
        return TenantDeletionType.of(
            await service.ask(info.context.caller, tenant, confirm, grace_days, cancel_runs=cancel_runs)
        )

    @mutation
    async def keep_tenant(self, info: Info, tenant: str) -> KeepTenantPayload:
        """Take a tenant's deletion back, while its time is not over; the one that was to be. For admins of a platform
        tenant."""
        service = info.context.services.tenant_deletions
        return TenantDeletionType.of(await service.keep(info.context.caller, tenant))
