"""Quotas in GraphQL."""

from dataclasses import fields
from typing import Annotated, Any

import strawberry

from headrace_control.graphql.context import Info
from headrace_control.graphql.failures import Failed
from headrace_control.graphql.fields import mutation, query
from headrace_control.quotas import model


@strawberry.type(name="Quotas", description="What a tenant may use at most; null: as much as any tenant may.")
class QuotasType:
    runs_in_flight: int = strawberry.field(
        description="Runs sent to runners or held by them; more wait their turn."
    )
    unfinished_runs: int | None = strawberry.field(description="More starts are refused.")
    stored_runs: int | None = strawberry.field(description="Finished or not; more starts are refused.")
    starts_per_minute: int | None = strawberry.field(
        description="More are refused until there is room again."
    )
    input_bytes: int | None = strawberry.field(description="JSON of one start's input.")
    loop_items: int | None = strawberry.field(description="Items of one loop.")
    log_records: int | None = strawberry.field(description="Records that a run writes in one claim.")

    @classmethod
    def of(cls, quotas: model.Quotas) -> "QuotasType":
        return cls(**{one.name: getattr(quotas, one.name) for one in fields(quotas)})


@strawberry.type(description="What a tenant uses of its quotas now.")
class QuotaUsage:
    runs_in_flight: int
    unfinished_runs: int
    stored_runs: int | None = strawberry.field(
        description="As counted last; null where there is no such quota."
    )


@strawberry.type(description="A tenant's quotas, and what it uses of them.")
class QuotasUsed:
    quotas: QuotasType
    usage: QuotaUsage


@strawberry.input(description="What is left out stays as it is; null takes a quota away.")
class QuotasInput:
    runs_in_flight: int | None = strawberry.UNSET
    unfinished_runs: int | None = strawberry.UNSET
    stored_runs: int | None = strawberry.UNSET
    starts_per_minute: int | None = strawberry.UNSET
    input_bytes: int | None = strawberry.UNSET
    loop_items: int | None = strawberry.UNSET
    log_records: int | None = strawberry.UNSET

    def changes(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if value is not strawberry.UNSET}


SetQuotasPayload = Annotated[QuotasType | Failed, strawberry.union("SetQuotasPayload")]


@strawberry.type
class QuotaQuery:
    @query
    async def quotas(self, info: Info) -> QuotasUsed:
        """The tenant's quotas, and what it uses of them."""
        found = await info.context.services.quotas.used(info.context.caller)
        usage = QuotaUsage(
            runs_in_flight=found.usage.runs_in_flight,
            unfinished_runs=found.usage.unfinished_runs,
            stored_runs=found.usage.stored_runs,
        )
        return QuotasUsed(quotas=QuotasType.of(found.quotas), usage=usage)


@strawberry.type
class QuotaMutation:
    @mutation
    async def set_quotas(self, info: Info, tenant: str, quotas: QuotasInput) -> SetQuotasPayload:
        """Set quotas of a tenant. For admins of a platform tenant."""
        service = info.context.services.quotas
        return QuotasType.of(await service.set(info.context.caller, tenant, quotas.changes()))
