"""Dead letters as they are read and asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class DeadLetterSource(StrEnum):
    """What was given up."""

    STEP = "STEP"  # a step that failed for good, and nothing dealt with it
    IN_DOUBT = "IN_DOUBT"  # a call of which nobody knows whether it was made
    COMPENSATION = "COMPENSATION"  # what should have undone a step
    CLAIM = "CLAIM"  # a run that was claimed again and again without progress
    EVENTS = "EVENTS"  # a run whose events could not be applied


class DeadLetterStatus(StrEnum):
    OPEN = "OPEN"
    REPLAYED = "REPLAYED"
    DISCARDED = "DISCARDED"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What was given up, without its body. `action` is `app/action`, or the step's type; `code` the failure's."""

    id: UUID
    source: DeadLetterSource
    status: DeadLetterStatus
    run_id: UUID
    step: str | None
    workflow: str
    action: str
    code: str
    message: str
    created_at: datetime
    closed_at: datetime | None
    closed_reason: str | None
    replayed_by: UUID | None


@dataclass(frozen=True, slots=True)
class DeadLetterBody:
    """What is kept to look into it, redacted: `input` is the step's, `attempts` every request that was made;
    each a JSON text."""

    input: bytes | None
    attempts: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """Which dead letters; None does not narrow."""

    status: DeadLetterStatus = DeadLetterStatus.OPEN
    workflow: str | None = None
    group: "Group | None" = None


@dataclass(frozen=True, slots=True)
class Group:
    """Dead letters with the same cause."""

    source: DeadLetterSource
    action: str
    code: str


@dataclass(frozen=True, slots=True)
class GroupCount:
    """A group, and how many dead letters of one status it has. `example` is the newest."""

    group: Group
    count: int
    first_at: datetime
    last_at: datetime
    example: UUID


class StatisticsBy(StrEnum):
    """What dead letters are counted by."""

    WORKFLOW = "WORKFLOW"
    ACTION = "ACTION"
    CAUSE = "CAUSE"


@dataclass(frozen=True, slots=True)
class Statistic:
    name: str
    open: int
    replayed: int
    discarded: int


@dataclass(frozen=True, slots=True)
class NobodysDeadLetter:
    """Messages or events that belong to no tenant, without what is in them. `source` is the queue, or `reporter`."""

    id: UUID
    source: str
    status: DeadLetterStatus
    reason: str
    created_at: datetime
    closed_at: datetime | None
    closed_reason: str | None
