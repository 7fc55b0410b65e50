"""What a batch of events does to the rows of its runs, worked out in memory before anything is written.

`apply_event` keeps the model's rules about events; each is named at its line.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from headrace.ids import new_id
from headrace.json_types import JsonObject
from headrace.messages import Event
from headrace.workflow.fold import IllegalMove
from headrace.workflow.grammar import MAX_CACHE_MS
from headrace.workflow.keys import Part, read_key
from headrace.workflow.state import (
    ENDED_RUN,
    EventKind,
    ParkReason,
    RunStatus,
    StepStatus,
    Undoing,
    WaitKind,
)

SLOT_BYTES, MAX_ACTION = 32, 200
_ENDS = frozenset({"SUCCESS", "FAILED", "SKIPPED", "CACHED", "UNKNOWN", "CANCELED"})
_SETTLES = frozenset({"SUCCESS", "FAILED", "QUEUED"})


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
    progress: bool = False
    marked: bool = False
    parked: "Parked | None" = None
    ended: "Ended | None" = None
    events: list[Event] = field(default_factory=list)
    attempts: list[Mapping[str, Any]] = field(default_factory=list)
    steps: dict[str, "StepRow"] = field(default_factory=dict)
    compensating: Any = None
    undone: list[str] = field(default_factory=list)
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


def apply_event(run: RunRow, event: Event, now: datetime) -> bool:
    """Change `run` by one event; False when the event changes nothing.

    Raises `IllegalMove` or `ValueError` for an event that no runner of ours writes.
    """
    if event.tenant_id != run.tenant_id or event.epoch > run.epoch:
        run.strangers.append(event)
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
    if isinstance(used := event.data.get("inbox"), list):  # rule inbox_used_by_event
        run.used_messages += [seq for seq in used if type(seq) is int]
    _change(run, event, now)
    # A beginning alone is none: a step that takes its runner down with it begins again and again.
    # rule progress_forgives
    run.progress |= event.kind is not EventKind.STARTED
    run.events.append(event)
    return True


def _change(run: RunRow, event: Event, now: datetime) -> None:
    data = event.data
    match event.kind:
        case EventKind.STARTED:
            step = _step(run, event)
            step.status, step.in_flight, step.retry_at = StepStatus.RUNNING, bool(data.get("unsafe")), None
            step.wait, step.error = None, None
            step.started_at = step.started_at or event.at
            step.input = data.get("input", step.input)
            items = data.get("items")
            step.items = items if type(items) is int else step.items
            if "approval" in data:
                run.resolved.append(_key(event))
        case EventKind.ATTEMPTED:
            _attempted(run, event)
        case EventKind.WAITING:
            _wait(run, event)
        case EventKind.REMINDED:
            run.reminders.append((_key(event), _text(data["remindAt"])))
        case EventKind.COMPLETED | EventKind.SETTLED:
            _complete(run, event)
        case EventKind.COMPENSATING:
            if run.status is RunStatus.COMPENSATING:
                raise IllegalMove("the run is compensating already")
            Undoing.from_json(dict(data))  # or no runner could read it
            run.status, run.compensating = RunStatus.COMPENSATING, dict(data)
        case EventKind.PARKED:
            _park(run, event, now)
        case EventKind.FINISHED:
            status_of_run = RunStatus(str(data["status"]))
            if status_of_run not in (RunStatus.SUCCESS, RunStatus.FAILED):
                raise IllegalMove(f"finished does not say {status_of_run}")
            _end(run, Ended(status_of_run, data.get("result"), data.get("error"), event.at))
        case EventKind.CANCELED:
            _end(run, Ended(RunStatus.CANCELED, None, data.get("error"), event.at))
        case _:
            raise IllegalMove(f"no such event: {event.kind}")


def _attempted(run: RunRow, event: Event) -> None:
    step, data = _step(run, event), event.data
    retry_at = data.get("retryAt")
    step.status = StepStatus.WAITING if retry_at else StepStatus.RUNNING
    step.retry_at = _time(retry_at) if retry_at else None
    step.error, step.in_flight = data.get("error"), False
    number = data.get("round")
    step.wait = {"kind": WaitKind.REPEAT if number else WaitKind.RETRY} if retry_at else None
    _attempt(run, event, step)
    if type(number) is int:
        step.round, step.round_from = number, step.attempts


def _wait(run: RunRow, event: Event) -> None:
    step, wait = _step(run, event), event.data["wait"]
    if not isinstance(wait, dict):
        raise IllegalMove("waiting does not say for what")
    kind = WaitKind(str(wait["kind"]))
    until = _time(wait["until"]) if wait.get("until") else None
    step.status, step.in_flight = StepStatus.WAITING, False
    step.wait, step.retry_at, step.error = wait, until, None
    step.started_at = step.started_at or event.at
    step.input = event.data.get("input", step.input)
    key = _key(event)
    if kind in (WaitKind.APPROVAL, WaitKind.SIGNAL, WaitKind.GATE):
        # A call may be asked for again, with other words: what counts is the last.
        run.waits = [earlier for earlier in run.waits if earlier.step != key]
        run.resolved = [closed for closed in run.resolved if closed != key]
        shown_as = WaitKind.APPROVAL if kind is WaitKind.GATE else kind
        run.waits.append(WaitRow(key, shown_as, wait, until, event.at))
    if kind is WaitKind.CHILD:
        # rule child_begins_with_its_wait: the child's row is written by the transaction that applies this
        undoes = wait.get("undoes")
        child = Child(
            UUID(str(wait["runId"])),
            new_id(),
            key,
            UUID(str(wait["versionId"])),
            wait.get("input") or {},
            None if undoes is None else str(undoes),
        )
        run.children.append(child)


def _complete(run: RunRow, event: Event) -> None:
    step, data = _step(run, event), event.data
    status = StepStatus(str(data["status"]))
    ends = _SETTLES if event.kind is EventKind.SETTLED else _ENDS
    if status not in ends:
        raise IllegalMove(f"{event.kind} does not say {status}")
    step.status, step.in_flight, step.retry_at, step.wait = status, False, None, None
    step.output, step.error = data.get("output"), data.get("error")
    step.input = data.get("input", step.input)
    open_again = status in (StepStatus.UNKNOWN, StepStatus.QUEUED)
    step.finished_at = None if open_again else event.at
    placed = status in (StepStatus.SUCCESS, StepStatus.UNKNOWN)
    step.done = (event.epoch, event.seq) if placed else None
    if status is not StepStatus.SKIPPED:
        step.started_at = step.started_at or event.at
    _attempt(run, event, step)
    key = _key(event)
    if "attempt" not in data and status is not StepStatus.SKIPPED:
        run.resolved.append(key)  # by no attempt of its own: it may have waited
    if status is StepStatus.SUCCESS and isinstance(kept := data.get("cache"), dict):
        run.results.append(_result(kept, key, step.output))
    if status is StepStatus.FAILED and data.get("unhandled") is True:
        run.unhandled.append(key)
    if status is StepStatus.SUCCESS and "." in key:
        name = read_key(key)
        if name.part is Part.UNDO:
            run.undone.append(name.work)


def _result(kept: Mapping[str, Any], key: str, output: Any) -> Result:
    slot, action, ttl = bytes.fromhex(_text(kept["slot"])), _text(kept["action"]), kept["ttlMs"]
    if len(slot) != SLOT_BYTES or len(action) > MAX_ACTION or type(ttl) is not int:
        raise IllegalMove("the event does not say where its result is kept")
    return Result(slot, action, key, output, min(max(ttl, 1), MAX_CACHE_MS))


def _park(run: RunRow, event: Event, now: datetime) -> None:
    reason = ParkReason(str(event.data["reason"]))
    resume_at = event.data.get("resumeAt")
    due_at = _time(resume_at) if resume_at else None
    undoing = run.status is RunStatus.COMPENSATING or run.undoes_run_id is not None
    # rule park_sees_what_came_early: a cancel (but not for a run that carries one out), or a message that the writer
    # did not know of. An early one for a later wait was seen, and is no news. rule cancel_wakes_no_undo; and rule
    # hand_back_is_due_at_once: its `resumeAt` is the moment in which it was written.
    if (run.cancel_requested and not undoing) or run.inbox_seq > int(str(event.data.get("inboxSeen", 0))):
        due_at = now
    status = RunStatus.COMPENSATING if run.status is RunStatus.COMPENSATING else RunStatus.WAITING
    if reason is ParkReason.PAUSED:
        # rule park_sees_pause: the flag says, and may have been taken back meanwhile
        if run.pause_requested and not run.cancel_requested:
            status, due_at = RunStatus.PAUSED, None
        else:
            due_at = now
    elif run.pause_requested and status is RunStatus.WAITING and not run.cancel_requested:
        status, due_at = RunStatus.PAUSED, None  # asked for after its holder had decided to park
    run.parked = Parked(reason, status, new_id(), due_at)
    run.status, run.claim_open = status, False


def _end(run: RunRow, ended: Ended) -> None:
    # rule cancel_is_a_request, its other half: only an event ends a run
    run.ended, run.parked = ended, None
    run.status, run.claim_open = ended.status, False


def _key(event: Event) -> str:
    if not event.step:
        raise IllegalMove(f"{event.kind} without a step")
    return event.step


def _step(run: RunRow, event: Event) -> StepRow:
    return run.steps.setdefault(_key(event), StepRow())


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise IllegalMove("text expected")
    return value


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
            "connection": _id(attempt.get("connection")),
            "host": attempt.get("host"),
            "started_at": _time(attempt["startedAt"]),
            "duration_ms": int(str(attempt["durationMs"])),
        }
    )


def _id(value: object) -> UUID | None:
    return None if value is None else UUID(_text(value))


def _time(value: object) -> datetime:
    at = datetime.fromisoformat(str(value))
    if at.tzinfo is None:
        raise ValueError("a time without an offset")
    return at
