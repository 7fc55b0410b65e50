"""Publishing checks of conditions on edges, of joins and of last steps: each fault has its place and a mend."""

from typing import Any

import pytest
from headrace.workflow.parse import parse_document
from headrace.workflow.validate import Catalog, validate_document

from tests.unit.workflow.faulty_onboardings import (
    DONE,
    REFUSED,
    Change,
    both,
    edge,
    problems,
    secret,
    step,
    two,
    when,
)

CASES: list[tuple[Change, str, str, str]] = [
    # change, code, path, a word of the mend
    (
        step(REFUSED, input={"code": "X", "message": "{{ output }}"}),
        "BAD_EXPRESSION",
        "steps[11].input.message",
        "steps.<key>.output",
    ),
    (both(secret, step(DONE, input="{{ env.TOKEN }}")), "SECRET_NOT_ALLOWED", "steps[10].input", "action"),
    (when("{{ steps.bill.output }}"), "NOT_UPSTREAM", "edges[2].when", "edges"),
    (when("{{ callbacks.paid }}"), "CALLBACK_NOT_ALLOWED", "edges[2].when", "action"),
    (
        when({"not": {"all": ["{{ output.state }}"]}}),
        "UNKNOWN_OUTPUT",
        "edges[2].when.not.all[0]",
        "`status`",
    ),
    (
        when({"not": {"field": "output.body", "operator": "matches", "value": "(?=a)"}}),
        "BAD_PATTERN",
        "edges[2].when.not.value",
        "look-around",
    ),
    (
        when({"field": "output.body", "operator": "before", "value": "soon"}),
        "BAD_TIME",
        "edges[2].when.value",
        "2026",
    ),
    (
        when({"field": "output.items", "operator": "isEmpty"}, 0),
        "UNKNOWN_OUTPUT",
        "edges[0].when.field",
        "results",
    ),
    (
        when({"field": "output.verdict", "operator": "isEmpty"}, 5),
        "UNKNOWN_OUTPUT",
        "edges[5].when.field",
        "decision",
    ),
    (edge(**{"from": "pause", "to": "refused", "on": "error"}), "NEVER_TAKEN", "edges[12].on", "onError"),
    (edge(**{"from": "done", "to": "refused"}), "NEVER_TAKEN", "edges[12].from", "away"),
]


@pytest.mark.parametrize(("change", "code", "path", "mend"), CASES, ids=[f"{c[1]} {c[2]}" for c in CASES])
def test_each_fault_is_found_at_its_place(change: Change, code: str, path: str, mend: str) -> None:
    found = [problem for problem in problems(change) if problem.code == code]
    assert [problem.path for problem in found] == [path]
    assert mend in found[0].mend


def test_after_a_last_step_nothing_comes() -> None:
    (problem,) = two({"type": "succeed"}, {"type": "transform", "input": 1})
    assert (problem.path, problem.code) == ("steps[1]", "NEVER_REACHED")
    assert problem.mend


def test_what_an_error_edge_leads_to_reads_the_error() -> None:
    error = {"code": "NOT_PAID", "message": "{{ steps.a.error.message }}"}
    failed = {
        "from": "a",
        "to": "b",
        "on": "error",
        "when": {"field": "error.code", "operator": "eq", "value": "X"},
    }
    assert two({"action": "shop/get-contract"}, {"type": "fail", "input": error}, failed) == []


def test_with_join_any_what_need_not_have_ended_may_be_read() -> None:
    steps = [{"key": key, "type": "transform", "input": 1} for key in "ab"]
    both_of = "{{ [steps.a.output, steps.b.output] }}"
    steps.append({"key": "c", "type": "transform", "join": "any", "input": both_of})
    edges = [{"from": key, "to": "c"} for key in "ab"]
    data = {"workflow": "w", "steps": steps, "edges": edges}
    assert validate_document(parse_document(data), Catalog()) == []


def test_a_thousand_steps_with_conditions_are_checked() -> None:
    steps: list[Any] = [{"key": f"s{n}", "type": "transform", "input": n} for n in range(1000)]
    edges = [
        {"from": f"s{n}", "to": f"s{n + 1}", "when": {"all": [f"{{{{ steps.s{n}.output == {n} }}}}"]}}
        for n in range(999)
    ]
    data = {"workflow": "w", "steps": steps, "edges": edges}
    assert validate_document(parse_document(data), Catalog()) == []
