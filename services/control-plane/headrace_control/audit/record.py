"""Recording one act, in the transaction that carries it out."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol
from uuid import UUID

import orjson
from headrace.ids import new_id
from headrace.json_types import Json
from headrace.postgres.pool import Db
from headrace.postgres.queries import load

from headrace_control.auth.caller import Actor, ActorKind, Origin

_sql = load("headrace_control.audit")


class AuditOutcome(StrEnum):
    DONE = "DONE"
    REFUSED = "REFUSED"


class Doer(Protocol):
    """Who acts, in which tenant, from where; a `Caller` is one."""

    @property
    def tenant_id(self) -> UUID: ...

    @property
    def actor(self) -> Actor: ...

    @property
    def origin(self) -> Origin: ...


@dataclass(frozen=True, slots=True)
class Part:
    """A part of Headrace, or somebody from outside, that acts for a tenant without a role in it."""

    tenant_id: UUID
    actor: Actor
    origin: Origin = field(default_factory=Origin)


CONTROL_PLANE = Actor(ActorKind.SERVICE, UUID(int=0), "control-plane")


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that somebody did, or was refused.

    `action` is a noun and a verb, such as `app.create`; `target` a kind and a name or id, such as `app/shop`. Of
    `before` and `after` digests are kept and nothing else; `detail` is kept as it is, so it holds no secret.
    """

    action: str
    target: str
    before: Json = None
    after: Json = None
    outcome: AuditOutcome = AuditOutcome.DONE
    detail: Mapping[str, Json] = field(default_factory=dict)


async def record(db: Db, caller: Doer, act: Act) -> None:
    """Keep `act` for good. `db` is in a transaction of the caller's tenant: both are kept, or neither."""
    await db.execute(
        _sql.record,
        caller.tenant_id,
        new_id(),
        caller.actor.kind,
        caller.actor.id,
        caller.actor.name,
        act.action,
        act.target,
        act.outcome,
        digest_of(act.before),
        digest_of(act.after),
        dict(act.detail),
        caller.origin.correlation_id,
        caller.origin.address,
    )


def digest_of(value: Json) -> bytes | None:
    """SHA-256 over the value's JSON with its keys in order; None of nothing."""
    if value is None:
        return None
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS, default=str)).digest()
