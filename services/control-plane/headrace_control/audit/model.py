"""Audit records, as they stand in a tenant's chain."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from headrace.audit_chain import FORMAT
from headrace.json_types import JsonObject

from headrace_control.audit.record import AuditOutcome
from headrace_control.auth.caller import ActorKind


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One record of a chain. `before` and `after` are digests."""

    tenant_id: UUID
    seq: int
    id: UUID
    at: datetime
    actor_kind: ActorKind
    actor_id: UUID
    actor_name: str
    action: str
    target: str
    outcome: AuditOutcome
    before: bytes | None
    after: bytes | None
    detail: JsonObject
    correlation_id: str
    origin: str | None

    def as_json(self) -> JsonObject:
        """What is hashed."""
        return {
            "format": FORMAT,
            "tenantId": str(self.tenant_id),
            "seq": self.seq,
            "id": str(self.id),
            "at": moment(self.at),
            "actorKind": self.actor_kind.value,
            "actorId": str(self.actor_id),
            "actorName": self.actor_name,
            "action": self.action,
            "target": self.target,
            "outcome": self.outcome.value,
            "before": self.before.hex() if self.before is not None else None,
            "after": self.after.hex() if self.after is not None else None,
            "detail": self.detail,
            "correlationId": self.correlation_id,
            "origin": self.origin,
        }


@dataclass(frozen=True, slots=True)
class Sealed:
    """A record with its place in the chain."""

    record: AuditRecord
    previous: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain: what somebody outside keeps as an anchor."""

    seq: int
    hash: bytes
    at: datetime


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which records; None does not narrow. `since` is included, `until` is not."""

    action: str | None = None
    actor: str | None = None
    target: str | None = None
    outcome: AuditOutcome | None = None
    since: datetime | None = None
    until: datetime | None = None


def read_record(row: Any, seq: int) -> AuditRecord:
    """A row of the inbox or of the log, at its place in the chain."""
    return AuditRecord(
        row["tenant_id"],
        seq,
        row["id"],
        row["at"],
        ActorKind(row["actor_kind"]),
        row["actor_id"],
        row["actor_name"],
        row["action"],
        row["target"],
        AuditOutcome(row["outcome"]),
        row["before_digest"],
        row["after_digest"],
        row["detail"],
        row["correlation_id"],
        row["origin"],
    )


def moment(at: datetime) -> str:
    """A time as records have it: UTC, always with microseconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
