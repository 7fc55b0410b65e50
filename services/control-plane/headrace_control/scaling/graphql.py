"""The signals in GraphQL."""

from dataclasses import asdict

import strawberry

from headrace_control.graphql.context import Info
from headrace_control.graphql.fields import query
from headrace_control.scaling import model


@strawberry.type(name="QueueDepth", description="Messages of a queue of the bus.")
class QueueDepthType:
    name: str
    ready: int
    unacked: int | None = strawberry.field(
        description="Taken and not acknowledged; null where it is not counted."
    )


@strawberry.type(name="TenantBacklog", description="What waits of one tenant.")
class TenantBacklogType:
    tenant_id: strawberry.ID
    due: int = strawberry.field(description="Dispatches that are due and not sent.")
    in_flight: int = strawberry.field(description="Dispatches that are sent.")
    oldest_seconds: float = strawberry.field(description="Age of the oldest that is due.")


@strawberry.type(name="PoolScaling", description="What there is to do in one runner pool, and who does it.")
class PoolScalingType:
    pool: str
    backlog: int
    load: int
    ready: int
    unacked: int
    due: int
    oldest_seconds: float
    runs_in_flight: int
    runners: int
    capacity: int
    held: int

    @classmethod
    def of(cls, pool: str, figures: model.PoolFigures) -> "PoolScalingType":
        return cls(pool=pool, **asdict(figures))


@strawberry.type(name="Scaling", description="What there is to do in the whole deployment, and who does it.")
class ScalingType:
    backlog: int = strawberry.field(description="What a further runner could take now.")
    load: int = strawberry.field(description="The backlog and the jobs in runners' hands.")
    ready: int = strawberry.field(description="Jobs ready in the broker.")
    unacked: int = strawberry.field(description="Jobs in runners' hands.")
    due: int = strawberry.field(description="Dispatches that are due and not sent.")
    oldest_seconds: float = strawberry.field(description="For how long the oldest waits to be claimed.")
    runs_in_flight: int = strawberry.field(description="Dispatches sent, and neither parked nor ended.")
    runners: int = strawberry.field(description="Runners with a live lease.")
    capacity: int = strawberry.field(description="Runs that they can hold.")
    held: int = strawberry.field(description="Runs that they named in their last renewals.")
    queues: list[QueueDepthType]
    tenants: list[TenantBacklogType] = strawberry.field(description="Those with most due, 20 at most.")
    pools: list[PoolScalingType] = strawberry.field(description="The same figures of each runner pool.")

    @classmethod
    def of(cls, scaling: model.Scaling) -> "ScalingType":
        return cls(
            backlog=scaling.backlog,
            load=scaling.load,
            ready=scaling.ready,
            unacked=scaling.unacked,
            due=scaling.due,
            oldest_seconds=scaling.oldest_seconds,
            runs_in_flight=scaling.runs_in_flight,
            runners=scaling.runners,
            capacity=scaling.capacity,
            held=scaling.held,
            queues=[
                QueueDepthType(name=name, ready=depth.ready, unacked=depth.unacked)
                for name, depth in scaling.queues.items()
            ],
            tenants=[
                TenantBacklogType(
                    tenant_id=strawberry.ID(str(tenant.tenant_id)),
                    due=tenant.due,
                    in_flight=tenant.in_flight,
                    oldest_seconds=tenant.oldest_seconds,
                )
                for tenant in scaling.tenants
            ],
            pools=[PoolScalingType.of(pool, figures) for pool, figures in scaling.pools.items()],
        )


@strawberry.type
class ScalingQuery:
    @query
    async def scaling(self, info: Info) -> ScalingType:
        """What the fleet is scaled by. For operators of a platform tenant."""
        return ScalingType.of(await info.context.services.scaling.current(info.context.caller))
