"""What a batch of events does to the rows of its runs, worked out in memory before anything is written.

`apply_event` keeps the model's rules about events; each is named at its line.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from headrace.ids import new_id
from headrace.messages import Event
from headrace.workflow.fold import PLACED, IllegalMove, until_next
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

from headrace_reporter.changes import Child, Ended, Parked, Result, RunRow, StepRow, WaitRow

SLOT_BYTES, MAX_ACTION = 32, 200
_ENDS = frozenset({"SUCCESS", "FAILED", "SKIPPED", "CACHED", "UNKNOWN", "CANCELED"})
_SETTLES = frozenset({"SUCCESS", "FAILED", "QUEUED"})


class EventsMissing(IllegalMove):
    """A claim's events count from 1, and those between what is applied and this one were lost on the bus, or after they
    were applied. What the run did meanwhile, or waits for, is not known."""


def apply_event(run: RunRow, event: Event, now: datetime) -> bool:
    """Change `run` by one event; False when the event changes nothing.

    Raises `IllegalMove` or `ValueError` for an event that no runner of ours writes, or that events were lost before.
    """
    if event.tenant_id != run.tenant_id or event.epoch > run.epoch:
        run.strangers.append(event)
        return False  # nobody was ever granted this: it is no reason to hold up the run
    # rules fence_in_partition_order and each_event_once: the fence is the (epoch, seq) last APPLIED from the
    # partition, never the epoch claimed; what is at or below it changes nothing.
    if (event.epoch, event.seq) <= run.fence:
        return False
    if event.seq != (run.fence[1] + 1 if event.epoch == run.fence[0] else 1) and run.status not in ENDED_RUN:
        raise EventsMissing("events before this one are missing")
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
    step.wait = until_next(data)
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
    step.done = (event.epoch, event.seq) if status in PLACED else None
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
    run.undid = run.status is RunStatus.COMPENSATING or run.undoes_run_id is not None
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
