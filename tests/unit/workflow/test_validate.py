"""Publishing checks of edges, expressions and parameters: each fault has its place, its code and a mend."""

from dataclasses import replace
from typing import Any

import pytest
from headrace.workflow.parse import parse_document
from headrace.workflow.validate import Catalog, validate_document

from tests.unit.workflow.catalogs import catalog
from tests.unit.workflow.faulty_refunds import (
    Change,
    edges,
    problems,
    set_env,
    set_parameters,
    set_result,
    set_when,
    step,
)


def test_a_good_document_has_no_problem() -> None:
    assert problems() == []


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
    ("unknown step type", step(1, type="transfrom"), "UNKNOWN_STEP_TYPE", "steps[1].type", "`transform`"),
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


def test_a_secret_is_named_in_calls_of_its_apps_alone() -> None:
    def change(data: Any) -> None:
        value = {"X": ["{{ env.NOTIFY_TOKEN }}"]}
        step(0, input=value, probe={"action": "shop/get-order", "input": value, "done": "{{ true }}"})(data)
        data["steps"][0]["compensate"] = {"action": "payments/cancel-refund", "input": value}
        data["steps"][0]["cache"] = {"ttlMs": 1000, "key": "{{ env.NOTIFY_TOKEN }}"}

    def places(*apps: str) -> set[str]:
        known = replace(catalog(), secret_apps={"notify-token": frozenset(apps)})
        found = [problem for problem in problems(change, known) if problem.code == "SECRET_NOT_FOR_APP"]
        assert all(problem.mend.startswith("Send it to") for problem in found)
        return {problem.path for problem in found}

    undo, own = {"steps[0].compensate.input.X[0]"}, {f"steps[0].{at}" for at in ("input.X[0]", "cache.key")}
    assert places("shop", "payments") == set()
    assert places("payments") == {*own, "steps[0].probe.input.X[0]"}
    assert places("shop") == {*undo, "steps[2].headers.X-Token"}


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
