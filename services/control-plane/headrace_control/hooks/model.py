"""Hooks and their messages, as services answer them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID

from headrace.json_types import JsonObject


class HookEvent(StrEnum):
    """What hooks are told of."""

    RUN_FINISHED = "RUN_FINISHED"  # a run that is nobody's step has ended, however
    RUN_FAILED = "RUN_FAILED"
    APPROVAL_REQUESTED = "APPROVAL_REQUESTED"
    DEAD_LETTER = "DEAD_LETTER"
    CONNECTION_EXPIRING = "CONNECTION_EXPIRING"  # what was granted ends within seven days
    QUOTA_NEAR = "QUOTA_NEAR"  # four fifths are used; once a day
    BREAKER_OPEN = "BREAKER_OPEN"  # a connection is left alone for a while


# As messages say it.
TYPES: Mapping[HookEvent, str] = MappingProxyType(
    {
        HookEvent.RUN_FINISHED: "run.finished",
        HookEvent.RUN_FAILED: "run.failed",
        HookEvent.APPROVAL_REQUESTED: "approval.requested",
        HookEvent.DEAD_LETTER: "dead_letter.added",
        HookEvent.CONNECTION_EXPIRING: "connection.expiring",
        HookEvent.QUOTA_NEAR: "quota.near",
        HookEvent.BREAKER_OPEN: "breaker.open",
    }
)


class HookMessageStatus(StrEnum):
    """What became of a message. GIVEN_UP: every attempt failed; it can be sent again."""

    PENDING = "PENDING"
    SENT = "SENT"
    GIVEN_UP = "GIVEN_UP"


@dataclass(frozen=True, slots=True)
class Hook:
    """A hook. Until `previous_until` messages are signed with the secret before its newest one, too."""

    id: UUID
    name: str
    url: str
    events: Sequence[HookEvent]
    paused: bool
    created_at: datetime
    updated_at: datetime
    previous_until: datetime | None

    def as_json(self) -> JsonObject:
        """As the audit digests it."""
        return {"url": self.url, "events": [*self.events]}


@dataclass(frozen=True, slots=True)
class IssuedHook:
    """A hook with its newest secret, which is shown this once."""

    hook: Hook
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class HookMessage:
    """A message and what came of its `attempts`, the last one's `error` among it. `next_at` is when the next is due."""

    id: UUID
    event: HookEvent
    data: JsonObject
    status: HookMessageStatus
    attempts: int
    next_at: datetime | None
    error: JsonObject | None
    created_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message to be sent now, by whoever claimed it; `now` is the database's time."""

    tenant_id: UUID
    id: UUID
    hook_id: UUID
    event: HookEvent
    data: JsonObject
    attempts: int
    created_at: datetime
    url: str = field(repr=False)
    now: datetime
