"""Past states: at each revision of any run, what the reporter's rows said at that moment."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from headrace.errors import Conflict, InvalidInput
from headrace.ids import new_id
from headrace.messages import Event
from headrace.workflow.graph import Graph
from headrace.workflow.state import EventKind, Failure, RunStatus, StepState, StepStatus
from headrace_control.revisions.folding import Folding
from headrace_control.revisions.model import (
    PastRun,
    PastStep,
    Revision,
    StoredEvent,
    TakenRow,
    read_revision,
    write_revision,
)
from headrace_control.revisions.notes import note
from headrace_control.revisions.service import steps_page
from headrace_reporter.changes import StepRow
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.unit.workflow_decide.answers import ANSWERS, UNSAFE, thorough
from tests.unit.workflow_decide.graphs import graphs, risky
from tests.unit.workflow_decide.table import Table
from tests.unit.workflow_decide.world import World

# Each example asks at every revision.
some = settings(thorough, max_examples=60)
RUN, AT = new_id(), datetime(2026, 11, 1, tzinfo=UTC)


@some
@given(graphs() | risky(), ANSWERS, UNSAFE)
def test_each_past_state_is_what_the_rows_were(
    graph: Graph, answers: list[int], unsafe: frozenset[str]
) -> None:
    world = World(graph, answers, unsafe)
    world.live()
    follow(history(world), Table(new_id(), new_id()), Folding({}, undoes=False))


@some
@given(graphs(calm=True), ANSWERS, UNSAFE, ANSWERS)
def test_so_it_is_of_a_run_that_undoes_another(
    graph: Graph, answers: list[int], unsafe: frozenset[str], undoing: list[int]
) -> None:
    origin = World(graph, answers[:30], unsafe)
    origin.live()
    assume(origin.table.status is RunStatus.SUCCESS)
    done = dict(origin.table.steps)
    world = World(graph, undoing, unsafe, origin=done)
    world.live()
    table = Table(new_id(), new_id(), {key: replace(row) for key, row in done.items()}, new_id())
    follow(history(world), table, Folding({}, undoes=True))


def history(world: World) -> Sequence[Event]:
    """Each event of a run once; nothing after its end."""
    once = {(event.epoch, event.seq): event for event in world.partition}
    return [event for _, event in sorted(once.items())]


def follow(events: Sequence[Event], table: Table, folding: Folding) -> None:
    """Apply event by event by the reporter's projection, and fold; the steps are the same after each. The mark of a
    claim changes nothing and is not stored."""
    payloads: dict[tuple[int, int], Mapping[str, Any]] = {}
    for event in events:
        place = (event.epoch, event.seq)
        payloads[place] = event.data
        table.epoch, table.claim_open = event.epoch, True
        own = replace(event, tenant_id=table.tenant_id, run_id=table.run_id)
        table.apply([own], event.at)
        if event.kind is EventKind.CLAIMED:
            continue
        folding.add(stored(event))
        assert note(stored(event)).endswith(".")
        steps = folding.steps(RUN)
        assert set(steps) == set(table.steps)
        for key, row in table.steps.items():
            same(steps[key], row, payloads)
    assert folding.state.status is table.status
    assert folding.used == table.used


def stored(event: Event) -> StoredEvent:
    """As the query reads it: without what may be large."""
    data = {name: value for name, value in event.data.items() if name not in ("input", "output", "result")}
    if isinstance(wait := data.get("wait"), dict):
        data["wait"] = {name: wait.get(name) for name in ("kind", "until", "name")}
    data["input"] = "input" in event.data
    return StoredEvent((event.epoch, event.seq), event.kind, event.step, event.at, data)


def same(past: PastStep, row: StepRow, payloads: Mapping[tuple[int, int], Mapping[str, Any]]) -> None:
    state = past.state
    assert (state.status, state.attempts, state.error) == (
        row.status,
        row.attempts,
        Failure.from_json(row.error),
    )
    assert (state.round, state.items, past.started_at) == (row.round, row.items, row.started_at)
    output = payloads[past.output_of].get("output") if past.output_of else None
    given_ = payloads[past.input_of]["input"] if past.input_of else None
    assert (output, given_) == (row.output, row.input)
    if row.status is not StepStatus.CANCELED:  # by the end of the run
        assert (state.retry_at, past.finished_at) == (row.retry_at, row.finished_at)
        kinds = [wait.get("kind") if wait else None for wait in (state.wait, row.wait)]
        assert kinds[0] == kinds[1]


def test_what_was_taken_over_is_there_from_the_beginning() -> None:
    origin = new_id()
    done = TakenRow(StepState(StepStatus.SUCCESS), AT, AT, origin)
    opened = TakenRow(StepState(StepStatus.RUNNING, items=2), AT, None, origin)
    folding = Folding({"a": done, "each": opened}, undoes=False)
    assert {key: row.state.status for key, row in folding.steps(RUN).items()} == {
        "a": StepStatus.SUCCESS,
        "each": StepStatus.RUNNING,
    }
    folding.add(StoredEvent((1, 1), EventKind.COMPLETED, "each", AT, {"status": "SUCCESS"}))
    folding.add(StoredEvent((1, 2), EventKind.COMPLETED, "a.undo", AT, {"status": "SUCCESS"}))
    rows = folding.steps(RUN)
    assert {key: (row.state.status, row.output_of) for key, row in rows.items()} == {
        "a": (StepStatus.COMPENSATED, (0, 0)),
        "each": (StepStatus.SUCCESS, (1, 1)),
        "a.undo": (StepStatus.SUCCESS, (1, 2)),
    }


def test_a_history_that_no_run_can_have_is_told() -> None:
    folding = Folding({}, undoes=False)
    with pytest.raises(Conflict, match=r"beyond its event 1\.1$"):
        folding.add(StoredEvent((1, 1), EventKind.SETTLED, "a", AT, {"status": "SUCCESS"}))


@given(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1))
def test_a_revision_is_read_as_it_is_written(epoch: int, seq: int) -> None:
    assert read_revision(write_revision((epoch, seq))) == (epoch, seq)


@pytest.mark.parametrize("text", ["", "1", "1.", ".1", "1.2.3", "-1.2", "1.x", "1.²", f"{2**31}.1", "9" * 99])
def test_what_is_no_revision_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_revision(text)
    assert refused.value.problems[0].path == "at.revision"


def test_steps_come_in_the_order_of_the_version_page_by_page() -> None:
    rows = ["b[10]", "b[2].undo", "b[2]", "b", "c.probe", "c", "a.undo", "a"]
    steps = {key: PastStep(RUN, key, StepState(StepStatus.RUNNING)) for key in rows}
    past = PastRun(
        RUN, RUN, Revision((1, 1), AT, "."), RunStatus.RUNNING, None, None, None, steps, (), None,
        {key: n for n, key in enumerate(["c", "b", "later", "a"])},
    )  # fmt: skip
    seen: list[str] = []
    after = None
    while True:
        page = steps_page(past, 2, after)
        seen += [row.key for row in page.items]
        if not page.has_next_page:
            break
        after = page.end_cursor
    assert seen == ["c", "c.probe", "b", "b[2]", "b[2].undo", "b[10]", "later", "a", "a.undo"]
    ended = replace(past, status=RunStatus.FAILED)
    assert "later" not in [row.key for row in steps_page(ended, 50, None).items]


@pytest.mark.parametrize(
    ("kind", "data", "said"),
    [
        ("started", {"attempt": 2}, "Step pay began, attempt 2."),
        ("started", {"items": 1}, "Loop pay began with 1 item."),
        (
            "attempted",
            {"error": {"code": "HTTP_503", "message": "busy"}, "retryAt": "2026-11-01T01:00:00+01:00"},
            "An attempt of step pay failed (HTTP_503: busy); the next one is due at 2026-11-01T00:00:00Z.",
        ),
        ("attempted", {"round": 2}, "Round 2 of step pay is over."),
        ("waiting", {"wait": {"kind": "SIGNAL", "name": "paid"}}, "Step pay waits for a signal paid."),
        (
            "waiting",
            {"wait": {"kind": "TIMER", "until": "0001-01-01T00:00:00+01:00"}},
            "Step pay waits for a time, until 0001-01-01T00:00:00+01:00 at the latest.",
        ),
        ("reminded", {}, "Nobody has decided step pay yet: a reminder was due."),
        ("completed", {"status": "UNKNOWN"}, "Step pay ended in doubt: its call may have been made."),
        ("settled", {"status": "QUEUED"}, "The doubt about step pay was settled: it is done again."),
        ("compensating", {"outcome": "FAILED"}, "The run turned to undoing what it did, to end FAILED."),
        ("parked", {"reason": "PAUSED"}, "The run waits: somebody paused it."),
        ("finished", {"status": "SUCCESS"}, "The run ended: SUCCESS."),
        ("canceled", {}, "The run was canceled."),
    ],
)
def test_a_note_says_what_happened(kind: str, data: dict[str, Any], said: str) -> None:
    step = None if kind in ("compensating", "parked", "finished", "canceled") else "pay"
    assert note(StoredEvent((1, 1), EventKind(kind), step, AT, data)) == said
