"""What an event says, as a sentence."""

from contextlib import suppress
from datetime import UTC, datetime

from headrace.json_types import Json, JsonObject
from headrace.workflow.state import EventKind, ParkReason, StepStatus, WaitKind

from headrace_control.revisions.model import StoredEvent

_WAITS = {
    WaitKind.RETRY: "its next attempt",
    WaitKind.REPEAT: "its next round",
    WaitKind.BLOCKED: "its connection to take calls again",
    WaitKind.TIMER: "a time",
    WaitKind.APPROVAL: "a person's decision",
    WaitKind.GATE: "a person's approval of the call",
    WaitKind.SIGNAL: "a signal",
    WaitKind.CHILD: "the run that it has begun",
}
_PARKED = {
    ParkReason.RETRY: "a step's next attempt is due later",
    ParkReason.TIMER: "a step waits for a time",
    ParkReason.APPROVAL: "a person has to decide",
    ParkReason.SIGNAL: "a signal is to come",
    ParkReason.CHILD: "a run that it has begun is under way",
    ParkReason.BLOCKED: "a connection takes no calls now",
    ParkReason.HANDED_BACK: "its runner handed it back",
    ParkReason.PAUSED: "somebody paused it",
    ParkReason.CONCURRENCY: "as many runs of its workflow as it allows are unfinished",
    ParkReason.IN_DOUBT: "a person has to say what became of a call",
    ParkReason.DEAD_LETTER: "it failed its runners again and again",
}
_ENDED = {
    StepStatus.SUCCESS: "succeeded",
    StepStatus.FAILED: "failed",
    StepStatus.SKIPPED: "was skipped",
    StepStatus.CACHED: "took a cached result",
    StepStatus.UNKNOWN: "ended in doubt: its call may have been made",
    StepStatus.CANCELED: "was canceled",
}
STARTED = "The run was started."


def note(event: StoredEvent) -> str:
    """One English sentence, without data of the tenant's beyond names, codes and the messages of errors."""
    data, step = event.data, event.step
    match event.kind:
        case EventKind.STARTED:
            items, attempt = data.get("items"), data.get("attempt")
            if items is not None:
                return f"Loop {step} began with {_count(items, 'item')}."
            number = f", attempt {attempt}" if attempt else ""
            approved = " after its approval" if data.get("approval") else ""
            return f"Step {step} began{number}{approved}."
        case EventKind.ATTEMPTED:
            if data.get("round"):
                return f"Round {data['round']} of step {step} is over{_then(data.get('retryAt'))}."
            return f"An attempt of step {step} failed{_why(data)}{_then(data.get('retryAt'))}."
        case EventKind.WAITING:
            wait = data["wait"]
            told = wait if isinstance(wait, dict) else {}
            named = f" {told['name']}" if told.get("name") else ""
            what = _WAITS[WaitKind(str(told["kind"]))]
            return f"Step {step} waits for {what}{named}{_until(told.get('until'))}."
        case EventKind.REMINDED:
            return f"Nobody has decided step {step} yet: a reminder was due."
        case EventKind.COMPLETED:
            return f"Step {step} {_ENDED[StepStatus(str(data['status']))]}{_why(data)}."
        case EventKind.SETTLED:
            return f"The doubt about step {step} was settled: {_settled(str(data['status']))}{_why(data)}."
        case EventKind.COMPENSATING:
            return f"The run turned to undoing what it did, to end {data['outcome']}{_why(data)}."
        case EventKind.PARKED:
            # A reminder, too, is a reason to look: the time says nothing of the wait itself.
            again = (
                f" It is looked at again at {_time(at)} at the latest."
                if (at := data.get("resumeAt"))
                else ""
            )
            return f"The run waits: {_PARKED[ParkReason(str(data['reason']))]}.{again}"
        case EventKind.FINISHED:
            return f"The run ended: {data['status']}{_why(data)}."
        case EventKind.CANCELED:
            return f"The run was canceled{_why(data)}."
        case _:
            return "A runner took the run over."


def _settled(status: str) -> str:
    return {"SUCCESS": "it succeeded", "FAILED": "it failed"}.get(status, "it is done again")


def _why(data: JsonObject) -> str:
    error = data.get("error")
    if not isinstance(error, dict):
        return ""
    return f" ({error.get('code', 'UNKNOWN')}: {str(error.get('message', '')).rstrip('.')})"


def _then(at: Json) -> str:
    return f"; the next one is due at {_time(at)}" if at else ""


def _until(at: Json) -> str:
    return f", until {_time(at)} at the latest" if at else ""


def _time(at: Json) -> str:
    moment = datetime.fromisoformat(str(at))
    # Older events may hold one that is beyond the calendar in UTC: it is shown as it was written.
    with suppress(OverflowError):
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _count(number: Json, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
