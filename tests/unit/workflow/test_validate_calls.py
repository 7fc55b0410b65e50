"""Publishing checks of calls: actions, connections, and what an action is given and gives."""

import pytest
from headrace.workflow.validate import Catalog

from tests.unit.workflow.faulty_refunds import Change, problems, step

CASES: list[tuple[str, Change, str, str, str]] = [
    # what, change, code, path, a word of the mend
    (
        "unknown action",
        step(0, action="shop/get-ordr"),
        "UNKNOWN_ACTION",
        "steps[0].action",
        "`shop/get-order`",
    ),
    (
        "unknown connection",
        step(0, connection="shop-man"),
        "UNKNOWN_CONNECTION",
        "steps[0].connection",
        "`shop-main`",
    ),
    ("other app", step(0, connection="payments"), "CONNECTION_OF_OTHER_APP", "steps[0].action", "shop-main"),
    (
        "filter in a JSONPath",
        step(0, output={"total": "$.body[?@.a]", "email": "$.body"}),
        "BAD_JSONPATH",
        "steps[0].output.total",
        "names",
    ),
    (
        "JSONPath without body",
        step(0, output={"total": "$.total", "email": "$.body"}),
        "UNKNOWN_OUTPUT",
        "steps[0].output.total",
        "$.body.total",
    ),
    ("missing path parameter", step(0, input={}), "MISSING_INPUT", "steps[0].input.orderId", "value"),
    ("missing body name", step(2, input={}), "MISSING_INPUT", "steps[2].input.amount", "value"),
    (
        "wrong literal",
        step(2, input={"amount": "five"}),
        "SCHEMA_MISMATCH",
        "steps[2].input.amount",
        "number",
    ),
    (
        "literal out of range",
        step(2, input={"amount": -1}),
        "SCHEMA_MISMATCH",
        "steps[2].input.amount",
        "minimum",
    ),
    (
        "literal behind a $ref",
        step(2, input={"amount": 1, "note": "x" * 11}),
        "SCHEMA_MISMATCH",
        "steps[2].input.note",
        "maxLength",
    ),
    (
        "text where a number is needed",
        step(2, input={"amount": "{{ input.orderId }} EUR"}),
        "SCHEMA_MISMATCH",
        "steps[2].input.amount",
        "one expression",
    ),
    (
        "name inside a list",
        step(2, input={"amount": 1, "lines": [{"skuu": "{{ input.orderId }}"}]}),
        "MISSING_INPUT",
        "steps[2].input.lines[0].sku",
        "value",
    ),
    (
        "name that the action does not know",
        step(2, input={"amount": 1, "amuont": 2}),
        "UNKNOWN_INPUT",
        "steps[2].input.amuont",
        "`amount`",
    ),
    (
        "parameter that the endpoint does not have",
        step(0, input={}, path={"orderId": "1", "ordrId": "2"}),
        "UNKNOWN_INPUT",
        "steps[0].path.ordrId",
        "`orderId`",
    ),
    (
        "parameter of an endpoint that has none",
        step(2, path={"orderId": "1"}),
        "UNKNOWN_INPUT",
        "steps[2].path.orderId",
        "Leave it out",
    ),
    (
        "name lost to a whole part",
        step(2, input={"amount": 1}, body={"amount": 2}),
        "UNUSED_INPUT",
        "steps[2].input.amount",
        "body",
    ),
    (
        "header in other letters",
        step(0, headers={"x-trace": 3}),
        "SCHEMA_MISMATCH",
        "steps[0].headers.X-Trace",
        "a text",
    ),
    ("header of ours", step(2, headers={"Host": "x"}), "BAD_HEADER", "steps[2].headers.Host", "out"),
    (
        "compensation without its parameter",
        step(2, compensate={"action": "payments/cancel-refund"}),
        "MISSING_INPUT",
        "steps[2].compensate.input.id",
        "value",
    ),
    (
        "compensation unknown",
        step(2, compensate={"action": "payments/undo"}),
        "UNKNOWN_ACTION",
        "steps[2].compensate.action",
        "",
    ),
]


@pytest.mark.parametrize(
    ("change", "code", "path", "mend"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_each_fault_is_found_at_its_place(change: Change, code: str, path: str, mend: str) -> None:
    found = [problem for problem in problems(change) if problem.code == code]
    assert [problem.path for problem in found] == [path]
    assert mend in found[0].mend


def test_a_tenant_without_anything_is_told_what_to_create() -> None:
    found = {problem.path: problem.mend for problem in problems(known=Catalog())}
    assert found["steps[0].action"] == "Create `shop/get-order` first."
    assert found["steps[0].connection"] == "Create `shop-main` first."


def test_what_only_a_run_can_know_is_left_to_it() -> None:
    assert problems(step(2, input="{{ steps.fetch_order.output }}")) == []
    assert problems(step(2, input={"amount": "{{ steps.fetch_order.output.total | int }}"})) == []
