"""What the demo holds against itself: a run that ended otherwise, a call that was missing or one too many."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from headrace.workflow.state import RunStatus, StepStatus
from headrace_cli.demo.orders import Order, read_orders, unmet
from headrace_cli.runs.view import RunView, StepView

FILE = Path(__file__).parents[3] / "docs" / "demo" / "orders.json"
AT = datetime(2026, 5, 4, tzinfo=UTC)
ORDERS = [
    Order("refund-order", {"orderId": "1002"}, RunStatus.SUCCESS),
    Order("refund-order", {"orderId": "1008"}, RunStatus.FAILED),
    Order("thank-customer", {"orderId": "1001"}, RunStatus.SUCCESS),
]


def run(workflow: str, status: RunStatus, **steps: StepStatus) -> RunView:
    shown = [StepView(key, value, 1, None, AT, AT) for key, value in steps.items()]
    return RunView("id", workflow, status, None, None, shown, AT, AT)


RUNS = [
    run("refund-order", RunStatus.SUCCESS, refund=StepStatus.SUCCESS),
    run("refund-order", RunStatus.FAILED, refund=StepStatus.FAILED),
    run("thank-customer", RunStatus.SUCCESS),
]


def call(api: str, operation: str = "", order: str = "1002", status: int = 200) -> dict[str, Any]:
    return {"api": api, "operation": operation, "order": order, "status": status}


def journal() -> dict[str, Any]:
    """What the storefront sees when all is well."""
    asked = [call("warehouse", "get_return", order) for order in ("1002", "1008") for _ in range(3)]
    others = [call(api) for api in ("shop", "customers", "payments", "ledger", "notifications")]
    return {
        "entries": asked + others,
        "refunds": [{"order": "1002"}],
        "tokensIssued": {"payments": 1, "ledger": 1},
    }


def test_nothing_is_held_against_what_is_well() -> None:
    assert unmet(ORDERS, RUNS, journal()) == []


def test_a_run_that_ended_otherwise() -> None:
    ended = [run("refund-order", RunStatus.FAILED, refund=StepStatus.SUCCESS), *RUNS[1:]]
    assert unmet(ORDERS, ended, journal()) == ["order 1002 was to end SUCCESS and is FAILED"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda j: j["refunds"].append({"order": "1002"}), "2 refunds were made for 1 steps"),
        (lambda j: j["refunds"].clear(), "0 refunds were made for 1 steps"),
        (lambda j: j["entries"].append(call("warehouse", "get_return")), "asked 4 times for order 1002"),
        (lambda j: j["entries"].pop(0), "asked 2 times for order 1002"),
        (lambda j: j["entries"].append(call("shop", status=401)), "without a valid credential"),
        (lambda j: j["tokensIssued"].update(ledger=0), "never asked"),
        (lambda j: j["entries"].pop(), "notifications"),
    ],
)
def test_a_call_that_was_missing_or_one_too_many(change: Any, word: str) -> None:
    seen = journal()
    change(seen)
    (sentence,) = unmet(ORDERS, RUNS, seen)
    assert word in sentence


def test_the_demo_s_file_has_25_orders_of_both_kinds_and_ends() -> None:
    orders = read_orders(FILE)
    assert len({order.number for order in orders}) == 25
    assert {order.workflow for order in orders} == {"refund-order", "thank-customer"}
    assert {order.expect for order in orders} == {RunStatus.SUCCESS, RunStatus.FAILED}
