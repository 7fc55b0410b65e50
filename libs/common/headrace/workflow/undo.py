"""Compensation: what a run that is COMPENSATING does next. Pure; used by `decide`."""

from collections.abc import Collection, Sequence
from datetime import datetime

from headrace.workflow.commands import Cancel, Command, Finish, Park, Start
from headrace.workflow.doubt import settle
from headrace.workflow.frontier import Frontier
from headrace.workflow.idempotency import NOT_ANSWERED_BEHIND
from headrace.workflow.keys import probe_key, read_key, undo_key
from headrace.workflow.state import (
    Failure,
    ParkReason,
    RunState,
    RunStatus,
    StepState,
    StepStatus,
    Undoing,
    WaitKind,
)
from headrace.workflow.waiting import Waits, over, settlement

_SHOWN = 10
# How many calls are asked about side by side.
MOST_PROBES = 20
# Failures of a call that may have been carried out (see `headrace.outbound.failures`): nobody answered, or a gateway
# that had no answer itself.
_NOT_ANSWERED = frozenset(
    {"TIMEOUT", "CONNECTION_LOST"} | {f"HTTP_{status}" for status in NOT_ANSWERED_BEHIND}
)


def undo(
    frontier: Frontier, state: RunState, undoing: Undoing, now: datetime, running: Collection[str]
) -> Sequence[Command]:
    """One compensation after another, in the reverse order in which the steps were completed.

    rule compensate_after_children: children that were under way are waited for first (they were asked to cancel); one
    that ended well meanwhile is undone too. So is whoever settles a doubt about what could be undone. A compensation
    that failed for good is passed over, and told of at the end. Neither a cancel (rule cancel_spares_compensation) nor
    the run's time limit ends this.
    """
    if running:
        return ()
    waits = Waits()
    children = [key for key in frontier.open if _waits_for_child(state.step(key)) and "." not in key]
    ended = [command for key in children if (command := over(key, state.step(key), state, now, waits))]
    if ended:
        return ended
    if waits.reasons:
        return (Park(ParkReason.CHILD, None),)
    if commands := _ask_again(frontier, state, now):
        return commands
    if commands := _settle_doubts(frontier, state, undoing, now):
        return commands
    failed: list[str] = []
    # rule undo_in_reverse: by the places of the events that completed them, not by clocks. rule undo_once: what is
    # COMPENSATED is not among them any more.
    for _, key in reversed(frontier.done):
        row = state.step(undo_key(key))
        if row.status is StepStatus.FAILED:
            failed.append(key)
            continue
        return (_next(undo_key(key), row, state, now),)
    error = _told(undoing.error, failed)
    return (Cancel(error),) if undoing.outcome is RunStatus.CANCELED else (Finish(error),)


def may_be_done(row: StepState) -> bool:
    """Whether a call of a row that is under way may have been carried out, with nobody to tell. Of one that stands
    between two attempts the last alone is known."""
    between = row.status is StepStatus.RUNNING and row.attempts - row.round_from > 1
    return between or unanswered(row)


def waits_to_ask(row: StepState) -> bool:
    """Whether the row waits for another attempt at a call that may have been carried out."""
    return row.status is StepStatus.WAITING and unanswered(row)


def not_answered(error: Failure | None) -> bool:
    """Whether a call that failed so may have been carried out, with nobody to tell."""
    return error is not None and error.code in _NOT_ANSWERED


def unanswered(row: StepState) -> bool:
    """Whether a call of the row was begun, and nobody answered it. Whoever puts the next attempt off says so in
    its wait, where nothing else tells of the attempts before."""
    lost = not_answered(row.error)
    wait = row.wait or {}
    match row.status:
        case StepStatus.RUNNING:
            return lost or row.error is None
        case StepStatus.WAITING if wait.get("kind") in (WaitKind.BLOCKED, WaitKind.GATE):
            return wait.get("unanswered") is True
        case StepStatus.WAITING:
            return wait.get("kind") == WaitKind.RETRY and (lost or wait.get("unanswered") is True)
        case _:
            return False


def _ask_again(frontier: Frontier, state: RunState, now: datetime) -> Sequence[Command]:
    """rule turn_after_answers, for calls whose next attempt was put off: it is made when it is due. One that a runner
    began here, and did not live to hear the answer of, is made once more."""
    waits = Waits()
    commands: list[Command] = []
    for key in frontier.open:
        name, row = read_key(key), state.step(key)
        if name.part is not None or row.items is not None or not frontier.graph.undoable(name.step):
            continue
        # Nobody's approval is waited for: what may have been done is to be known.
        gated = waits_to_ask(row) and (row.wait or {}).get("kind") == WaitKind.GATE
        if gated or (row.status is StepStatus.RUNNING and may_be_done(row)):
            commands.append(Start(key))
        elif waits_to_ask(row) and (again := over(key, row, state, now, waits)):
            commands.append(again)
    if not commands and waits.reasons:
        return (Park(waits.reason, waits.wake),)
    return commands[:MOST_PROBES]


def _settle_doubts(frontier: Frontier, state: RunState, undoing: Undoing, now: datetime) -> Sequence[Command]:
    """What tells whether calls in doubt were made (rule turn_after_answers): only then they can be undone.

    A run that undoes another takes its steps as that one left them.
    """
    if undoing.outcome is RunStatus.SUCCESS:
        return ()
    commands: list[Command] = []
    waits, in_doubt = Waits(), False
    for key in frontier.open:
        name, row = read_key(key), state.step(key)
        if (
            name.part is not None
            or row.status is not StepStatus.UNKNOWN
            or not frontier.graph.undoable(name.step)
        ):
            continue
        probe = state.step(probe_key(key))
        if command := settle(frontier, state, key, ()):
            commands.append(command)
        elif probe.status is StepStatus.WAITING:
            if again := over(probe_key(key), probe, state, now, waits):
                commands.append(again)
        elif probe.status is StepStatus.RUNNING:
            commands.append(Start(probe_key(key)))
        else:
            in_doubt = True
    if not commands and (in_doubt or waits.reasons):
        return (Park(ParkReason.IN_DOUBT if in_doubt else waits.reason, waits.wake),)
    return commands[:MOST_PROBES]


def _next(key: str, row: StepState, state: RunState, now: datetime) -> Command:
    match row.status:
        case StepStatus.WAITING:
            waits = Waits()
            return over(key, row, state, now, waits) or Park(waits.reason, waits.wake)
        case StepStatus.UNKNOWN:
            return settlement(key, state) or Park(ParkReason.IN_DOUBT, None)
        case _:
            return Start(key)


def _waits_for_child(row: StepState) -> bool:
    return row.status is StepStatus.WAITING and (row.wait or {}).get("kind") == WaitKind.CHILD


def _told(error: Failure | None, failed: list[str]) -> Failure | None:
    if not failed:
        return error
    names = ", ".join(failed[:_SHOWN]) + (" and others" if len(failed) > _SHOWN else "")
    why = f"{error.message}; " if error else ""
    return Failure("COMPENSATION_FAILED", f"{why}what these steps did could not be undone: {names}")
