"""A call that a dead runner announced is in doubt, whatever else is true of its run; and how doubts are settled."""

from datetime import UTC, datetime, timedelta

import pytest
from headrace.json_types import JsonObject
from headrace.workflow.commands import Compensate, Doubt, Park, Resolve, Settle, Start
from headrace.workflow.decide import decide
from headrace.workflow.document import Compensation, Condition, Document, Probe, Step
from headrace.workflow.graph import Graph
from headrace.workflow.parse import parse_document
from headrace.workflow.state import (
    Failure,
    Message,
    MessageKind,
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
DOUBT = StepState(StepStatus.UNKNOWN, 1, done=(1, 2))


@pytest.mark.parametrize("why", ["nothing", "cancel", "deadline", "sibling"])
def test_doubt_comes_before_every_end(why: str) -> None:
    steps = [{"key": key, "type": "transform", "input": {}} for key in ("a", "b")]
    states = {"a": StepState(StepStatus.RUNNING, in_flight=True)}
    if why == "sibling":
        states["b"] = StepState(StepStatus.FAILED, 1)
    state = RunState(RunStatus.RUNNING, HashTrieMap(states), cancel=why == "cancel")
    graph = Graph.of(parse_document({"workflow": "w", "steps": steps}))
    deadline = NOW if why == "deadline" else None
    assert list(decide(graph, state, NOW, (), deadline)) == [Doubt("a")]


def one(**more: object) -> Graph:
    return Graph.of(Document("w", (Step("a", action="app/do", **more),)))  # type: ignore[arg-type]


def settled(status: StepStatus) -> Message:
    return Message(1, MessageKind.SETTLE, "a", None, {"status": status, "by": "me"})


def test_what_may_have_been_done_is_settled_before_it_is_undone() -> None:
    graph = one(compensate=Compensation("app/undo"))
    state = RunState(RunStatus.RUNNING, HashTrieMap({"a": DOUBT}), cancel=True)
    (turn,) = decide(graph, state, NOW)
    assert turn == Compensate(Undoing(RunStatus.CANCELED))
    turned = state._replace(status=RunStatus.COMPENSATING, undoing=Undoing(RunStatus.CANCELED))
    assert list(decide(graph, turned, NOW)) == [Park(ParkReason.IN_DOUBT, None)]
    (settle,) = decide(graph, turned._replace(inbox=(settled(StepStatus.SUCCESS),)), NOW)
    assert isinstance(settle, Settle)
    arrived = turned._replace(steps=HashTrieMap({"a": StepState(StepStatus.SUCCESS, 1, done=(1, 9))}))
    assert list(decide(graph, arrived, NOW)) == [Start("a.undo")]


def test_a_probe_settles_what_is_about_to_be_undone() -> None:
    graph = one(compensate=Compensation("app/undo"), probe=Probe("app/ask", Condition("status", "exists")))
    undoing = Undoing(RunStatus.CANCELED)
    state = RunState(RunStatus.COMPENSATING, HashTrieMap({"a": DOUBT}), cancel=True, undoing=undoing)
    assert list(decide(graph, state, NOW)) == [Start("a.probe")]


def test_a_probe_that_is_under_way_is_not_asked_twice_and_answers_for_its_own_doubt() -> None:
    graph = one(probe=Probe("app/ask", Condition("status", "exists")))
    state = RunState(RunStatus.RUNNING, HashTrieMap({"a": DOUBT}))
    assert list(decide(graph, state, NOW, ["a.probe"])) == []
    told = state._replace(inbox=(settled(StepStatus.QUEUED),))
    assert list(decide(graph, told, NOW, ["a.probe"])) == []


def test_a_probe_whose_doubt_a_person_settled_is_over() -> None:
    graph = one(probe=Probe("app/ask", Condition("status", "exists")))
    waiting = StepState(StepStatus.WAITING, 1, retry_at=NOW, wait={"kind": WaitKind.RETRY})
    rows = {"a": StepState(StepStatus.QUEUED, 1), "a.probe": waiting}
    commands = decide(graph, RunState(RunStatus.RUNNING, HashTrieMap(rows)), NOW)
    assert set(commands) == {Resolve("a.probe", StepStatus.CANCELED), Start("a")}


def test_a_word_about_an_earlier_doubt_settles_no_later_one() -> None:
    graph = Graph.of(
        parse_document({"workflow": "w", "steps": [{"key": "a", "type": "transform", "input": {}}]})
    )
    row = StepState(StepStatus.UNKNOWN, 2, done=(3, 4))

    def said(seq: int, doubt: list[int]) -> Message:
        data: JsonObject = {"status": "SUCCESS", "output": None, "error": None, "doubt": list(doubt)}
        return Message(seq, MessageKind.SETTLE, "a", None, data)

    state = RunState(RunStatus.RUNNING, HashTrieMap({"a": row}), inbox=(said(1, [1, 2]),))
    (park,) = decide(graph, state, NOW)
    assert isinstance(park, Park)
    (settle,) = decide(graph, state._replace(inbox=(said(1, [1, 2]), said(2, [3, 4]))), NOW)
    assert isinstance(settle, Settle)
    assert settle.inbox == (1, 2)


@pytest.mark.parametrize("code", ["TIMEOUT", "CONNECTION_LOST", "HTTP_502", "HTTP_524"])
def test_an_undoable_call_that_was_not_answered_is_asked_again_before_the_undoing(code: str) -> None:
    """Its retry is put off, and the run is canceled meanwhile: what it may have done is found out, then undone."""
    step = Step("a", "action", action="s/do", compensate=Compensation("s/undo"))
    graph = Graph.of(Document("w", (step,)))
    later = NOW + timedelta(minutes=5)
    lost = StepState(
        StepStatus.WAITING, 1, error=Failure(code, "late"), retry_at=later, wait={"kind": WaitKind.RETRY}
    )
    state = RunState(RunStatus.RUNNING, HashTrieMap({"a": lost}), cancel=True)
    (turn,) = decide(graph, state, NOW)
    assert isinstance(turn, Compensate)
    undoing = state._replace(status=RunStatus.COMPENSATING, undoing=turn.undoing)
    assert list(decide(graph, undoing, NOW)) == [Park(ParkReason.RETRY, later)]
    assert list(decide(graph, undoing, later)) == [Start("a")]
    blocked = {"kind": WaitKind.BLOCKED, "unanswered": True}
    put_off = undoing._replace(steps=HashTrieMap({"a": lost._replace(error=None, wait=blocked)}))
    assert list(decide(graph, put_off._replace(undoing=None), NOW)) == [turn]
    assert list(decide(graph, put_off, NOW)) == [Park(ParkReason.BLOCKED, later)]
    assert list(decide(graph, put_off, later)) == [Start("a")]
    gated = {"kind": WaitKind.GATE, "unanswered": True}
    asking = undoing._replace(steps=HashTrieMap({"a": lost._replace(error=None, wait=gated)}))
    assert list(decide(graph, asking._replace(undoing=None), NOW)) == [turn]
    assert list(decide(graph, asking, NOW)) == [Start("a")]
    answered = lost._replace(error=Failure("HTTP_503", "busy"))
    plain = state._replace(steps=HashTrieMap({"a": answered}))
    assert [type(c).__name__ for c in decide(graph, plain, NOW)] == ["Cancel"]
    earlier = answered._replace(wait={"kind": WaitKind.RETRY, "unanswered": True})
    assert list(decide(graph, state._replace(steps=HashTrieMap({"a": earlier})), NOW)) == [turn]
    # Between two attempts that its runner waits for: of the second one the first is not known any more.
    for attempts, wanted in ((1, "Cancel"), (2, "Start")):
        between = StepState(StepStatus.RUNNING, attempts, error=Failure("HTTP_503", "busy"))
        held = state._replace(steps=HashTrieMap({"a": between}))
        assert [type(c).__name__ for c in decide(graph, held, NOW)] == [wanted]
