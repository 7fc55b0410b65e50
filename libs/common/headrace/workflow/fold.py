"""`fold`: how one event changes a run's state. Pure; the twin of `headrace.workflow.decide.decide`."""

from datetime import datetime
from typing import NamedTuple, assert_never

from headrace.json_types import Json, JsonObject
from headrace.workflow.keys import Part, item_key, read_key
from headrace.workflow.state import (
    ENDED_RUN,
    ENDED_STEP,
    MOVES_OF_RUN,
    MOVES_OF_STEP,
    EventKind,
    Failure,
    Message,
    Place,
    RunState,
    RunStatus,
    Steps,
    StepState,
    StepStatus,
    Undoing,
    WaitKind,
)


class IllegalMove(Exception):
    """An event asks for a move that the table does not have; the event's writer is at fault."""


class Change(NamedTuple):
    """The part of an event that `fold` reads."""

    kind: EventKind
    step: str | None
    data: JsonObject
    place: Place = (0, 0)


def fold(state: RunState, change: Change) -> RunState:
    """The state after one event. Pure; the twin of `decide`. Raises `IllegalMove`.

    A run that has ended stays as it is.
    """
    if state.status in ENDED_RUN:
        return state
    match change.kind:
        case EventKind.CLAIMED:
            return state  # rule mark_only_fences: the mark raises the fence and changes nothing else
        case (
            EventKind.STARTED
            | EventKind.ATTEMPTED
            | EventKind.WAITING
            | EventKind.REMINDED
            | EventKind.COMPLETED
            | EventKind.SETTLED
        ):
            return _fold_row(state, change)
        case EventKind.COMPENSATING:
            undoing = Undoing.from_json(change.data)
            return state._replace(status=_move_run(state.status, RunStatus.COMPENSATING), undoing=undoing)
        case EventKind.PARKED:
            if state.status is RunStatus.COMPENSATING:
                return state  # it waits as what it is, and goes on from there
            return state._replace(status=_move_run(state.status, RunStatus.WAITING))
        case EventKind.FINISHED:
            status = RunStatus(str(change.data["status"]))
            return state._replace(
                steps=_ended_with_the_run(state.steps),
                status=_move_run(state.status, status),
                result=change.data.get("result"),
                error=Failure.from_json(change.data.get("error")),
            )
        case EventKind.CANCELED:
            return state._replace(
                steps=_ended_with_the_run(state.steps),
                status=_move_run(state.status, RunStatus.CANCELED),
                error=Failure.from_json(change.data.get("error")),
            )
        case _:
            assert_never(change.kind)


def _fold_row(state: RunState, change: Change) -> RunState:
    if change.step is None:
        raise IllegalMove(f"{change.kind} without a step")
    row = _fold_step(state.step(change.step), change)
    steps = state.steps.insert(change.step, row)
    if row.status is StepStatus.SUCCESS and "." in change.step:
        key = read_key(change.step)
        if key.part is Part.UNDO:
            undone = state.step(key.work)
            moved = undone._replace(status=move_step(undone.status, StepStatus.COMPENSATED))
            steps = steps.insert(key.work, moved)
    status = RunStatus.COMPENSATING if state.status is RunStatus.COMPENSATING else RunStatus.RUNNING
    return state._replace(status=status, steps=steps, inbox=_unused(state.inbox, change.data))


def _unused(inbox: tuple[Message, ...], data: JsonObject) -> tuple[Message, ...]:
    used = data.get("inbox")
    if not isinstance(used, list):
        return inbox
    return tuple(message for message in inbox if message.seq not in used)


def until_next(data: JsonObject) -> JsonObject | None:
    """What a row waits for behind an attempt, by the attempt's event: for the next one, if that was put off."""
    if not data.get("retryAt"):
        return None
    wait: JsonObject = {"kind": WaitKind.REPEAT if data.get("round") else WaitKind.RETRY}
    return {**wait, "unanswered": True} if data.get("unanswered") is True else wait


def _fold_step(step: StepState, change: Change) -> StepState:
    data = change.data
    match change.kind:
        case EventKind.STARTED:
            items = data.get("items")
            unsafe = bool(data.get("unsafe"))
            status = step.status
            if status is not StepStatus.RUNNING:
                status = move_step(status, StepStatus.RUNNING)
            return step._replace(
                status=status,
                error=None,
                retry_at=None,
                wait=None,
                in_flight=unsafe,
                items=items if isinstance(items, int) else step.items,
            )
        case EventKind.ATTEMPTED:
            retry_at = data.get("retryAt")
            waiting = StepStatus.WAITING if retry_at else StepStatus.RUNNING
            status = step.status if step.status is waiting else move_step(step.status, waiting)
            number = data.get("round")
            return step._replace(
                status=status,
                attempts=step.attempts + 1,
                error=Failure.from_json(data.get("error")),
                retry_at=_time(retry_at),
                wait=until_next(data),
                in_flight=False,
                round=number if isinstance(number, int) else step.round,
                round_from=step.attempts + 1 if number else step.round_from,
            )
        case EventKind.WAITING:
            wait = data.get("wait")
            if not isinstance(wait, dict):
                raise IllegalMove("waiting does not say for what")
            status = step.status
            if status is StepStatus.QUEUED:  # it waits from the beginning
                status = move_step(status, StepStatus.RUNNING)
            if status is not StepStatus.WAITING:
                status = move_step(status, StepStatus.WAITING)
            until = _time(wait.get("until"))
            return step._replace(status=status, error=None, retry_at=until, wait=wait, in_flight=False)
        case EventKind.REMINDED:
            if step.status is not StepStatus.WAITING or step.wait is None:
                raise IllegalMove("reminded of nothing")
            return step._replace(wait={**step.wait, "remindAt": data.get("remindAt")})
        case EventKind.SETTLED:
            target = StepStatus(str(data["status"]))
            if step.status is not StepStatus.UNKNOWN:
                raise IllegalMove("there is no doubt to settle")
            return _ended(step, target, change, step.attempts)
        case _:
            target = StepStatus(str(data["status"]))
            if step.status in (StepStatus.QUEUED, StepStatus.WAITING) and target in _AFTER_RUNNING:
                step = step._replace(status=move_step(step.status, StepStatus.RUNNING))
            return _ended(step, target, change, attempts=step.attempts + (1 if data.get("attempt") else 0))


def _ended(step: StepState, target: StepStatus, change: Change, attempts: int) -> StepState:
    data = change.data
    return step._replace(
        status=move_step(step.status, target),
        attempts=attempts,
        output=data.get("output"),
        error=Failure.from_json(data.get("error")),
        retry_at=None,
        wait=None,
        in_flight=False,
        done=change.place if target in PLACED else None,
    )


def _time(value: Json) -> datetime | None:
    return datetime.fromisoformat(str(value)) if value else None


# A step whose `started` travels with its end (a transform), or that took a cached result, is folded in one go.
_AFTER_RUNNING = frozenset({StepStatus.SUCCESS, StepStatus.FAILED, StepStatus.CACHED, StepStatus.UNKNOWN})
# What is undone in reverse order; what a probe's answer has to be newer than; and which of several failures was first.
PLACED = frozenset({StepStatus.SUCCESS, StepStatus.UNKNOWN, StepStatus.FAILED})


def _ended_with_the_run(steps: Steps) -> Steps:
    return with_undone_loops(_cancel_open_steps(steps))


def with_undone_loops(steps: Steps) -> Steps:
    """With the loops COMPENSATED of which nothing is left: items were undone, and none is a success any more. They are
    looked for once, at the end: with each undo it would cost a large loop all its items."""
    ended = steps
    for key, loop in steps.items():
        if loop.items is not None and loop.status is StepStatus.SUCCESS:
            items = {item.status for n in range(loop.items) if (item := steps.get(item_key(key, n)))}
            if StepStatus.COMPENSATED in items and StepStatus.SUCCESS not in items:
                ended = ended.insert(key, loop._replace(status=StepStatus.COMPENSATED))
    return ended


def _cancel_open_steps(steps: Steps) -> Steps:
    """Steps that had begun and not ended when the run ended are canceled with it. One in doubt stays in doubt:
    that the run is over does not tell whether its call arrived."""
    ended = steps
    for key, step in steps.items():
        if step.status not in ENDED_STEP and step.status is not StepStatus.UNKNOWN:
            canceled = step._replace(status=StepStatus.CANCELED, retry_at=None, in_flight=False)
            ended = ended.insert(key, canceled)
    return ended


def move_step(old: StepStatus, new: StepStatus) -> StepStatus:
    """`new`, if the table has the arrow; `IllegalMove` otherwise."""
    if new not in MOVES_OF_STEP[old]:
        raise IllegalMove(f"step: {old} does not become {new}")
    return new


def _move_run(old: RunStatus, new: RunStatus) -> RunStatus:
    # The claim itself moves the row to RUNNING; a folded history has no event for that.
    if old in (RunStatus.QUEUED, RunStatus.WAITING, RunStatus.PAUSED) and new is not old:
        old = RunStatus.RUNNING
    if new is not old and new not in MOVES_OF_RUN[old]:
        raise IllegalMove(f"run: {old} does not become {new}")
    return new
