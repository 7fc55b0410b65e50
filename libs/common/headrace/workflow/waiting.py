"""Rows that wait: is the wait over, and if not, until when does it last? Pure; used by `decide`."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import assert_never

from headrace.json_types import Json, JsonObject
from headrace.workflow.commands import Command, Remind, Resolve, Settle, Start
from headrace.workflow.document import DeadlineOutcome
from headrace.workflow.state import (
    Failure,
    Message,
    MessageKind,
    ParkReason,
    Place,
    RunState,
    StepState,
    StepStatus,
    WaitKind,
)
from headrace.workflow.times import spelled

# What a run waits for is told by the wait that says most about it.
_WEIGHT = (
    ParkReason.APPROVAL,
    ParkReason.SIGNAL,
    ParkReason.CHILD,
    ParkReason.TIMER,
    ParkReason.BLOCKED,
    ParkReason.RETRY,
)
_REASON = {
    WaitKind.RETRY: ParkReason.RETRY,
    WaitKind.REPEAT: ParkReason.RETRY,
    WaitKind.BLOCKED: ParkReason.BLOCKED,
    WaitKind.TIMER: ParkReason.TIMER,
    WaitKind.APPROVAL: ParkReason.APPROVAL,
    WaitKind.GATE: ParkReason.APPROVAL,
    WaitKind.SIGNAL: ParkReason.SIGNAL,
    WaitKind.CHILD: ParkReason.CHILD,
}
_NO_WAIT: JsonObject = {"kind": WaitKind.RETRY}


@dataclass(slots=True)
class Waits:
    """The waits that are not over: why, and the first time at which one of them has to be looked at. `taken` are the
    signals that ended others: of two waits for one name, each needs a signal of its own."""

    reasons: set[ParkReason] = field(default_factory=set)
    wake: datetime | None = None
    taken: set[int] = field(default_factory=set)

    def add(self, reason: ParkReason, until: datetime | None) -> None:
        self.reasons.add(reason)
        if until is not None and (self.wake is None or until < self.wake):
            self.wake = until

    @property
    def reason(self) -> ParkReason:
        return next(reason for reason in _WEIGHT if reason in self.reasons)


def over(key: str, row: StepState, state: RunState, now: datetime, waits: Waits) -> Command | None:
    """What ends, or goes on with, the wait of the row `key`; None when it lasts, and then it is in `waits`."""
    wait = row.wait or _NO_WAIT
    kind = WaitKind(str(wait["kind"]))
    due = row.retry_at is not None and row.retry_at <= now
    # What was said in time ends the wait, whenever its holder hears of it.
    in_vain = due and not to_be_heard(row, state)
    match kind:
        case WaitKind.RETRY | WaitKind.REPEAT | WaitKind.BLOCKED:
            if due or row.retry_at is None:
                return Start(key)
        case WaitKind.TIMER:
            if due:
                return Resolve(key, StepStatus.SUCCESS, {"until": wait.get("until")})
        case WaitKind.SIGNAL:
            if message := _signal(state, key, str(wait.get("name")), row.retry_at, waits.taken):
                waits.taken.add(message.seq)
                return Resolve(key, StepStatus.SUCCESS, message.data.get("payload"), None, (message.seq,))
            if in_vain:
                return _not_signaled(key, wait)
        case WaitKind.APPROVAL:
            if message := _message(state, MessageKind.DECISION, key):
                return _decided(key, message.data, message.seq)
            if in_vain:
                return _not_decided(key, wait, now)
            if not due and (reminder := _reminder(key, wait, now, waits)):
                return reminder
        case WaitKind.GATE:
            if message := _of_call(state, key, wait.get("digest")):
                return _allowed(key, message)
            if in_vain:
                late = Failure("APPROVAL_TIMEOUT", "nobody approved the call in time")
                return Resolve(key, StepStatus.FAILED, None, late)
        case WaitKind.CHILD:
            if message := _message(state, MessageKind.CHILD_ENDED, key):
                return _child_ended(key, message)
        case _:
            assert_never(kind)
    waits.add(_REASON[kind], row.retry_at)
    return None


def to_be_heard(row: StepState, state: RunState) -> bool:
    """Whether something may have been said before the time of the row that its holder was not told of yet."""
    return row.retry_at is not None and state.heard is not None and state.heard < row.retry_at


def settlement(key: str, state: RunState) -> Settle | None:
    """What a person has said of a row in doubt, if anybody has.

    A word about an earlier doubt of the row says nothing of this one: it is used up and not followed. The message names
    the doubt by the place of its event.
    """
    said = [m for m in state.inbox if m.kind is MessageKind.SETTLE and m.step == key]
    place = state.step(key).done
    message = next((m for m in said if _doubt(m) in (None, place)), None)
    if message is None:
        return None
    data = message.data
    return Settle(
        key,
        StepStatus(str(data.get("status"))),
        data.get("output"),
        Failure.from_json(data.get("error")),
        {"by": data.get("by"), "reason": data.get("reason")},
        tuple(m.seq for m in said),
    )


def _doubt(message: Message) -> Place | None:
    place = message.data.get("doubt")
    return (int(str(place[0])), int(str(place[1]))) if isinstance(place, list) and len(place) == 2 else None


def _message(state: RunState, kind: MessageKind, key: str) -> Message | None:
    return next((m for m in state.inbox if m.kind is kind and m.step == key), None)


def _of_call(state: RunState, key: str, digest: Json) -> Message | None:
    """The decision about the very call that waits; one about another call of the row says nothing of it."""
    said = (m for m in state.inbox if m.kind is MessageKind.DECISION and m.step == key)
    return next((m for m in said if m.data.get("digest") == digest), None)


def _allowed(key: str, message: Message) -> Start | Resolve:
    """The call is made, or the step has failed. `started` uses the message up (rule gate_before_call)."""
    if message.data.get("decision") == "APPROVED":
        return Start(key)
    rejected = Failure("REJECTED", "the call was not approved")
    return Resolve(key, StepStatus.FAILED, None, rejected, (message.seq,))


def _signal(
    state: RunState, key: str, name: str, until: datetime | None, taken: Collection[int]
) -> Message | None:
    """The first that was sent to this row alone, else the first of its name for any: so of two waits for one name, the
    one that has a signal of its own leaves the other's to it. One that came after `until` is not for this wait, also
    where nobody looked at it between: the run was paused, or no runner was there."""
    signals = [
        m
        for m in state.inbox
        if m.kind is MessageKind.SIGNAL
        and m.name == name
        and m.step in (None, key)
        and m.seq not in taken
        and (until is None or m.at is None or m.at < until)
    ]
    return min(signals, key=lambda m: m.step is None, default=None)


def _not_signaled(key: str, wait: JsonObject) -> Resolve:
    if wait.get("default") == DeadlineOutcome.CONTINUE:
        return Resolve(key, StepStatus.SUCCESS, None)
    return Resolve(key, StepStatus.FAILED, None, Failure("SIGNAL_TIMEOUT", "no signal came in time"))


def _decided(key: str, data: JsonObject, seq: int) -> Resolve:
    if data.get("decision") == "APPROVED":
        return Resolve(key, StepStatus.SUCCESS, dict(data), None, (seq,))
    rejected = Failure("REJECTED", "the approval was rejected")
    return Resolve(key, StepStatus.FAILED, dict(data), rejected, (seq,))


def _not_decided(key: str, wait: JsonObject, now: datetime) -> Resolve:
    output: JsonObject = {
        "decision": None,
        "by": None,
        "at": spelled(now),
        "reason": "deadline",
        "form": None,
    }
    match wait.get("default"):
        case DeadlineOutcome.APPROVE:
            return Resolve(key, StepStatus.SUCCESS, {**output, "decision": "APPROVED"})
        case DeadlineOutcome.FAIL:
            late = Failure("APPROVAL_TIMEOUT", "nobody decided in time")
            return Resolve(key, StepStatus.FAILED, None, late)
        case _:
            rejected = Failure("REJECTED", "nobody decided in time, which counts as a rejection")
            return Resolve(key, StepStatus.FAILED, {**output, "decision": "REJECTED"}, rejected)


def _reminder(key: str, wait: JsonObject, now: datetime, waits: Waits) -> Remind | None:
    at, every = wait.get("remindAt"), wait.get("remindEveryMs")
    if not at or not isinstance(every, int):
        return None
    due = datetime.fromisoformat(str(at))
    if due > now:
        waits.add(ParkReason.APPROVAL, due)
        return None
    # Those that were missed meanwhile are one.
    missed = int((now - due).total_seconds() * 1000) // every
    return Remind(key, due + (missed + 1) * timedelta(milliseconds=every))


def _child_ended(key: str, message: Message) -> Resolve:
    data = message.data
    if data.get("status") == "SUCCESS":
        return Resolve(key, StepStatus.SUCCESS, data.get("result"), None, (message.seq,))
    if data.get("status") == "CANCELED":
        error = Failure("CHILD_CANCELED", "the child run was canceled")
    else:
        why = Failure.from_json(data.get("error")) or Failure("CHILD_FAILED", "the child run failed")
        error = Failure(why.code, f"the child run failed: {why.message}")
    return Resolve(key, StepStatus.FAILED, None, error, (message.seq,))
