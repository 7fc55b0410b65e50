"""Whether a run can go on by another version: pure, over small documents."""

from typing import Any

import pytest
from headrace.workflow import rerun
from headrace.workflow.actions import parse_action
from headrace.workflow.definition import PinnedAction, PinnedChild, Version
from headrace.workflow.move import MoveFate, fates, misfits
from headrace.workflow.parse import parse_document
from headrace.workflow.rerun import OriginRow, Takeover
from headrace.workflow.state import Failure, StepStatus


def call(key: str, **more: Any) -> dict[str, Any]:
    return {"key": key, "action": "shop/get", "input": {}} | more


def version(*steps: dict[str, Any], revision: int = 1, child: int = 1, **more: Any) -> Version:
    """A version whose action and child are pinned at these."""
    action = parse_action({"name": "get", "method": "GET", "endpointTemplate": "/"}, "shop")
    return Version(
        "v",
        "d",
        parse_document({"workflow": "w", "steps": list(steps), **more}),
        {"shop/get": PinnedAction(str(revision), revision, "http://shop.example", action)},
        {},
        {step["key"]: PinnedChild(str(child), child) for step in steps if step.get("type") == "workflow"},
    )


def rows(**statuses: str) -> dict[str, StepStatus]:
    return {key.replace("__", "[").replace("_i", "]"): StepStatus(status) for key, status in statuses.items()}


CHILD = {"key": "b", "type": "workflow", "workflow": "other", "input": {}}
CHAIN = version(call("a"), call("b"), call("c"))


def places(before: Version, target: Version, **statuses: str) -> list[str]:
    return [problem.path for problem in misfits(before, target, rows(**statuses))]


@pytest.mark.parametrize(
    ("target", "statuses", "wanted"),
    [
        # What lies ahead may be anything.
        (version(call("a"), call("x"), call("y", input={"n": 1})), {"a": "SUCCESS"}, []),
        (version(call("z")), {}, []),
        # What is done may be written otherwise, and is the same step.
        (version(call("a", input={"n": 1}), call("b"), call("c"), revision=2), {"a": "SUCCESS"}, []),
        (version(call("a", action="shop/put"), call("b")), {"a": "SUCCESS"}, ["steps.a"]),
        (version(call("a", forEach={"items": "{{ [1] }}"}), call("b")), {"a": "SUCCESS"}, ["steps.a"]),
        (version(call("b"), call("c")), {"a": "SUCCESS"}, ["steps.a"]),
        (version(call("b"), call("c")), {"a": "SKIPPED"}, ["steps.a"]),
        # Nothing new comes before it.
        (version(call("x"), call("a"), call("b")), {"a": "SUCCESS"}, ["steps.a"]),
        (version(call("b"), call("a"), call("c")), {"a": "SUCCESS"}, ["steps.a"]),
        # What is under way is the same to the letter, its pins included.
        (version(call("a"), call("b"), call("d")), {"a": "SUCCESS", "b": "WAITING"}, []),
        (version(call("a"), call("b", input={"n": 1})), {"a": "SUCCESS", "b": "WAITING"}, ["steps.b"]),
        (version(call("a"), call("b"), revision=2), {"a": "SUCCESS", "b": "RUNNING"}, ["steps.b"]),
        (version(call("a"), call("b"), env={"N": 1}), {"a": "SUCCESS", "b": "UNKNOWN"}, ["env"]),
        (version(call("a"), call("b"), env={"N": 1}), {"a": "SUCCESS"}, []),
        (version(call("a"), call("b"), concurrency={"limit": 3}), {}, ["concurrency"]),
    ],
)
def test_what_has_begun_has_to_fit(target: Version, statuses: dict[str, str], wanted: list[str]) -> None:
    assert places(CHAIN, target, **statuses) == wanted


def test_a_failure_that_was_dealt_with_has_to_stay_so() -> None:
    before = version(call("a", onError="continue"), call("b"))
    assert places(before, version(call("a", onError="continue"), call("x")), a="FAILED") == []
    assert places(before, CHAIN, a="FAILED") == ["steps.a"]
    assert places(CHAIN, CHAIN, a="FAILED") == []


def given_up(when: Any, **more: Any) -> Version:
    """`b` is for a failure of `a`, if the condition holds."""
    return version(
        call("a", **more),
        call("b"),
        edges=[{"from": "a", "to": "b", "on": "error", **({"when": when} if when else {})}],
    )


IF_404 = {"field": "error.code", "operator": "eq", "value": "HTTP_404"}
ASKED = "{{ input.again }}"


@pytest.mark.parametrize(
    ("before", "target", "statuses", "wanted"),
    [
        (given_up(None), given_up(IF_404), {}, []),
        (given_up(None), given_up({"not": IF_404}), {}, ["steps.a"]),
        (given_up(None), given_up({"not": IF_404}), {"b": "RUNNING"}, []),
        (given_up(None), given_up({"not": IF_404}, onError="continue"), {"b": "RUNNING"}, []),
        # Nothing dealt with it before: it ends the run on either.
        (given_up({"not": IF_404}), given_up({"not": IF_404}), {}, []),
        # What is not known of the one is the same of the other, or is not known to be.
        (given_up(ASKED), given_up(ASKED), {}, []),
        (given_up(ASKED), given_up("{{ input.other }}"), {}, ["steps.a"]),
        (given_up(ASKED), given_up("{{ input.other }}"), {"b": "SUCCESS"}, []),
        (given_up(None), given_up(ASKED), {}, ["steps.a"]),
        (given_up(ASKED), given_up(None), {}, []),
    ],
)
def test_a_failure_that_a_condition_dealt_with_has_to_stay_so(
    before: Version, target: Version, statuses: dict[str, str], wanted: list[str]
) -> None:
    errors = {"a": Failure("HTTP_404", "it says no")}
    problems = misfits(before, target, rows(a="FAILED", **statuses), errors)
    assert [problem.path for problem in problems] == wanted


def test_what_it_did_not_wait_for_before_is_no_news() -> None:
    edges = [{"from": "a", "to": "c"}, {"from": "b", "to": "c"}]
    before = version(call("a"), call("b"), call("c", join="any"), edges=edges)
    target = version(
        call("a"), call("b"), call("c", join="any"), call("d"), edges=[*edges, {"from": "c", "to": "d"}]
    )
    assert places(before, target, a="SUCCESS", b="WAITING", c="SUCCESS") == []


def test_a_child_and_a_loop_under_way_are_kept_as_they_are() -> None:
    before = version(call("a"), CHILD)
    assert places(before, version(call("a"), CHILD, call("x")), a="SUCCESS", b="WAITING") == []
    assert places(before, version(call("a"), CHILD, child=2), a="SUCCESS", b="WAITING") == ["steps.b"]
    assert places(before, version(call("a"), CHILD, child=2), a="SUCCESS", b="SUCCESS") == ["steps.b"]
    assert places(before, version(call("a"), CHILD, call("x")), a="SUCCESS", b="SUCCESS") == []
    assert places(before, version(call("a"), CHILD, child=2), a="SUCCESS") == []
    loop = call("a", forEach={"items": "{{ input.all }}"})
    before, other = version(loop), version(call("a", forEach={"items": "{{ input.some }}"}))
    assert places(before, version(loop, call("x")), a="RUNNING", a__0_i="SUCCESS") == []
    assert places(before, other, a="RUNNING", a__0_i="SUCCESS") == ["steps.a"]
    assert places(before, other, a__0_i="SUCCESS") == ["steps.a"]
    # A part that has not ended keeps its step from having ended.
    assert places(before, other, a="SUCCESS", a__0_i="WAITING") == ["steps.a"]
    assert places(before, other, a="SUCCESS", a__0_i="SUCCESS") == []


ITEM_UNDONE = {"action": "shop/get", "input": {"n": "{{ item }}"}}
STEP_UNDONE = {"action": "shop/get", "input": {"n": "{{ input.n }}"}}


def test_a_loop_that_is_done_is_undone_by_the_same_list() -> None:
    def loop(items: str, undo: dict[str, Any] = ITEM_UNDONE, **more: Any) -> Version:
        return version(call("a", forEach={"items": items}, compensate=undo), **more)

    before, of_env = loop("{{ input.all }}"), loop("{{ env.ALL | split(',') }}", env={"ALL": "1", "OTHER": 1})
    done = {"a": "SUCCESS", "a__0_i": "SUCCESS"}
    assert places(before, loop("{{ input.all }}", env={"N": 1}), **done) == []
    assert places(before, loop("{{ input.all | sort }}"), **done) == ["steps.a"]
    assert places(before, loop("{{ input.all | sort }}"), a="SKIPPED") == []
    # What says nothing of an item needs no list.
    assert places(before, loop("{{ input.all | sort }}", STEP_UNDONE), **done) == []
    assert places(of_env, loop("{{ env.ALL | split(',') }}", env={"ALL": "1", "OTHER": 2}), **done) == []
    assert places(of_env, loop("{{ env.ALL | split(',') }}", env={"ALL": "2", "OTHER": 1}), **done) == [
        "steps.a"
    ]
    planned = {key: OriginRow(status) for key, status in rows(**done).items()}
    taken = Takeover(take=list(planned))
    for target, wanted in ((before, []), (loop("{{ input.all | sort }}"), ["steps.a"])):
        assert [one.path for one in rerun.misfits(before, target, planned, taken)] == wanted
    # What is not taken over is done again, by its own list.
    assert rerun.misfits(before, loop("{{ input.all | sort }}"), planned, Takeover(again=["a"])) == []


def test_what_each_step_is_to_the_run() -> None:
    target = version(call("a"), call("s"), call("w"), call("x"), call("n"))
    before = version(call("a"), call("s"), call("w"), call("x"), call("g"))
    assert fates(before, target, rows(a="SUCCESS", s="SKIPPED", w="WAITING")) == {
        "a": MoveFate.DONE,
        "s": MoveFate.SKIPPED,
        "w": MoveFate.UNDER_WAY,
        "x": MoveFate.AHEAD,
        "n": MoveFate.NEW,
        "g": MoveFate.GONE,
    }
