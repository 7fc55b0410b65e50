"""Runner pools in GraphQL."""

from datetime import datetime
from typing import Annotated

import strawberry

from headrace_control.graphql.context import Info
from headrace_control.graphql.failures import Failed
from headrace_control.graphql.fields import mutation, query
from headrace_control.pools import model


@strawberry.type(name="RunnerPool", description="Runners that advance the runs of this pool and no others.")
class RunnerPoolType:
    name: str
    created_at: datetime
    tenants: int = strawberry.field(description="To how many it is granted.")
    runners: int = strawberry.field(description="Those with a live lease.")
    unfinished_runs: int | None = strawberry.field(description="Runs in it; null of the default pool.")

    @classmethod
    def of(cls, pool: model.RunnerPool) -> "RunnerPoolType":
        return cls(
            name=pool.name,
            created_at=pool.created_at,
            tenants=pool.tenants,
            runners=pool.runners,
            unfinished_runs=pool.unfinished_runs,
        )


@strawberry.type(name="TenantPools", description="Where a tenant's runs go.")
class TenantPoolsType:
    pool: str = strawberry.field(description="Of runs whose workflows are not bound to another one.")
    granted: list[str] = strawberry.field(description="What its workflows may be bound to.")

    @classmethod
    def of(cls, pools: model.TenantPools) -> "TenantPoolsType":
        return cls(pool=pools.pool, granted=list(pools.granted))


@strawberry.type(name="WorkflowPool", description="Where a workflow's runs go.")
class WorkflowPoolType:
    workflow: str
    pool: str | None = strawberry.field(description="Null: its tenant's own.")


@strawberry.type(description="A pool that is gone.")
class RemovedRunnerPool:
    name: str


@strawberry.type(description="A pool whose unfinished runs are in another one now.")
class DrainedRunnerPool:
    name: str
    runs: int = strawberry.field(description="How many were moved.")


CreateRunnerPoolPayload = Annotated[RunnerPoolType | Failed, strawberry.union("CreateRunnerPoolPayload")]
RemoveRunnerPoolPayload = Annotated[RemovedRunnerPool | Failed, strawberry.union("RemoveRunnerPoolPayload")]
SetTenantPoolsPayload = Annotated[TenantPoolsType | Failed, strawberry.union("SetTenantPoolsPayload")]
SetWorkflowPoolPayload = Annotated[WorkflowPoolType | Failed, strawberry.union("SetWorkflowPoolPayload")]
DrainRunnerPoolPayload = Annotated[DrainedRunnerPool | Failed, strawberry.union("DrainRunnerPoolPayload")]


@strawberry.type
class PoolQuery:
    @query
    async def runner_pools(self, info: Info) -> list[RunnerPoolType]:
        """All runner pools, by name. For operators of a platform tenant."""
        found = await info.context.services.pools.all(info.context.caller)
        return [RunnerPoolType.of(pool) for pool in found]

    @query
    async def tenant_pools(self, info: Info) -> TenantPoolsType:
        """Where the tenant's runs go."""
        return TenantPoolsType.of(await info.context.services.pools.own(info.context.caller))


@strawberry.type
class PoolMutation:
    @mutation
    async def create_runner_pool(self, info: Info, name: str) -> CreateRunnerPoolPayload:
        """Make a runner pool. For admins of a platform tenant."""
        return RunnerPoolType.of(await info.context.services.pools.create(info.context.caller, name))

    @mutation
    async def remove_runner_pool(self, info: Info, name: str) -> RemoveRunnerPoolPayload:
        """Take away a pool that nobody is granted and that no unfinished run is in. For admins of a platform tenant."""
        return RemovedRunnerPool(name=await info.context.services.pools.remove(info.context.caller, name))

    @mutation
    async def set_tenant_pools(
        self, info: Info, tenant: str, pool: str, also: list[str] | None = None
    ) -> SetTenantPoolsPayload:
        """Bind a tenant to a pool; `also`: to which others its workflows may be bound. For admins of a platform tenant.

        Runs that are started from now on go by it.
        """
        service = info.context.services.pools
        return TenantPoolsType.of(await service.set_tenant(info.context.caller, tenant, pool, also or []))

    @mutation
    async def set_workflow_pool(
        self, info: Info, workflow: str, pool: str | None = None
    ) -> SetWorkflowPoolPayload:
        """Bind a workflow to a pool that the tenant is granted; without one, to the tenant's own.

        Runs that are started from now on go by it.
        """
        bound = await info.context.services.pools.set_workflow(info.context.caller, workflow, pool)
        return WorkflowPoolType(workflow=bound.workflow, pool=bound.pool)

    @mutation
    async def drain_runner_pool(
        self, info: Info, name: str, into: str, tenant: str | None = None
    ) -> DrainRunnerPoolPayload:
        """Put the unfinished runs of a pool into another one, those of one tenant if it is named. For admins of a
        platform tenant.

        What a runner holds now it goes on with until it parks.
        """
        moved = await info.context.services.pools.drain(info.context.caller, name, into, tenant)
        return DrainedRunnerPool(name=name, runs=moved)
