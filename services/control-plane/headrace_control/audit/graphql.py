"""The audit in GraphQL: to be searched, and to be taken away whole."""

from datetime import datetime

import strawberry

from headrace_control.audit import model
from headrace_control.audit.record import AuditOutcome
from headrace_control.auth.caller import Actor
from headrace_control.graphql.actors import ActorType
from headrace_control.graphql.context import Info
from headrace_control.graphql.fields import query
from headrace_control.graphql.pages import Page, page
from headrace_control.graphql.scalars import JSON
from headrace_control.pages import DEFAULT_PAGE

strawberry.enum(AuditOutcome, description="Whether it was done or refused.")


@strawberry.type(name="AuditRecord", description="Something that somebody did, or was refused.")
class AuditRecordType:
    id: strawberry.ID
    seq: strawberry.ID = strawberry.field(description="Its place in the tenant's chain, a whole number.")
    at: datetime
    actor: ActorType
    action: str = strawberry.field(description="Such as `app.create`.")
    target: str = strawberry.field(description="Such as `app/shop`.")
    outcome: AuditOutcome
    before_digest: str | None = strawberry.field(description="SHA-256 of what was there, in hexadecimal.")
    after_digest: str | None = strawberry.field(description="SHA-256 of what is there now.")
    detail: JSON
    correlation_id: str
    origin: str | None = strawberry.field(description="The client's address.")
    hash: str = strawberry.field(description="Over the record and the hash before it, in hexadecimal.")
    entry: JSON = strawberry.field(
        description="The record as it was hashed, with `previous` and `hash`: a line of an export."
    )

    @classmethod
    def of(cls, sealed: model.Sealed) -> "AuditRecordType":
        record = sealed.record
        links = {"previous": sealed.previous.hex(), "hash": sealed.hash.hex()}
        return cls(
            id=strawberry.ID(str(record.id)),
            seq=strawberry.ID(str(record.seq)),
            at=record.at,
            actor=ActorType.of(Actor(record.actor_kind, record.actor_id, record.actor_name)),
            action=record.action,
            target=record.target,
            outcome=record.outcome,
            before_digest=record.before.hex() if record.before else None,
            after_digest=record.after.hex() if record.after else None,
            detail=JSON(record.detail),
            correlation_id=record.correlation_id,
            origin=record.origin,
            hash=sealed.hash.hex(),
            entry=JSON({**record.as_json(), **links}),
        )


@strawberry.type(
    description="The end of the tenant's chain; kept elsewhere, it vouches for all that is before."
)
class AuditHead:
    seq: strawberry.ID
    hash: str
    at: datetime


@strawberry.input(name="AuditFilter", description="Which records; what is not given does not narrow.")
class AuditFilterInput:
    action: str | None = None
    actor: str | None = strawberry.field(default=None, description="The actor's name.")
    target: str | None = None
    outcome: AuditOutcome | None = None
    since: datetime | None = strawberry.field(default=None, description="Then or later.")
    until: datetime | None = strawberry.field(default=None, description="Before then.")

    def wanted(self) -> model.AuditFilter:
        return model.AuditFilter(self.action, self.actor, self.target, self.outcome, self.since, self.until)


@strawberry.type
class AuditQuery:
    @query
    async def audit_records(
        self,
        info: Info,
        filter: AuditFilterInput | None = None,  # noqa: A002
        first: int = DEFAULT_PAGE,
        after: str | None = None,
    ) -> Page[AuditRecordType]:
        """What was done in the tenant, newest first; about a second later than it was done."""
        wanted = filter.wanted() if filter else model.AuditFilter()
        found = await info.context.services.audit.page(info.context.caller, wanted, first, after)
        return page(found, AuditRecordType.of)

    @query
    async def audit_chain(
        self, info: Info, first: int = DEFAULT_PAGE, after: str | None = None
    ) -> Page[AuditRecordType]:
        """The tenant's records from the first one on, none left out: what is needed to verify the chain."""
        found = await info.context.services.audit.chain(info.context.caller, first, after)
        return page(found, AuditRecordType.of)

    @query
    async def audit_head(self, info: Info) -> AuditHead | None:
        """The end of the tenant's chain; null when nothing was recorded yet."""
        head = await info.context.services.audit.head(info.context.caller)
        return AuditHead(seq=strawberry.ID(str(head.seq)), hash=head.hash.hex(), at=head.at) if head else None
