"""Which rows a re-run takes over: pure, over small graphs and over any run of any graph."""

from collections.abc import Mapping
from typing import Any

from headrace.workflow.graph import Graph
from headrace.workflow.parse import parse_document
from headrace.workflow.rerun import OriginRow, Takeover, take_over
from headrace.workflow.state import Failure, StepStatus
from hypothesis import given, settings
from hypothesis import strategies as st


def call(key: str, **more: Any) -> dict[str, Any]:
    return {"key": key, "action": "shop/get", "input": {}} | more


def graph(*steps: dict[str, Any], edges: tuple[tuple[str, ...], ...] = ()) -> Graph:
    document: dict[str, Any] = {"workflow": "w", "steps": list(steps)}
    if edges:
        document["edges"] = [
            {"from": e[0], "to": e[1], **({"on": e[2]} if len(e) > 2 else {})} for e in edges
        ]
    return Graph.of(parse_document(document))


def rows(**statuses: str) -> dict[str, OriginRow]:
    return {key: OriginRow(StepStatus(status)) for key, status in statuses.items()}


def told(plan: Takeover) -> tuple[set[str], set[str]]:
    return set(plan.take), set(plan.again)


def test_a_chain_goes_on_where_it_failed() -> None:
    plan = take_over(graph(call("a"), call("b"), call("c")), rows(a="SUCCESS", b="FAILED"))
    assert told(plan) == ({"a"}, {"b"})
    assert plan.kept == ["b"]


def test_a_failure_that_was_dealt_with_stays_dealt_with() -> None:
    shape = graph(
        call("a"),
        call("plan_b"),
        call("c"),
        call("d"),
        edges=(("a", "plan_b", "error"), ("a", "c"), ("plan_b", "d")),
    )
    was = rows(a="FAILED", plan_b="SUCCESS", c="SKIPPED", d="FAILED")
    assert told(take_over(shape, was)) == ({"a", "plan_b", "c"}, {"d"})
    # Named, it may succeed now: what it decided is decided again.
    again = take_over(shape, was, {"a"})
    assert told(again) == (set(), {"a", "plan_b", "d"})
    assert set(again.kept) == {"a", "d"}


def given_up(*conditions: Any, join: str = "all", **statuses: str) -> tuple[set[str], set[str]]:
    """What is taken over, and what is done again, of a run in which `a` failed by HTTP_500. Each condition is that of
    an error edge to a step of its own, `e0` first; `b` leads to `e0`, too."""
    ends = [call(f"e{n}", **({"join": join} if n == 0 else {})) for n in range(len(conditions))]
    edges = [{"from": "a", "to": f"e{n}", "on": "error", "when": when} for n, when in enumerate(conditions)]
    steps = [call("a"), call("b"), call("last"), *ends]
    edges += [{"from": "b", "to": "e0"}, {"from": "a", "to": "last"}]
    shape = Graph.of(parse_document({"workflow": "w", "steps": steps, "edges": edges}))
    failed = OriginRow(StepStatus.FAILED, error=Failure("HTTP_500", "it says no"))
    return told(take_over(shape, rows(**statuses) | {"a": failed}))


IF_404 = {"field": "error.code", "operator": "eq", "value": "HTTP_404"}
IF_500 = {"field": "error.code", "operator": "eq", "value": "HTTP_500"}
IF_SAID = {"field": "output.body", "operator": "exists"}


def test_a_failure_that_no_error_edge_was_taken_for_is_done_again() -> None:
    assert given_up(IF_404) == (set(), {"a"})
    assert given_up(IF_404, b="SUCCESS", e0="SUCCESS", join="any") == ({"b", "e0"}, {"a"})
    # As an earlier release has left it, when it passed the failure over.
    assert given_up(IF_404, IF_SAID, b="SKIPPED", e0="SKIPPED", e1="SKIPPED", last="SKIPPED") == (
        {"b"},
        {"a"},
    )


def test_a_failure_that_a_condition_dealt_with_stays_dealt_with() -> None:
    assert given_up(IF_404, IF_500, b="FAILED") == ({"a"}, {"b"})
    assert given_up({"not": IF_404}, b="FAILED", join="any") == ({"a"}, {"b"})
    # What only an evaluation could tell is told by the step behind: it has begun, or it has not.
    assert given_up(IF_404, "{{ input.x }}", b="SUCCESS", e1="FAILED") == ({"a", "b"}, {"e1"})
    assert given_up(IF_404, "{{ input.x }}", b="SUCCESS") == ({"b"}, {"a"})
    assert given_up({"any": [IF_404, IF_SAID]}, b="SUCCESS", e0="CANCELED") == ({"a", "b"}, {"e0"})


def test_what_joined_any_of_two_is_not_done_again_for_the_other() -> None:
    shape = graph(call("a"), call("b"), call("c", join="any"), edges=(("a", "c"), ("b", "c")))
    assert told(take_over(shape, rows(a="SUCCESS", b="FAILED", c="SUCCESS"))) == ({"a", "c"}, {"b"})


def test_what_was_skipped_behind_a_step_that_is_done_again_is_decided_again() -> None:
    shape = graph(call("a"), call("b"), call("c"), edges=(("a", "b", "error"), ("a", "c")))
    was = rows(a="UNKNOWN", b="SKIPPED", c="SKIPPED")
    plan = take_over(shape, was)
    assert (told(plan), plan.in_doubt) == ((set(), {"a"}), ["a"])


def loop(*statuses: str, each: str = "FAILED", **more: Any) -> dict[str, OriginRow]:
    items = {f"each[{n}]": OriginRow(StepStatus(status)) for n, status in enumerate(statuses)}
    return {"each": OriginRow(StepStatus(each), len(statuses)), **items, **more}


def test_a_loop_is_opened_again_for_the_items_that_failed() -> None:
    shape = graph(call("each", forEach={"items": [1, 2, 3]}), call("after"))
    plan = take_over(shape, loop("SUCCESS", "FAILED", "CANCELED"))
    assert (set(plan.take), plan.reopen) == ({"each", "each[0]"}, ["each"])
    assert set(plan.kept) >= {"each[1]", "each[2]"}
    # All of them, when the loop is named.
    whole = take_over(shape, loop("SUCCESS", "FAILED", "CANCELED"), {"each"})
    assert (whole.take, whole.reopen) == ([], [])


def test_one_item_of_a_loop_that_succeeded_is_done_again_with_what_follows() -> None:
    shape = graph(call("each", forEach={"items": [1, 2], "onItemError": "continue"}), call("after"))
    was = loop("SUCCESS", "FAILED", each="SUCCESS", **rows(after="SUCCESS"))
    assert told(take_over(shape, was)) == ({"each", "each[0]", "each[1]", "after"}, set())
    plan = take_over(shape, was, {"each[0]"})
    assert (set(plan.take), plan.reopen) == ({"each", "each[1]"}, ["each"])
    assert set(plan.again) == {"each", "each[0]", "after"}
    assert "each[0]" not in plan.kept  # it succeeded: its old key would be answered with what was


def test_a_child_goes_on_and_one_that_succeeded_is_begun_anew() -> None:
    ship = {"key": "ship", "type": "workflow", "workflow": "child", "input": {}}
    shape = graph(ship, call("after"))
    assert take_over(shape, rows(ship="FAILED")).children == ["ship"]
    assert take_over(shape, rows(ship="SUCCESS", after="SUCCESS"), {"ship"}).children == []
    inside = take_over(shape, rows(ship="SUCCESS", after="SUCCESS"), (), {"ship"})
    assert (inside.children, set(inside.again)) == (["ship"], {"ship", "after"})
    assert not inside.anew
    # What it was made of is done again: so is all of it.
    behind = graph(call("a"), ship)
    assert take_over(behind, rows(a="COMPENSATED", ship="FAILED")).anew == {"ship"}
    assert take_over(behind, rows(a="SUCCESS", ship="FAILED"), {"a"}).anew == {"ship"}
    assert not take_over(behind, rows(a="SUCCESS", ship="FAILED")).anew
    each = {**ship, "key": "each", "forEach": {"items": [1, 2]}}
    assert not take_over(graph(each), loop("SUCCESS", "FAILED")).anew
    assert "each[1]" in take_over(graph(each), loop("SUCCESS", "FAILED"), {"each"}).anew


def test_what_was_undone_is_done_again_with_what_followed() -> None:
    undo = {"action": "shop/get", "input": {}}
    shape = graph(call("a", compensate=undo), call("b"), call("c"))
    was = rows(a="COMPENSATED", b="SUCCESS", c="FAILED") | {"a.undo": OriginRow(StepStatus.SUCCESS)}
    plan = take_over(shape, was)
    assert (told(plan), plan.kept) == ((set(), {"a", "b", "c"}), ["c"])


def test_of_a_loop_what_was_undone_is_done_again_with_what_followed() -> None:
    """Whether the loop had succeeded, or its failure was dealt with; an item that could not be undone is done."""
    undo = {"action": "shop/get", "input": {}}
    steps = (call("each", forEach={"items": [1, 2]}, compensate=undo), call("plan_b"), call("after"))
    shape = graph(*steps, edges=(("each", "plan_b", "error"), ("each", "after"), ("plan_b", "after")))
    for each in ("SUCCESS", "FAILED", "COMPENSATED"):
        more = rows(plan_b="SUCCESS", after="FAILED")
        plan = take_over(shape, loop("COMPENSATED", "SUCCESS", each=each, **more))
        assert (set(plan.take), plan.reopen) == ({"each", "each[1]"}, ["each"])
        assert set(plan.again) == {"each", "each[0]", "plan_b", "after"}
        assert "each[0]" not in plan.kept  # it had an answer


def test_a_loop_whose_items_were_undone_does_them_again_with_what_followed() -> None:
    undo = {"action": "shop/get", "input": {}}
    shape = graph(call("each", forEach={"items": [1, 2]}, compensate=undo), call("b"), call("c"))
    was = loop("COMPENSATED", "SUCCESS", each="SUCCESS", **rows(b="SUCCESS", c="FAILED"))
    plan = take_over(shape, was)
    assert told(plan) == ({"each", "each[1]"}, {"each", "each[0]", "b", "c"})
    assert (plan.reopen, plan.kept) == (["each"], ["c"])


def test_what_undoes_a_step_keeps_its_key_unless_the_step_is_done_anew() -> None:
    undo = {"action": "shop/get", "input": {}}
    shape = graph(call("a", compensate=undo), call("b"))
    was = rows(a="SUCCESS", b="FAILED") | {"a.undo": OriginRow(StepStatus.FAILED)}
    assert set(take_over(shape, was).kept) == {"a.undo", "b"}
    # The old key would be answered with what became of the old undo.
    assert set(take_over(shape, was, {"a"}).kept) == {"b"}


def test_a_loop_whose_items_were_undone_is_done_again() -> None:
    undo = {"action": "shop/get", "input": {}}
    shape = graph(call("each", forEach={"items": [1, 2]}, compensate=undo), call("b"), call("c"))
    # The loop's own row is not what is undone.
    was = loop("COMPENSATED", "COMPENSATED", each="SUCCESS", **rows(b="SUCCESS", c="FAILED"))
    plan = take_over(shape, was)
    assert (told(plan), plan.reopen) == ((set(), {"each", "each[0]", "each[1]", "b", "c"}), [])
    assert plan.kept == ["c"]
    # Where the undo of one failed, that one is still done.
    half = take_over(shape, {**was, "each[1]": OriginRow(StepStatus.SUCCESS)})
    assert (set(half.take), half.reopen) == ({"each", "each[1]"}, ["each"])
    assert set(half.again) == {"each", "each[0]", "b", "c"}


def test_what_the_graph_does_not_have_is_passed_over() -> None:
    plan = take_over(graph(call("a")), rows(a="SUCCESS", gone="SUCCESS"), {"elsewhere"})
    assert plan.take == ["a"]


_KEYS = "abcde"


@st.composite
def ended(draw: st.DrawFn) -> tuple[Graph, Mapping[str, OriginRow], set[str]]:
    """Any graph of five steps, any end of it, any steps named."""
    pairs = [(a, b) for n, a in enumerate(_KEYS) for b in _KEYS[n + 1 :]]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True, min_size=1))
    shape = graph(*(call(key) for key in _KEYS), edges=tuple(edges))
    over = [
        s.value for s in StepStatus if s not in (StepStatus.QUEUED, StepStatus.RUNNING, StepStatus.WAITING)
    ]
    was = {key: draw(st.none() | st.sampled_from(over)) for key in _KEYS}
    named = draw(st.sets(st.sampled_from(_KEYS)))
    return shape, rows(**{key: status for key, status in was.items() if status}), named


@settings(max_examples=200, deadline=None)
@given(ended())
def test_of_any_run(case: tuple[Graph, Mapping[str, OriginRow], set[str]]) -> None:
    shape, was, named = case
    plan = take_over(shape, was, named)
    taken, again = told(plan)
    assert not taken & again
    assert taken | again | {k for k, r in was.items() if r.status is StepStatus.SKIPPED} == was.keys()
    # What is taken over is well, and nothing that was named is among it, nor what follows that did not fail.
    assert all(
        was[key].status in (StepStatus.SUCCESS, StepStatus.CACHED, StepStatus.SKIPPED) for key in taken
    )
    assert not taken & named
    # A key is kept by what did not succeed alone.
    assert not {k for k in plan.kept if was[k].status in (StepStatus.SUCCESS, StepStatus.COMPENSATED)}
    if not named and not any(row.status is StepStatus.COMPENSATED for row in was.values()):
        assert {k for k, row in was.items() if row.status is StepStatus.SUCCESS} <= taken
