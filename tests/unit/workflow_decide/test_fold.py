"""`fold` by the table: every move that it has is made, every other one is refused."""

from itertools import product
from typing import Any

import pytest
from headrace.json_types import JsonObject
from headrace.workflow.fold import Change, IllegalMove, fold
from headrace.workflow.state import (
    ENDED_RUN,
    ENDED_STEP,
    MOVES_OF_RUN,
    MOVES_OF_STEP,
    EventKind,
    RunState,
    RunStatus,
    StepState,
    StepStatus,
)
from rpds import HashTrieMap

LATER = "2026-11-01T00:00:05+00:00"
ERROR = {"code": "E", "message": "it failed"}
# Begun and ended within one event: a step whose `started` travels with its end.
AT_ONCE = {StepStatus.SUCCESS, StepStatus.FAILED, StepStatus.CACHED, StepStatus.UNKNOWN}


def one_step(status: StepStatus) -> RunState:
    return RunState(RunStatus.RUNNING, HashTrieMap({"a": StepState(status)}))


def folded(status: StepStatus, kind: EventKind, data: JsonObject) -> StepStatus:
    return fold(one_step(status), Change(kind, "a", data)).step("a").status


@pytest.mark.parametrize(("old", "new"), list(product(StepStatus, StepStatus)))
def test_completed_makes_the_moves_of_the_table_alone(old: StepStatus, new: StepStatus) -> None:
    data: JsonObject = {"status": new}
    through_running = new in AT_ONCE and old in (StepStatus.QUEUED, StepStatus.WAITING)
    if new in MOVES_OF_STEP[old] or through_running:
        assert folded(old, EventKind.COMPLETED, data) is new
    else:
        with pytest.raises(IllegalMove):
            folded(old, EventKind.COMPLETED, data)


@pytest.mark.parametrize("old", StepStatus)
def test_started_and_attempted_leave_what_has_ended_alone(old: StepStatus) -> None:
    events: list[tuple[EventKind, JsonObject, StepStatus]] = [
        (EventKind.STARTED, {"attempt": 1, "unsafe": False}, StepStatus.RUNNING),
        (EventKind.ATTEMPTED, {"error": dict(ERROR)}, StepStatus.RUNNING),
        (EventKind.ATTEMPTED, {"error": dict(ERROR), "retryAt": LATER}, StepStatus.WAITING),
    ]
    for kind, data, new in events:
        if old is new or new in MOVES_OF_STEP[old]:
            assert folded(old, kind, data) is new
        else:
            assert old in ENDED_STEP | {StepStatus.QUEUED, StepStatus.UNKNOWN}
            with pytest.raises(IllegalMove):
                folded(old, kind, data)


@pytest.mark.parametrize("old", RunStatus)
@pytest.mark.parametrize(
    ("kind", "data", "new"),
    [
        (EventKind.PARKED, {"reason": "RETRY"}, RunStatus.WAITING),
        (EventKind.FINISHED, {"status": "SUCCESS"}, RunStatus.SUCCESS),
        (EventKind.FINISHED, {"status": "FAILED", "error": ERROR}, RunStatus.FAILED),
        (EventKind.CANCELED, {}, RunStatus.CANCELED),
    ],
)
def test_a_run_moves_by_the_table(old: RunStatus, kind: EventKind, data: Any, new: RunStatus) -> None:
    state = RunState(
        old, HashTrieMap({"a": StepState(StepStatus.RUNNING), "b": StepState(StepStatus.SUCCESS)})
    )
    # A claim sets RUNNING on the row, without an event; so that is where these begin.
    unheld = (RunStatus.QUEUED, RunStatus.WAITING, RunStatus.PAUSED)
    begin = RunStatus.RUNNING if old in unheld else old
    if old in ENDED_RUN or (old is RunStatus.COMPENSATING and kind is EventKind.PARKED):
        assert (
            fold(state, Change(kind, None, data)) is state
        )  # a run that is being undone waits as what it is
    elif new in MOVES_OF_RUN[begin] or new is old:
        after = fold(state, Change(kind, None, data))
        assert after.status is new
        ended = StepStatus.CANCELED if new in ENDED_RUN else StepStatus.RUNNING
        assert (after.step("a").status, after.step("b").status) == (ended, StepStatus.SUCCESS)
    else:
        with pytest.raises(IllegalMove):
            fold(state, Change(kind, None, data))


def test_the_mark_changes_nothing() -> None:
    state = one_step(StepStatus.RUNNING)
    assert fold(state, Change(EventKind.CLAIMED, None, {})) is state


@pytest.mark.parametrize("kind", [EventKind.STARTED, EventKind.ATTEMPTED, EventKind.COMPLETED])
def test_an_event_about_a_step_names_it(kind: EventKind) -> None:
    with pytest.raises(IllegalMove):
        fold(one_step(StepStatus.RUNNING), Change(kind, None, {"status": "SUCCESS"}))


def test_what_has_ended_is_where_the_table_ends() -> None:
    assert {status for status in RunStatus if not MOVES_OF_RUN[status]} == ENDED_RUN
    assert {status for status in StepStatus if not MOVES_OF_STEP[status]} | {StepStatus.SUCCESS} == ENDED_STEP
