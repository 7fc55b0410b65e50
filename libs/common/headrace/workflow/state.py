"""What a run and its steps can be, which moves exist, and `fold`: how one event changes a run's state.

`MOVES_OF_RUN` and `MOVES_OF_STEP` are the one table of section "States" of the documentation; the SQL guards
and the picture in the docs are generated from them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from headrace.json_types import Json, JsonObject


class RunStatus(StrEnum):
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    WAITING = "WAITING"
    PAUSED = "PAUSED"
    COMPENSATING = "COMPENSATING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


class StepStatus(StrEnum):
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    WAITING = "WAITING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    CACHED = "CACHED"
    UNKNOWN = "UNKNOWN"
    CANCELED = "CANCELED"
    COMPENSATED = "COMPENSATED"


_R, _S = RunStatus, StepStatus

MOVES_OF_RUN: Mapping[RunStatus, frozenset[RunStatus]] = {
    _R.QUEUED: frozenset({_R.RUNNING, _R.FAILED, _R.CANCELED}),
    _R.RUNNING: frozenset({_R.WAITING, _R.PAUSED, _R.COMPENSATING, _R.SUCCESS, _R.FAILED, _R.CANCELED}),
    _R.WAITING: frozenset({_R.RUNNING, _R.COMPENSATING, _R.FAILED, _R.CANCELED}),
    _R.PAUSED: frozenset({_R.RUNNING, _R.FAILED, _R.CANCELED}),
    _R.COMPENSATING: frozenset({_R.FAILED, _R.CANCELED}),
    _R.SUCCESS: frozenset(),
    _R.FAILED: frozenset(),
    _R.CANCELED: frozenset(),
}

MOVES_OF_STEP: Mapping[StepStatus, frozenset[StepStatus]] = {
    _S.QUEUED: frozenset({_S.RUNNING, _S.SKIPPED, _S.CANCELED}),
    _S.RUNNING: frozenset({_S.WAITING, _S.SUCCESS, _S.FAILED, _S.CACHED, _S.UNKNOWN, _S.CANCELED}),
    _S.WAITING: frozenset({_S.RUNNING, _S.FAILED, _S.CANCELED}),
    _S.UNKNOWN: frozenset({_S.SUCCESS, _S.FAILED, _S.QUEUED, _S.CANCELED}),
    _S.SUCCESS: frozenset({_S.COMPENSATED}),
    _S.FAILED: frozenset(),
    _S.SKIPPED: frozenset(),
    _S.CACHED: frozenset(),
    _S.CANCELED: frozenset(),
    _S.COMPENSATED: frozenset(),
}

ENDED_RUN = frozenset({_R.SUCCESS, _R.FAILED, _R.CANCELED})
ENDED_STEP = frozenset({_S.SUCCESS, _S.FAILED, _S.SKIPPED, _S.CACHED, _S.CANCELED, _S.COMPENSATED})


class EventKind(StrEnum):
    """What an event says; the shape of its `data` is in contracts/messages/event.json."""

    CLAIMED = "claimed"  # raises the fence and changes nothing else
    STARTED = "started"  # a step's attempt begins
    ATTEMPTED = "attempted"  # an attempt failed and another will follow
    COMPLETED = "completed"  # a step ended, or ended in doubt (UNKNOWN)
    PARKED = "parked"  # the run waits; nobody holds it
    FINISHED = "finished"  # the run ended by itself, SUCCESS or FAILED
    CANCELED = "canceled"  # the run ended because a person asked


class ParkReason(StrEnum):
    """Why a run waits."""

    RETRY = "RETRY"  # a step's next attempt is due at a time
    TIMER = "TIMER"  # a step waits for a time
    APPROVAL = "APPROVAL"  # a person decides
    SIGNAL = "SIGNAL"  # a message is to come
    CHILD = "CHILD"  # a child run is under way
    BLOCKED = "BLOCKED"  # a connection's limit, or its open breaker
    HANDED_BACK = "HANDED_BACK"  # the runner is leaving, or held the run for long: due at once
    PAUSED = "PAUSED"  # a person asked for it
    CONCURRENCY = "CONCURRENCY"  # as many runs as its workflow allows are unfinished
    IN_DOUBT = "IN_DOUBT"  # an unsafe call was sent and not answered: a person decides
    DEAD_LETTER = "DEAD_LETTER"  # claimed again and again without progress: a person decides


class WaitKind(StrEnum):
    """What a WAITING step waits for."""

    RETRY = "RETRY"
    REPEAT = "REPEAT"
    BLOCKED = "BLOCKED"
    TIMER = "TIMER"
    APPROVAL = "APPROVAL"
    SIGNAL = "SIGNAL"
    CHILD = "CHILD"


class MessageKind(StrEnum):
    SIGNAL = "SIGNAL"
    DECISION = "DECISION"
    CHILD_ENDED = "CHILD_ENDED"
    SETTLE = "SETTLE"


@dataclass(frozen=True, slots=True)
class Message:
    """What a person, a child run or an external system says to a run. `seq` counts a run's messages from 1;
    `step` is the row key that it is for, a signal's `name` the wait that it is for."""

    seq: int
    kind: MessageKind
    step: str | None
    name: str | None
    data: JsonObject


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a step or run failed, as data. `code` is stable, `message` is free of secrets and of data."""

    code: str
    message: str

    def as_json(self) -> JsonObject:
        return {"code": self.code, "message": self.message}

    @staticmethod
    def from_json(value: Json) -> "Failure | None":
        if not isinstance(value, dict):
            return None
        return Failure(str(value.get("code", "UNKNOWN")), str(value.get("message", "")))


@dataclass(frozen=True, slots=True)
class StepState:
    """One step of one run, as its events tell.

    `attempts` counts attempts that ended. `in_flight` is true between the `started` of a call that can not
    be repeated safely and its end: at a take-over such a step is in doubt.
    """

    status: StepStatus = StepStatus.QUEUED
    attempts: int = 0
    output: Json = None
    error: Failure | None = None
    retry_at: datetime | None = None
    in_flight: bool = False


@dataclass(frozen=True, slots=True)
class RunState:
    """One run, as its events tell: all that `decide` looks at beside the graph and the time."""

    status: RunStatus = RunStatus.QUEUED
    steps: Mapping[str, StepState] = field(default_factory=dict)
    result: Json = None
    error: Failure | None = None
    cancel: bool = False

    def step(self, key: str) -> StepState:
        return self.steps.get(key, _NOT_BEGUN)


_NOT_BEGUN = StepState()


class IllegalMove(Exception):
    """An event asks for a move that the table does not have; the event's writer is at fault."""


@dataclass(frozen=True, slots=True)
class Change:
    """The part of an event that `fold` reads."""

    kind: EventKind
    step: str | None
    data: JsonObject


def fold(state: RunState, change: Change) -> RunState:
    """The state after one event. Pure; the twin of `decide`. Raises `IllegalMove`.

    A run that has ended stays as it is.
    """
    if state.status in ENDED_RUN:
        return state
    match change.kind:
        case EventKind.CLAIMED:
            return state  # rule mark_only_fences: the mark raises the fence and changes nothing else
        case EventKind.STARTED | EventKind.ATTEMPTED | EventKind.COMPLETED:
            if change.step is None:
                raise IllegalMove(f"{change.kind} without a step")
            step = _fold_step(state.step(change.step), change)
            return replace(state, status=RunStatus.RUNNING, steps={**state.steps, change.step: step})
        case EventKind.PARKED:
            return replace(state, status=_move_run(state.status, RunStatus.WAITING))
        case EventKind.FINISHED:
            status = RunStatus(str(change.data["status"]))
            return replace(
                _cancel_open_steps(state),
                status=_move_run(state.status, status),
                result=change.data.get("result"),
                error=Failure.from_json(change.data.get("error")),
            )
        case EventKind.CANCELED:
            return replace(_cancel_open_steps(state), status=_move_run(state.status, RunStatus.CANCELED))
        case _:
            assert_never(change.kind)


def _fold_step(step: StepState, change: Change) -> StepState:
    data = change.data
    match change.kind:
        case EventKind.STARTED:
            if step.status is StepStatus.RUNNING:
                return replace(step, in_flight=bool(data.get("unsafe")))
            status = move_step(step.status, StepStatus.RUNNING)
            return replace(step, status=status, retry_at=None, in_flight=bool(data.get("unsafe")))
        case EventKind.ATTEMPTED:
            retry_at = data.get("retryAt")
            waiting = StepStatus.WAITING if retry_at else StepStatus.RUNNING
            status = step.status if step.status is waiting else move_step(step.status, waiting)
            return replace(
                step,
                status=status,
                attempts=step.attempts + 1,
                error=Failure.from_json(data.get("error")),
                retry_at=datetime.fromisoformat(str(retry_at)) if retry_at else None,
                in_flight=False,
            )
        case _:
            target = StepStatus(str(data["status"]))
            if step.status in (StepStatus.QUEUED, StepStatus.WAITING) and target in _AFTER_RUNNING:
                step = replace(step, status=move_step(step.status, StepStatus.RUNNING))
            return replace(
                step,
                status=move_step(step.status, target),
                attempts=step.attempts + (1 if data.get("attempt") else 0),
                output=data.get("output"),
                error=Failure.from_json(data.get("error")),
                retry_at=None,
                in_flight=False,
            )


# A step whose `started` travels with its end (a transform) is folded in one go.
_AFTER_RUNNING = frozenset({_S.SUCCESS, _S.FAILED, _S.UNKNOWN})


def _cancel_open_steps(state: RunState) -> RunState:
    """Steps that had begun and not ended when the run ended are canceled with it. One in doubt stays in doubt:
    that the run is over does not tell whether its call arrived."""
    return replace(
        state,
        steps={
            key: step
            if step.status in ENDED_STEP or step.status is StepStatus.UNKNOWN
            else replace(step, status=StepStatus.CANCELED, in_flight=False)
            for key, step in state.steps.items()
        },
    )


def move_step(old: StepStatus, new: StepStatus) -> StepStatus:
    """`new`, if the table has the arrow; `IllegalMove` otherwise."""
    if new not in MOVES_OF_STEP[old]:
        raise IllegalMove(f"step: {old} does not become {new}")
    return new


def _move_run(old: RunStatus, new: RunStatus) -> RunStatus:
    # The claim itself moves the row to RUNNING; a folded history has no event for that.
    if old in (RunStatus.QUEUED, RunStatus.WAITING) and new is not old:
        old = RunStatus.RUNNING
    if new is not old and new not in MOVES_OF_RUN[old]:
        raise IllegalMove(f"run: {old} does not become {new}")
    return new
