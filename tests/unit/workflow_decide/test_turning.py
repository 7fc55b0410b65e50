"""`decide` where a run turns to its end or its undoing, by examples: no order of random events has to come by."""

from datetime import UTC, datetime

import pytest
from headrace.workflow.commands import Cancel, Command, Compensate, Finish, Park, Start
from headrace.workflow.decide import decide
from headrace.workflow.document import Child, Compensation, Document, Edge, Step, StepType
from headrace.workflow.frontier import Frontier
from headrace.workflow.graph import Graph
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
from rpds import HashTrieMap

NOW = datetime(2026, 11, 1, tzinfo=UTC)
UNDO = Compensation("app/undo")
DONE = StepState(StepStatus.SUCCESS, 1, done=(1, 1))
LATER = DONE._replace(done=(1, 2))
FAILED = StepState(StepStatus.FAILED, 1, error=Failure("HTTP_500", "it said no"))
LOST = Failure("TIMEOUT", "no answer")
TURNED = Compensate(Undoing(RunStatus.FAILED, Failure("HTTP_500", "step fails failed: it said no")))


def graph_of(*steps: Step) -> Graph:
    """Steps of which none waits for another."""
    first = Step("first", StepType.TRANSFORM)
    return Graph.of(Document("w", (first, *steps), tuple(Edge("first", step.key) for step in steps)))


def state_of(**rows: StepState) -> RunState:
    first = StepState(StepStatus.SUCCESS, 1)
    return RunState(RunStatus.RUNNING, HashTrieMap({"first": first, **rows}))


def turned(state: RunState, outcome: RunStatus = RunStatus.FAILED) -> RunState:
    return state._replace(status=RunStatus.COMPENSATING, undoing=Undoing(outcome))


@pytest.mark.parametrize(
    ("told", "ending"),
    [({}, Finish(TURNED.undoing.error)), ({"cancel": True}, Cancel()), ({"pause": True}, None)],
)
def test_a_run_is_left_when_nothing_is_under_way(told: dict[str, bool], ending: Command | None) -> None:
    """rule leave_when_still"""
    graph = graph_of(Step("fails"), Step("slow"))
    rows = {"slow": StepState(StepStatus.RUNNING)}
    if "pause" in told:
        ending = Park(ParkReason.PAUSED, None)
    else:
        rows["fails"] = FAILED
    state = state_of(**rows)._replace(**told)
    assert list(decide(graph, state, NOW, ["slow"])) == []
    assert list(decide(graph, state, NOW, [])) == [ending]


@pytest.mark.parametrize("cancel", [False, True])
def test_a_run_turns_to_undoing_when_nothing_is_under_way(cancel: bool) -> None:
    """rule compensate_when_still"""
    graph = graph_of(Step("paid", compensate=UNDO), Step("fails"), Step("slow"))
    state = state_of(paid=DONE, fails=FAILED, slow=StepState(StepStatus.RUNNING))._replace(cancel=cancel)
    turn = Compensate(Undoing(RunStatus.CANCELED)) if cancel else TURNED
    assert list(decide(graph, state, NOW, ["slow"])) == []
    assert list(decide(graph, state, NOW)) == [turn]


@pytest.mark.parametrize("cancel", [False, True])
def test_what_was_begun_and_can_be_undone_is_asked_again_before_the_turn(cancel: bool) -> None:
    """rule turn_after_answers, of a call whose runner died."""
    graph = graph_of(Step("paid", compensate=UNDO), Step("fails"))
    state = state_of(paid=StepState(StepStatus.RUNNING), fails=FAILED)._replace(cancel=cancel)
    assert list(decide(graph, state, NOW)) == [Start("paid")]
    assert list(decide(graph, state, NOW, ["paid"])) == []


@pytest.mark.parametrize("kind", [WaitKind.RETRY, WaitKind.BLOCKED, WaitKind.GATE])
def test_a_call_that_was_put_off_unanswered_is_made_before_anything_is_undone(kind: WaitKind) -> None:
    """rule turn_after_answers, of a call whose next attempt was put off; nobody's approval is waited for."""
    graph = graph_of(Step("before", compensate=UNDO), Step("paid", compensate=UNDO), Step("fails"))
    wait = {"kind": kind, "unanswered": True}
    put_off = StepState(StepStatus.WAITING, 1, error=LOST, wait=wait, retry_at=NOW)
    state = turned(state_of(before=DONE, paid=put_off, fails=FAILED))
    assert list(decide(graph, state, NOW)) == [Start("paid")]
    answered = state._replace(steps=state.steps.insert("paid", LATER))
    assert list(decide(graph, answered, NOW)) == [Start("paid.undo")]


@pytest.mark.parametrize("outcome", [RunStatus.FAILED, RunStatus.CANCELED])
def test_a_cancel_ends_no_undoing(outcome: RunStatus) -> None:
    """rule cancel_spares_compensation"""
    graph = graph_of(Step("paid", compensate=UNDO), Step("fails"))
    state = turned(state_of(paid=DONE, fails=FAILED), outcome)._replace(cancel=True)
    assert list(decide(graph, state, NOW)) == [Start("paid.undo")]


def test_steps_are_undone_one_after_another_in_reverse_and_once() -> None:
    """rules undo_in_reverse, undo_once: by the places of their events, whatever the order of the document."""
    graph = graph_of(Step("b", compensate=UNDO), Step("a", compensate=UNDO), Step("fails"))
    state = turned(state_of(b=DONE, a=LATER, fails=FAILED))
    frontier = Frontier(graph, state)
    assert list(decide(graph, state, NOW, frontier=frontier)) == [Start("a.undo")]
    assert list(decide(graph, state, NOW, ["a.undo"], frontier=frontier)) == []
    undone = {"a": LATER._replace(status=StepStatus.COMPENSATED), "a.undo": DONE._replace(done=(1, 3))}
    state = state._replace(steps=state.steps.update(undone))
    frontier.changed("a.undo", state)
    assert list(decide(graph, state, NOW, frontier=frontier)) == [Start("b.undo")]
    assert list(decide(graph, state, NOW)) == [Start("b.undo")]


def test_nothing_is_undone_before_the_children_have_ended() -> None:
    """rule compensate_after_children"""
    child = Step("child", StepType.WORKFLOW, child=Child("other"))
    graph = graph_of(Step("paid", compensate=UNDO), child, Step("fails"))
    waiting = StepState(StepStatus.WAITING, wait={"kind": WaitKind.CHILD, "runId": "r"})
    state = turned(state_of(paid=DONE, child=waiting, fails=FAILED))
    assert list(decide(graph, state, NOW)) == [Park(ParkReason.CHILD, None)]
