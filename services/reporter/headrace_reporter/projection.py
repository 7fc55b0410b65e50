"""What a batch of events does to the rows of its runs, worked out in memory before anything is written.

`apply_event` keeps the model's rules about events; each is named at its line.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from headrace.ids import new_id
from headrace.messages import Event
from headrace.workflow.state import (
    ENDED_RUN,
    EventKind,
    IllegalMove,
    ParkReason,
    RunStatus,
    StepStatus,
)

_ENDS = frozenset({"SUCCESS", "FAILED", "SKIPPED", "CACHED", "UNKNOWN", "CANCELED"})


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
    limited: bool
    progress: bool = False
    marked: bool = False
    parked: "Parked | None" = None
    ended: "Ended | None" = None
    events: list[Event] = field(default_factory=list)
    attempts: list[Mapping[str, Any]] = field(default_factory=list)
    steps: dict[str, "StepRow"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Parked:
    reason: ParkReason
    dispatch_id: UUID
    due_at: datetime | None  # None: only a person or a cancel makes it due


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


def apply_event(run: RunRow, event: Event, now: datetime) -> bool:
    """Change `run` by one event; False when the event changes nothing.

    Raises `IllegalMove` or `ValueError` for an event that no runner of ours writes.
    """
    if event.tenant_id != run.tenant_id or event.epoch > run.epoch:
        return False  # nobody was ever granted this: it is no reason to hold up the run
    # rules fence_in_partition_order and each_event_once: the fence is the (epoch, seq) last APPLIED from the
    # partition, never the epoch claimed; what is at or below it changes nothing.
    if (event.epoch, event.seq) <= run.fence:
        return False
    run.fence = (event.epoch, event.seq)
    if event.kind is EventKind.CLAIMED:
        run.marked = True  # rule mark_only_fences
        return True
    if run.status in ENDED_RUN:
        return True
    if event.kind in (EventKind.PARKED, EventKind.FINISHED, EventKind.CANCELED) and not run.claim_open:
        raise IllegalMove("the event ends a claim that is not open")
    _change(run, event, now)
    # A beginning alone is none: a step that takes its runner down with it begins again and again.
    run.progress |= event.kind is not EventKind.STARTED
    run.events.append(event)
    return True


def _change(run: RunRow, event: Event, now: datetime) -> None:
    data = event.data
    match event.kind:
        case EventKind.STARTED:
            step = _step(run, event)
            step.status, step.in_flight, step.retry_at = StepStatus.RUNNING, bool(data.get("unsafe")), None
            step.started_at = step.started_at or event.at
            step.input = data.get("input", step.input)
        case EventKind.ATTEMPTED:
            step = _step(run, event)
            retry_at = data.get("retryAt")
            step.status = StepStatus.WAITING if retry_at else StepStatus.RUNNING
            step.retry_at = _time(retry_at) if retry_at else None
            step.error, step.in_flight = data.get("error"), False
            _attempt(run, event, step)
        case EventKind.COMPLETED:
            step = _step(run, event)
            status = StepStatus(str(data["status"]))
            if status not in _ENDS:
                raise IllegalMove(f"completed does not say {status}")
            step.status, step.in_flight, step.retry_at = status, False, None
            step.output, step.error = data.get("output"), data.get("error")
            step.finished_at = None if status is StepStatus.UNKNOWN else event.at
            if status is not StepStatus.SKIPPED:
                step.started_at = step.started_at or event.at
            _attempt(run, event, step)
        case EventKind.PARKED:
            _park(run, event, now)
        case EventKind.FINISHED:
            status_of_run = RunStatus(str(data["status"]))
            if status_of_run not in (RunStatus.SUCCESS, RunStatus.FAILED):
                raise IllegalMove(f"finished does not say {status_of_run}")
            _end(run, Ended(status_of_run, data.get("result"), data.get("error"), event.at))
        case EventKind.CANCELED:
            _end(run, Ended(RunStatus.CANCELED, None, None, event.at))
        case _:
            raise IllegalMove(f"no such event: {event.kind}")


def _park(run: RunRow, event: Event, now: datetime) -> None:
    reason = ParkReason(str(event.data["reason"]))
    resume_at = event.data.get("resumeAt")
    due_at = _time(resume_at) if resume_at else None
    if run.cancel_requested:
        due_at = now  # rule park_sees_what_came_early
    run.parked = Parked(reason, new_id(), due_at)
    run.status, run.claim_open = RunStatus.WAITING, False


def _end(run: RunRow, ended: Ended) -> None:
    # rule cancel_is_a_request, its other half: only an event ends a run
    run.ended, run.parked = ended, None
    run.status, run.claim_open = ended.status, False


def _step(run: RunRow, event: Event) -> StepRow:
    if not event.step:
        raise IllegalMove(f"{event.kind} without a step")
    return run.steps.setdefault(event.step, StepRow())


def _attempt(run: RunRow, event: Event, step: StepRow) -> None:
    attempt = event.data.get("attempt")
    if not isinstance(attempt, dict):
        return
    number = attempt["number"]
    if type(number) is not int or number < 1:
        raise IllegalMove("an attempt without its number")
    step.attempts = max(step.attempts, number)
    run.attempts.append(
        {
            "step": event.step,
            "number": number,
            "epoch": event.epoch,
            "outcome": str(attempt["outcome"]),
            "http_status": attempt.get("httpStatus"),
            "error": event.data.get("error"),
            "address": attempt.get("address"),
            "started_at": _time(attempt["startedAt"]),
            "duration_ms": int(str(attempt["durationMs"])),
        }
    )


def _time(value: object) -> datetime:
    at = datetime.fromisoformat(str(value))
    if at.tzinfo is None:
        raise ValueError("a time without an offset")
    return at
