"""What must be true of a run that has ended."""

import re
from collections.abc import Collection

from headrace.workflow.conditions import ConditionFailed
from headrace.workflow.document import Ending, StepType
from headrace.workflow.fold import Change, fold
from headrace.workflow.keys import read_key, undo_key
from headrace.workflow.state import ENDED_STEP, EventKind, RunState, RunStatus, StepStatus

from tests.unit.workflow_decide.checks import undoable
from tests.unit.workflow_decide.holder import LOST
from tests.unit.workflow_decide.oracle import SETTLED, is_dealt_with, is_ready
from tests.unit.workflow_decide.table import same_as
from tests.unit.workflow_decide.world import World, undone_in_order

_FAILED_STEP = re.compile("^step ([a-z0-9_]+) failed: ")


def check_end(world: World) -> None:
    """The end is explained by what happened, every step has its due, and nothing can change it any more."""
    table, state = world.table, world.folded_history()
    same_as(table, state)
    assert table.status is state.status
    assert table.ended is not None
    assert table.ended.error == (state.error.as_json() if state.error else None)
    for key, step in state.steps.items():
        over = step.status in ENDED_STEP or step.status is StepStatus.UNKNOWN  # in doubt, for ever
        assert over, f"{key} is {step.status} in a run that ended"
    _check_why(world, state)
    _check_loops(world, state)
    undone_in_order(world)
    _check_undone(world, state)
    used = [seq for event in world.partition for seq in event.data.get("inbox", ())]
    assert len(set(used)) == len(used)
    assert table.used == set(used)
    _check_stable(world, state)


def _check_why(world: World, state: RunState) -> None:
    graph, table = world.graph, world.table
    failed = [key for key in graph.order if state.step(key).status is StepStatus.FAILED]
    fatal = [key for key in failed if not is_dealt_with(graph, state, key)]
    early = [k for k in graph.order if graph.steps[k].type == StepType.SUCCEED and _went_well(state, k)]
    assert len(early) <= 1
    if early and fatal:
        ends = [
            e.step for e in world.partition if e.data.get("status") in (StepStatus.SUCCESS, StepStatus.FAILED)
        ]
        assert ends.index(early[0]) < min(map(ends.index, fatal)), "what was on record did not stand"
    if table.undoes is not None:
        assert (state.status is RunStatus.FAILED) == bool(state.error)
        return
    match state.status:
        case RunStatus.SUCCESS:
            assert early or not fatal
            for key in graph.order if not early else ():
                _check_due(world, state, key)
        case RunStatus.FAILED:
            late = world.deadline is not None and world.now >= world.deadline
            assert fatal or late
            assert not early
            assert state.error is not None
            if named := _FAILED_STEP.search(state.error.message):
                assert named[1] == _first_to_fail(world, fatal), "another one failed first"
        case _:
            assert state.status is RunStatus.CANCELED
            assert table.cancel_requested


def _first_to_fail(world: World, steps: Collection[str]) -> str:
    ends = [e.step for e in world.partition if e.data.get("status") == StepStatus.FAILED]
    return min(steps, key=ends.index)


def _went_well(state: RunState, key: str) -> bool:
    return state.step(key).status is StepStatus.SUCCESS


def _check_due(world: World, state: RunState, key: str) -> None:
    row = state.step(key)
    assert row.status in SETTLED
    try:
        expected = is_ready(world.graph, state, key)
    except ConditionFailed:
        expected = None if row.status is StepStatus.FAILED else True
    assert (row.status is StepStatus.SKIPPED) == (expected is False), f"{key} is {row.status}"


def _check_loops(world: World, state: RunState) -> None:
    """The results of a loop are those of its items, in their order."""
    well = (StepStatus.SUCCESS, StepStatus.COMPENSATED)
    for key in world.graph.order:
        row = state.step(key)
        if row.items is None or row.status not in well:
            continue
        assert isinstance(row.output, dict)
        results = row.output["results"]
        assert isinstance(results, list)
        items = [state.step(f"{key}[{n}]") for n in range(row.items)]
        assert results == [item.output if item.status in well else None for item in items]
        left = {item.status for item in items}
        undone = StepStatus.COMPENSATED in left and StepStatus.SUCCESS not in left
        assert (row.status is StepStatus.COMPENSATED) == undone, f"{key} is {row.status}"
        for n, result in enumerate(results):
            own = (f"{key}[{n}]", f"{key}[{n}].probe")
            assert result is None or (isinstance(result, dict) and result.get("row") in own)


def _check_undone(world: World, state: RunState) -> None:
    """A run that was compensated has undone all that was done, or says that it could not."""
    turned = any(event.kind is EventKind.COMPENSATING for event in world.partition)
    to_undo = turned or (state.status is RunStatus.CANCELED and Ending.CANCEL in world.graph.compensate_on)
    for key in state.steps if to_undo and world.table.undoes is None else ():
        if undoable(world.graph, state, key):
            _check_answered(world, key)
    if not turned and world.table.undoes is None:
        assert not any(read_key(key).part and key.endswith(".undo") for key in state.steps)
        return
    failed = []
    for key, row in state.steps.items():
        if not undoable(world.graph, state, key):
            continue
        if row.status is StepStatus.SUCCESS:
            assert state.step(undo_key(key)).status is StepStatus.FAILED, f"{key} is not undone"
            failed.append(key)
        if world.table.undoes is None:
            assert row.status is not StepStatus.UNKNOWN
    told = state.error is not None and state.error.code == "COMPENSATION_FAILED"
    assert told == bool(failed)


def _check_answered(world: World, key: str) -> None:
    """All calls of a step that can be undone were answered, or else the last word on it is its end, however its next
    attempt was put off."""
    begun = may_be_done = False
    for event in world.partition:
        if event.step != key:
            continue
        if event.kind is EventKind.STARTED:
            may_be_done |= begun  # its runner died in the attempt before
            begun = True
        elif event.kind is EventKind.ATTEMPTED:
            lost = event.data.get("error") == LOST
            may_be_done, begun = "round" not in event.data and (may_be_done or lost), False
        elif event.kind in (EventKind.COMPLETED, EventKind.SETTLED):
            may_be_done = begun = False
        elif event.kind is EventKind.WAITING:
            may_be_done, begun = may_be_done or begun, False
    assert not any((may_be_done, begun)), f"{key} may have been done and is not undone"


def _check_stable(world: World, state: RunState) -> None:
    table = world.table
    before = (dict(table.steps), table.status, table.fence, table.due)
    for event in world.partition:
        change = Change(event.kind, event.step, event.data, (event.epoch, event.seq))
        assert fold(state, change) is state
        table.apply([event], world.now)
    table.apply(list(reversed(world.partition)), world.now)
    assert (table.steps, table.status, table.fence, table.due) == before
