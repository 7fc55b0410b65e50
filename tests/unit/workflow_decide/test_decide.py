"""`decide` on states that say by themselves what has to follow."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from headrace.json_types import JsonMapping, JsonObject
from headrace.workflow.asking import Answers
from headrace.workflow.commands import Collect, Compensate, Finish, GoOn, Park, Resolve, Skip, Start
from headrace.workflow.decide import MAX_PARALLEL_STEPS, decide, initial
from headrace.workflow.document import (
    Compensation,
    Condition,
    Document,
    Edge,
    EdgeOn,
    Expression,
    ForEach,
    OnError,
    Signal,
    Step,
    StepType,
    When,
)
from headrace.workflow.expressions.limits import MAX_WORK, Budget
from headrace.workflow.graph import Graph
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

from tests.unit.workflow_decide.oracle import evaluate

NOW = datetime(2026, 11, 1, tzinfo=UTC)
WIDE = 3 * MAX_PARALLEL_STEPS


def test_a_wide_graph_is_begun_a_bounded_number_at_a_time() -> None:
    steps = [Step(key=f"s{n}") for n in range(WIDE)] + [Step(key="last")]
    graph = Graph.of(Document("w", tuple(steps), tuple(Edge(f"s{n}", "last") for n in range(WIDE))))
    first = decide(graph, initial(), NOW)
    assert len(first) == MAX_PARALLEL_STEPS
    running = [command.step for command in first if isinstance(command, Start)]
    assert not decide(graph, initial(), NOW, running)
    (more,) = decide(graph, initial(), NOW, running[1:])
    assert isinstance(more, Start)


def test_a_run_without_edges_goes_step_by_step() -> None:
    graph = Graph.of(Document("w", (Step(key="one"), Step(key="two"))))
    assert list(decide(graph, initial(), NOW)) == [Start("one")]
    state = RunState(RunStatus.RUNNING, HashTrieMap({"one": StepState(StepStatus.SUCCESS)}))
    assert list(decide(graph, state, NOW)) == [Start("two")]
    state = RunState(
        RunStatus.RUNNING, HashTrieMap({key: StepState(StepStatus.SUCCESS) for key in ("one", "two")})
    )
    assert list(decide(graph, state, NOW)) == [Finish()]


def test_a_park_reaches_to_the_time_limit_at_most() -> None:
    graph = Graph.of(Document("w", (Step(key="one"),)))
    soon, late = NOW + timedelta(seconds=5), NOW + timedelta(minutes=5)
    waiting = RunState(
        RunStatus.RUNNING, HashTrieMap({"one": StepState(StepStatus.WAITING, 1, retry_at=late)})
    )
    assert tuple(decide(graph, waiting, NOW)) == (Park(ParkReason.RETRY, late),)
    assert tuple(decide(graph, waiting, NOW, deadline=soon)) == (Park(ParkReason.RETRY, soon),)
    doubtful = RunState(RunStatus.RUNNING, HashTrieMap({"one": StepState(StepStatus.UNKNOWN, 1)}))
    assert tuple(decide(graph, doubtful, NOW)) == (Park(ParkReason.IN_DOUBT, None),)
    assert tuple(decide(graph, doubtful, NOW, deadline=soon)) == (Park(ParkReason.IN_DOUBT, soon),)


def test_of_two_waits_for_one_name_each_needs_a_signal_of_its_own() -> None:
    steps = tuple(Step(key, StepType.SIGNAL, signal=Signal("go")) for key in ("a", "b"))
    graph = Graph.of(Document("w", (Step("z"), *steps), (Edge("z", "a"), Edge("z", "b"))))
    waiting = StepState(StepStatus.WAITING, wait={"kind": WaitKind.SIGNAL, "name": "go"})
    rows = {"z": StepState(StepStatus.SUCCESS), "a": waiting, "b": waiting}
    signals = tuple(Message(seq, MessageKind.SIGNAL, None, "go", {"payload": seq}) for seq in (1, 2))
    state = RunState(RunStatus.RUNNING, HashTrieMap(rows), inbox=signals[:1])
    (first,) = decide(graph, state, NOW)
    assert isinstance(first, Resolve)
    both = decide(graph, state._replace(inbox=signals), NOW)
    assert {command.inbox for command in both if isinstance(command, Resolve)} == {(1,), (2,)}


def test_a_wait_is_not_over_before_all_is_known_that_was_said_in_time() -> None:
    graph = Graph.of(Document("w", (Step("a", StepType.SIGNAL, signal=Signal("go", deadline_ms=1000)),)))
    due = NOW - timedelta(seconds=1)
    row = StepState(StepStatus.WAITING, wait={"kind": WaitKind.SIGNAL, "name": "go"}, retry_at=due)
    state = RunState(RunStatus.RUNNING, HashTrieMap({"a": row}), heard=due - timedelta(seconds=1))
    assert list(decide(graph, state, NOW)) == [Park(ParkReason.SIGNAL, due)]
    late = Failure("SIGNAL_TIMEOUT", "no signal came in time")
    for heard in (due, None):
        heard_all = state._replace(heard=heard)
        assert list(decide(graph, heard_all, NOW)) == [Resolve("a", StepStatus.FAILED, None, late)]
    said = state._replace(inbox=(Message(1, MessageKind.SIGNAL, None, "go", {"payload": 1}),))
    assert list(decide(graph, said, NOW)) == [Resolve("a", StepStatus.SUCCESS, 1, None, (1,))]
    for at, outcome in ((due - timedelta(seconds=1), StepStatus.SUCCESS), (due, StepStatus.FAILED)):
        told = Message(1, MessageKind.SIGNAL, None, "go", {"payload": 1}, at)
        (command,) = decide(graph, state._replace(heard=NOW, inbox=(told,)), NOW)
        assert isinstance(command, Resolve)
        assert command.status is outcome


def test_an_approval_that_nobody_decided_says_when_as_a_decision_does() -> None:
    graph = Graph.of(Document("w", (Step("ok", StepType.APPROVAL),)))
    wait: JsonObject = {"kind": WaitKind.APPROVAL, "default": "approve"}
    row = StepState(StepStatus.WAITING, wait=wait, retry_at=NOW)
    (over,) = decide(graph, RunState(RunStatus.RUNNING, HashTrieMap({"ok": row})), NOW)
    assert isinstance(over, Resolve)
    assert isinstance(over.output, dict)
    assert over.output["at"] == "2026-11-01T00:00:00Z"


def test_a_signal_for_one_step_ends_the_wait_of_no_other() -> None:
    steps = tuple(Step(key, StepType.SIGNAL, signal=Signal("go")) for key in ("a", "b"))
    graph = Graph.of(Document("w", (Step("z"), *steps), (Edge("z", "a"), Edge("z", "b"))))
    waiting = StepState(StepStatus.WAITING, wait={"kind": WaitKind.SIGNAL, "name": "go"})
    rows = {"z": StepState(StepStatus.SUCCESS), "a": waiting, "b": waiting}
    for_any = Message(1, MessageKind.SIGNAL, None, "go", {"payload": "any"})
    for_b = Message(2, MessageKind.SIGNAL, "b", "go", {"payload": "b"})
    state = RunState(RunStatus.RUNNING, HashTrieMap(rows), inbox=(for_b,))
    assert list(decide(graph, state, NOW)) == [Resolve("b", StepStatus.SUCCESS, "b", None, (2,))]
    over = HashTrieMap({**rows, "b": StepState(StepStatus.SUCCESS)})
    assert list(decide(graph, state._replace(steps=over), NOW)) == [Park(ParkReason.SIGNAL, None)]
    # The one that came by name alone came first, and is left to the step that has no other.
    both = decide(graph, state._replace(inbox=(for_any, for_b)), NOW)
    assert {c.step: c.output for c in both if isinstance(c, Resolve)} == {"a": "any", "b": "b"}


def test_a_failure_beside_a_succeed_step_that_was_reached_counts_for_nothing() -> None:
    undo = Compensation("app/undo")
    steps = (Step("start", compensate=undo), Step("done", StepType.SUCCEED), Step("slow"))
    graph = Graph.of(Document("w", steps, (Edge("start", "done"), Edge("start", "slow"))))
    well = StepState(StepStatus.SUCCESS, done=(1, 1))
    rows = {"start": well, "done": well._replace(done=(1, 2)), "slow": StepState(StepStatus.RUNNING)}
    state = RunState(RunStatus.RUNNING, HashTrieMap(rows))
    assert not decide(graph, state, NOW, ["slow"])
    failed = state._replace(steps=state.steps.insert("slow", StepState(StepStatus.FAILED)))
    assert list(decide(graph, failed, NOW)) == [Finish()]
    # A cancel still is a cancel.
    (canceled,) = decide(graph, failed._replace(cancel=True), NOW)
    assert canceled == Compensate(Undoing(RunStatus.CANCELED))
    # And what has turned to undoing goes on with that.
    turned = failed._replace(status=RunStatus.COMPENSATING, undoing=Undoing(RunStatus.FAILED, None))
    assert list(decide(graph, turned, NOW)) == [Start("start.undo")]


def failed_beside(when: When, code: str, **rows: StepState) -> tuple[Graph, RunState]:
    """`paid` is done and can be undone; `call` has failed by this code, and has an error edge to `other`, when it is
    so."""
    steps = (Step("paid", compensate=Compensation("app/undo")), Step("call"), Step("next"), Step("other"))
    edges = (Edge("paid", "call"), Edge("call", "next"), Edge("call", "other", when, EdgeOn.ERROR))
    failed = StepState(StepStatus.FAILED, error=Failure(code, "it failed"))
    first = StepState(StepStatus.SUCCESS, done=(1, 1))
    state = RunState(RunStatus.RUNNING, HashTrieMap({"paid": first, "call": failed, **rows}))
    return Graph.of(Document("w", steps, edges)), state


NOT_FOUND = Condition("error.code", "eq", "HTTP_404")


def test_a_failure_is_dealt_with_by_an_error_edge_whose_condition_holds() -> None:
    graph, state = failed_beside(NOT_FOUND, "HTTP_404")
    assert list(decide(graph, state, NOW)) == [Skip("next"), Start("other")]


def test_a_failure_that_no_error_edge_is_taken_for_ends_the_run() -> None:
    graph, state = failed_beside(NOT_FOUND, "HTTP_500")
    error = Failure("HTTP_500", "step call failed: it failed")
    assert list(decide(graph, state, NOW)) == [Compensate(Undoing(RunStatus.FAILED, error))]
    # Also when an earlier release has passed it over, and gone on.
    skipped = StepState(StepStatus.SKIPPED)
    graph, state = failed_beside(NOT_FOUND, "HTTP_500", next=skipped, other=skipped)
    assert list(decide(graph, state, NOW)) == [Compensate(Undoing(RunStatus.FAILED, error))]


def test_what_was_decided_of_an_error_edge_stays_decided() -> None:
    """An expression may see what has changed since: the input of a re-run, or a step that had not ended then."""
    rows = {"next": StepState(StepStatus.SKIPPED), "other": StepState(StepStatus.SUCCESS)}
    graph, state = failed_beside(Expression("false"), "E", **rows)
    assert list(decide(graph, state, NOW, evaluate=evaluate)) == [Finish()]
    rows["other"] = rows["next"]
    graph, state = failed_beside(Expression("true"), "E", **rows)
    assert isinstance(*decide(graph, state, NOW, evaluate=evaluate), Compensate)


def test_whether_a_failure_is_dealt_with_is_asked_in_its_turn_and_once() -> None:
    asked: list[str] = []

    def costly(text: str, own: JsonMapping, budget: Budget) -> bool:
        asked.append(text)
        budget.spend(MAX_WORK)
        return True

    graph, state = failed_beside(Expression("costly"), "E")
    answers = Answers(worked=MAX_WORK)
    assert list(decide(graph, state, NOW, evaluate=costly, answers=answers)) == [GoOn()]
    assert not asked
    # A cancel does not wait for it.
    canceled = state._replace(cancel=True)
    assert isinstance(*decide(graph, canceled, NOW, evaluate=costly, answers=answers), Compensate)
    answers.others_had_their_turn()
    for _ in range(2):
        wanted = [Skip("next"), Start("other")]
        assert list(decide(graph, state, NOW, evaluate=costly, answers=answers)) == wanted
    assert asked == ["costly"]


def test_the_conditions_of_a_steps_error_edges_share_what_one_may_take() -> None:
    def half(text: str, own: JsonMapping, budget: Budget) -> bool:
        budget.spend(MAX_WORK * 2 // 3)
        return text == "second"

    steps = (Step("call"), Step("one"), Step("two"))
    edges = tuple(
        Edge("call", end, Expression(text), EdgeOn.ERROR)
        for end, text in (("one", "first"), ("two", "second"))
    )
    failed = StepState(StepStatus.FAILED, error=Failure("E", "it failed"))
    state = RunState(RunStatus.RUNNING, HashTrieMap({"call": failed}))
    (end,) = decide(Graph.of(Document("w", steps, edges)), state, NOW, evaluate=half)
    assert isinstance(end, Finish)
    assert end.error is not None
    assert "the condition of the edge from `call` to `two`: it takes too much work" in end.error.message


def test_an_item_that_a_crash_kept_from_beginning_is_begun() -> None:
    """Items begin side by side; the runner may die when the third has told of its beginning and the second has not."""
    graph = Graph.of(Document("w", (Step("one", for_each=ForEach([1, 2, 3], 3)),)))
    rows = {key: StepState(StepStatus.SUCCESS) for key in ("one[0]", "one[2]")}
    rows["one"] = StepState(StepStatus.RUNNING, items=3)
    state = RunState(RunStatus.RUNNING, HashTrieMap(rows))
    assert list(decide(graph, state, NOW)) == [Start("one[1]")]


def test_a_loop_that_ends_its_run_waits_for_no_item_that_only_waits() -> None:
    waits = StepState(StepStatus.WAITING, wait={"kind": WaitKind.CHILD})
    failed = StepState(StepStatus.FAILED, error=Failure("E", "it failed"))
    rows = {"one": StepState(StepStatus.RUNNING, items=3), "one[0]": waits, "one[1]": failed}
    state = RunState(RunStatus.RUNNING, HashTrieMap(rows))
    one = Step(key="one", for_each=ForEach([1, 2, 3], 3))
    assert list(decide(Graph.of(Document("w", (one,))), state, NOW)) == [Collect("one")]
    # One that is under way ends first, and so does a doubt. Where the run goes on, it does with all of them ended.
    for status in (StepStatus.RUNNING, StepStatus.UNKNOWN):
        other = RunState(RunStatus.RUNNING, state.steps.insert("one[2]", StepState(status)))
        assert Collect("one") not in decide(Graph.of(Document("w", (one,))), other, NOW)
    going_on = replace(one, on_error=OnError.CONTINUE)
    assert list(decide(Graph.of(Document("w", (going_on,))), state, NOW)) == [Park(ParkReason.CHILD, None)]
