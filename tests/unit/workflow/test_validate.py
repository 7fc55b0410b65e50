"""Publishing checks: each fault is found, with its place, its code and a mend; the good document has none."""

from collections.abc import Callable
from typing import Any

import pytest
from headrace.errors import Problem
from headrace.workflow.parse import parse_document
from headrace.workflow.validate import Catalog, validate_document

from tests.unit.workflow.catalogs import catalog
from tests.unit.workflow.documents import refund

Change = Callable[[Any], None]


def problems(change: Change | None = None, known: Catalog | None = None) -> list[Problem]:
    data = refund()
    if change:
        change(data)
    return validate_document(parse_document(data), known or catalog())


def step(index: int, **changes: Any) -> Change:
    def change(data: Any) -> None:
        data["steps"][index].update(changes)

    return change


def test_a_good_document_has_no_problem() -> None:
    assert problems() == []


def edges(*pairs: tuple[str, str]) -> Change:
    def change(data: Any) -> None:
        data["edges"] = [{"from": one, "to": other} for one, other in pairs]

    return change


def set_result(value: Any) -> Change:
    def change(data: Any) -> None:
        data["result"] = value

    return change


def set_parameters(value: Any) -> Change:
    def change(data: Any) -> None:
        data["parameters"] = value

    return change


def set_env(name: str, value: Any) -> Change:
    def change(data: Any) -> None:
        data["env"][name] = value

    return change


def set_when(**when: Any) -> Change:
    def change(data: Any) -> None:
        data["edges"][1]["when"] = when

    return change


CASES: list[tuple[str, Change, str, str, str]] = [
    # what, change, code, path, a word of the mend
    ("edge to nowhere", edges(("fetch_order", "refnd")), "UNKNOWN_STEP", "edges[0].to", "`refund`"),
    (
        "cycle",
        edges(("fetch_order", "label"), ("label", "refund"), ("refund", "label")),
        "CYCLE",
        "edges",
        "away",
    ),
    ("self edge", edges(("label", "label")), "CYCLE", "edges", "away"),
    ("untouched step", edges(("fetch_order", "label")), "UNCONNECTED_STEP", "steps[2]", "edge"),
    ("edge twice", edges(*[("fetch_order", "label")] * 2), "DUPLICATE_EDGE", "edges[1]", "away"),
    (
        "not upstream",
        step(2, input={"amount": "{{ steps.label.output.text }}"}),
        "NOT_UPSTREAM",
        "steps[2].input.amount",
        "edges",
    ),
    (
        "itself",
        step(2, input={"amount": "{{ steps.refund.output.body }}"}),
        "NOT_UPSTREAM",
        "steps[2].input.amount",
        "before",
    ),
    (
        "unknown step",
        step(2, input={"amount": "{{ steps.fetch_ordr.output.total }}"}),
        "UNKNOWN_STEP",
        "steps[2].input.amount",
        "`fetch_order`",
    ),
    (
        "unknown name of a mapped output",
        step(2, input={"amount": "{{ steps.fetch_order.output.totl }}"}),
        "UNKNOWN_OUTPUT",
        "steps[2].input.amount",
        "`total`",
    ),
    (
        "body left out",
        set_result("{{ steps.refund.output.id }}"),
        "UNKNOWN_OUTPUT",
        "result",
        "output.body.id",
    ),
    (
        "unknown step in result",
        set_result({"a": ["{{ steps.x.output }}"]}),
        "UNKNOWN_STEP",
        "result.a[0]",
        "label",
    ),
    ("unknown env", step(1, input="{{ env.REGIO }}"), "UNKNOWN_ENV", "steps[1].input", "`REGION`"),
    (
        "secret in a transform",
        step(1, input="{{ env.NOTIFY_TOKEN }}"),
        "SECRET_NOT_ALLOWED",
        "steps[1].input",
        "action",
    ),
    ("secret in the result", set_result("{{ env.NOTIFY_TOKEN }}"), "SECRET_NOT_ALLOWED", "result", "action"),
    (
        "unknown secret",
        set_env("X", {"secret": "notify-tokn"}),
        "UNKNOWN_SECRET",
        "env.X.secret",
        "`notify-token`",
    ),
    ("expression in env", set_env("X", "{{ input.a }}"), "EXPRESSION_NOT_ALLOWED", "env.X", "step"),
    ("unknown input", step(1, input="{{ input.orderID }}"), "UNKNOWN_INPUT", "steps[1].input", "`orderId`"),
    ("broken expression", step(1, input=["{{ 1 + }}"]), "BAD_EXPRESSION", "steps[1].input[0]", "operators"),
    ("call in an expression", step(1, input="{{ range(9) }}"), "BAD_EXPRESSION", "steps[1].input", "filter"),
    ("loop name outside a loop", step(1, input="{{ item }}"), "BAD_EXPRESSION", "steps[1].input", "forEach"),
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
    ("unknown step type", step(1, type="transfrom"), "UNKNOWN_STEP_TYPE", "steps[1].type", "`transform`"),
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
    ("bad parameters", set_parameters({"type": "objekt"}), "BAD_SCHEMA", "parameters.type", "2020-12"),
    (
        "condition on an unknown output",
        set_when(field="output.totl", operator="exists"),
        "UNKNOWN_OUTPUT",
        "edges[1].when.field",
        "`total`",
    ),
    (
        "expression in a condition",
        set_when(field="status", operator="eq", value="{{ input.orderId }}"),
        "EXPRESSION_NOT_ALLOWED",
        "edges[1].when.value",
        "{{ expression }}",
    ),
]


@pytest.mark.parametrize(
    ("change", "code", "path", "mend"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_each_fault_is_found_at_its_place(change: Change, code: str, path: str, mend: str) -> None:
    found = [problem for problem in problems(change) if problem.code == code]
    assert [problem.path for problem in found] == [path]
    assert mend in found[0].mend


def test_every_problem_comes_at_once() -> None:
    def change(data: Any) -> None:
        edges(("fetch_order", "refnd"))(data)
        step(0, action="shop/get-ordr")(data)
        step(1, input="{{ env.REGIO }}")(data)
        set_parameters({"type": "objekt"})(data)

    assert {problem.code for problem in problems(change)} == {
        "UNKNOWN_STEP",
        "UNKNOWN_ACTION",
        "UNKNOWN_ENV",
        "BAD_SCHEMA",
        "UNCONNECTED_STEP",
    }


def test_a_tenant_without_anything_is_told_what_to_create() -> None:
    found = {problem.path: problem.mend for problem in problems(known=Catalog())}
    assert found["steps[0].action"] == "Create `shop/get-order` first."
    assert found["steps[0].connection"] == "Create `shop-main` first."


def test_what_only_a_run_can_know_is_left_to_it() -> None:
    assert problems(step(2, input="{{ steps.fetch_order.output }}")) == []
    assert problems(step(2, input={"amount": "{{ steps.fetch_order.output.total | int }}"})) == []


def test_a_skipped_or_failed_step_may_be_asked_for_its_status() -> None:
    assert (
        problems(step(1, input="{{ steps.fetch_order.status }} {{ steps.fetch_order.error is none }}")) == []
    )


def test_open_parameters_take_any_name() -> None:
    def change(data: Any) -> None:
        data["parameters"]["additionalProperties"] = True
        data["steps"][1]["input"] = "{{ input.anything }}"

    assert problems(change) == []


def test_plug_in_types_are_known_by_the_catalogue() -> None:
    known = catalog()
    known = Catalog(known.actions, known.connections, known.secrets, known.step_types | {"acme.sftp"})
    assert problems(step(1, type="acme.sftp"), known) == []


def test_five_hundred_steps_are_checked_without_recursion() -> None:
    steps = [{"key": "s0", "type": "transform", "input": 0}]
    steps += [
        {"key": f"s{n}", "type": "transform", "input": f"{{{{ steps.s{n - 1}.output }}}}"}
        for n in range(1, 500)
    ]
    assert validate_document(parse_document({"workflow": "long", "steps": steps}), Catalog()) == []
    ring = [{"from": f"s{n}", "to": f"s{(n + 1) % 500}"} for n in range(500)]
    found = validate_document(parse_document({"workflow": "ring", "steps": steps, "edges": ring}), Catalog())
    assert [problem.code for problem in found] == ["CYCLE"]


@pytest.mark.parametrize(
    ("key", "codes"), [("$.card.last4", ["SENSITIVE_KEY"]), ("$.card", ["SENSITIVE_KEY"]), ("$.id", [])]
)
def test_what_is_sensitive_limits_no_runs(key: str, codes: list[str]) -> None:
    """A digest of the key is kept beside the runs, and could be tried out."""

    def change(data: Any) -> None:
        marked = {"properties": {"last4": {"x-sensitive": True}}}
        data["parameters"]["properties"] |= {"card": marked, "id": {}}
        data["concurrency"] = {"key": key}

    found = problems(change)
    assert [(problem.code, problem.path) for problem in found] == [
        (code, "concurrency.key") for code in codes
    ]
