"""Rows of runs, and what a batch of events makes of them: worked out by `projection`, written by `rows`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from headrace.json_types import JsonObject
from headrace.messages import Event
from headrace.workflow.state import ParkReason, RunStatus, StepStatus, WaitKind


@dataclass(slots=True)
class RunRow:
    """A locked run row, and what the batch has made of it so far."""

    id: UUID
    tenant_id: UUID
    status: RunStatus
    dispatch_id: UUID
    epoch: int
    claim_open: bool
    fence: tuple[int, int]
    cancel_requested: bool
    limited: bool = False
    pause_requested: bool = False
    inbox_seq: int = 0
    parent_run_id: UUID | None = None
    undoes_run_id: UUID | None = None
    pool: str | None = None
    progress: bool = False
    marked: bool = False
    parked: "Parked | None" = None
    ended: "Ended | None" = None
    events: list[Event] = field(default_factory=list)
    attempts: list[Mapping[str, Any]] = field(default_factory=list)
    steps: dict[str, "StepRow"] = field(default_factory=dict)
    compensating: Any = None
    undone: list[str] = field(default_factory=list)
    undid: bool = False  # it has ended, and was undoing
    reminders: list[tuple[str, str]] = field(default_factory=list)
    resolved: list[str] = field(default_factory=list)
    unhandled: list[str] = field(default_factory=list)
    in_doubt: list[str] = field(default_factory=list)  # steps, now that the run has ended
    used_messages: list[int] = field(default_factory=list)
    waits: list["WaitRow"] = field(default_factory=list)
    children: list["Child"] = field(default_factory=list)
    results: list["Result"] = field(default_factory=list)
    strangers: list[Event] = field(default_factory=list)  # that nobody was ever granted


@dataclass(frozen=True, slots=True)
class Parked:
    reason: ParkReason
    status: RunStatus
    dispatch_id: UUID
    due_at: datetime | None  # None: only a message, a person or a cancel makes it due


@dataclass(frozen=True, slots=True)
class WaitRow:
    """A wait that somebody has to see."""

    step: str
    kind: WaitKind
    data: JsonObject
    due_at: datetime | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Child:
    """A run to be begun for a step of this one; with `undoes`, one that undoes what the child of that step did."""

    run_id: UUID
    dispatch_id: UUID
    step: str
    version_id: UUID
    input: Any
    undoes: str | None


@dataclass(frozen=True, slots=True)
class Result:
    """Of a step's call, to be kept for others; `ttl_ms` from now on."""

    slot: bytes
    action: str
    step: str
    output: Any
    ttl_ms: int


@dataclass(frozen=True, slots=True)
class Ended:
    status: RunStatus
    result: Any
    error: Any
    at: datetime


@dataclass(slots=True)
class StepRow:
    """A step's row as it stands after the events so far; None means "as it is in the table"."""

    status: StepStatus = StepStatus.RUNNING
    attempts: int = 0
    input: Any = None
    output: Any = None
    error: Any = None
    in_flight: bool = False
    retry_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    wait: Any = None
    round: int = 0
    round_from: int = 0
    items: int | None = None
    done: tuple[int, int] | None = None
