"""From data to documents: what is read, and what is refused with its place."""

from typing import Any

import pytest
from headrace.workflow.document import Condition, OnError, RetryPolicy, RetryStrategy
from headrace.workflow.parse import parse_document

from tests.unit.workflow.documents import refund
from tests.unit.workflow.parsing import problems


def test_every_key_is_read() -> None:
    document = parse_document(refund())
    fetch, label, pay = document.steps
    assert document.workflow == "refund-order"
    assert document.env == {"REGION": "eu"}
    assert document.secrets == {"NOTIFY_TOKEN": "notify-token"}
    assert document.timeout_ms == 3_600_000
    assert fetch.output == {"total": "$.body.total", "email": "$.body.customer.email"}
    assert label.type == "transform"
    assert label.on_error is OnError.CONTINUE
    assert pay.retry == RetryPolicy(RetryStrategy.EXPONENTIAL, 5, 200, 10_000)
    assert pay.compensate is not None
    assert pay.compensate.action == "payments/cancel-refund"
    assert document.edges[1].when == Condition("output.total", "gt", 0)


def test_what_is_left_out_has_its_default() -> None:
    data = {"workflow": "w", "steps": [{"key": "a", "action": "x/y", "retry": {"strategy": "FIXED"}}]}
    step = parse_document(data).steps[0]
    assert step.type == "action"
    assert step.on_error is OnError.FAIL
    assert step.retry == RetryPolicy(RetryStrategy.FIXED, 3, 200, 10_000)


@pytest.mark.parametrize(
    ("written", "mend"),
    [
        ("300000", "Write it without quotes."),
        ("5 minutes", "Write one from 1 to 31622400000."),
        ("5.5", "Write one from 1 to 31622400000."),
        (0, "Write one from 1 to 31622400000."),
    ],
)
def test_only_what_would_be_a_number_is_to_lose_its_quotes(written: Any, mend: str) -> None:
    (problem,) = problems({**refund(), "timeoutMs": written})
    assert (problem.path, problem.mend) == ("timeoutMs", mend)


def test_every_problem_comes_at_once_with_place_and_mend() -> None:
    data: Any = refund()
    data["stepz"] = []
    data["timeoutMs"] = "1h"
    data["env"]["9A"] = 1
    data["steps"][0]["retri"] = {}
    data["steps"][0]["key"] = "Fetch"
    data["steps"][1]["connection"] = "x"
    data["steps"][2]["retry"] = {"strategy": "LINEAR", "maxAttempts": 51}
    data["steps"][2]["onError"] = "ignore"
    data["edges"][1]["when"] = {"field": "outputs.x", "operator": "gte ", "value": 1}
    data["edges"].append({"from": "a"})
    found = {problem.path: problem for problem in problems(data)}
    assert set(found) == {
        "stepz",
        "timeoutMs",
        "env['9A']",
        "steps[0].retri",
        "steps[0].key",
        "steps[1].connection",
        "steps[2].retry.strategy",
        "steps[2].retry.maxAttempts",
        "steps[2].onError",
        "edges[1].when.field",
        "edges[1].when.operator",
        "edges[2].to",
    }
    assert found["stepz"].mend == "Did you mean `steps`?"
    assert found["steps[0].retri"].mend == "Did you mean `retry`?"
    assert found["edges[1].when.operator"].mend == "Did you mean `gte`?"
    assert all(problem.message and problem.mend and problem.code for problem in found.values())


def test_two_steps_of_one_key() -> None:
    data: Any = refund()
    data["steps"][1]["key"] = "fetch_order"
    (problem,) = problems(data)
    assert (problem.path, problem.code) == ("steps[1].key", "DUPLICATE_KEY")
    assert "steps[0]" in problem.mend


@pytest.mark.parametrize(
    "data",
    [
        None,
        1,
        "x",
        [],
        [1],
        {},
        {"workflow": "w"},
        {"workflow": "w", "steps": {}},
        {"workflow": "w", "steps": [1]},
    ],
)
def test_what_is_no_document_at_all(data: object) -> None:
    assert problems(data)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), "NaN"),
        (float("inf"), "NaN and Infinity"),
        (2**63, "too large"),
        ("a\0b", "NUL"),
        ("\ud800", "half a character"),
        ({1: 2}, "a name is no text"),
        ({"\ud800": 2}, "a name is no text"),
        (b"x", "not JSON"),
        ({1, 2}, "not JSON"),
        ((1, 2), "not JSON"),
    ],
)
def test_what_json_can_not_hold_is_found_anywhere(value: object, message: str) -> None:
    data: Any = refund()
    data["steps"][0]["input"]["deep"] = [{"er": value}]
    (problem,) = problems(data)
    assert problem.path == "steps[0].input.deep[0].er"
    assert message in problem.message


def test_depth_and_number_are_bounded() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    assert "levels" in problems({"workflow": "w", "steps": deep})[0].message
    assert "200000 values" in problems({"workflow": "w", "steps": [[0] * 300_000]})[0].message
    # Read back, each of these takes 309 bytes.
    assert "200000 values" in problems({"workflow": "w", "steps": [[1e308] * 25_000]})[0].message
    assert (
        "200000 values"
        not in problems({"workflow": "w", "steps": [[1.2345678901234567e-5] * 150_000]})[0].message
    )
    many = {"workflow": "w", "steps": [{"key": f"s{n}", "action": "x/y"} for n in range(1001)]}
    assert [problem.code for problem in problems(many)] == ["TOO_MANY"]


def test_problems_are_bounded_and_quote_no_value() -> None:
    data: Any = {
        "workflow": "canary-value!",
        "steps": [{"key": "canary-value!", "zzz": "canary-value!"}] * 400,
    }
    found = problems(data)
    assert len(found) <= 100
    assert "canary-value" not in repr(found)
