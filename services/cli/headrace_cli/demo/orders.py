"""The runs of the demo: what is started, and what must have come true when they have ended."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from headrace.workflow.state import RunStatus

from headrace_cli.runs.view import RunView

REFUND = "refund-order"
# The warehouse answers 503 this often for each order before it works.
_BUSY = 2


@dataclass(frozen=True, slots=True)
class Order:
    """One run to start, and how it must end."""

    workflow: str
    input: Mapping[str, Any]
    expect: RunStatus

    @property
    def number(self) -> str:
        return str(self.input["orderId"])


def read_orders(file: Path) -> list[Order]:
    """The orders in the demo's file."""
    return [
        Order(value["workflow"], value["input"], RunStatus(value["expect"]))
        for value in orjson.loads(file.read_bytes())
    ]


def unmet(orders: Sequence[Order], runs: Sequence[RunView], journal: Mapping[str, Any]) -> list[str]:
    """What did not come true, a sentence each; nothing when the demo is as it should be.

    The runs' own word is compared with the journal of the storefront, which saw every call.
    """
    return [*_wrong_ends(orders, runs), *_wrong_calls(orders, runs, journal)]


def _wrong_ends(orders: Sequence[Order], runs: Sequence[RunView]) -> Iterator[str]:
    for order, run in zip(orders, runs, strict=True):
        if run.status is not order.expect:
            yield f"order {order.number} was to end {order.expect} and is {run.status}"


def _wrong_calls(
    orders: Sequence[Order], runs: Sequence[RunView], journal: Mapping[str, Any]
) -> Iterator[str]:
    entries = journal["entries"]
    refunding = [order.number for order in orders if order.workflow == REFUND]
    asked = Counter(e["order"] for e in entries if e["operation"] == "get_return")
    for number in refunding:
        if asked[number] != _BUSY + 1:
            yield f"the warehouse was asked {asked[number]} times for order {number}, not {_BUSY + 1}"
    refunded = Counter(refund["order"] for refund in journal["refunds"])
    succeeded = {
        order.number
        for order, run in zip(orders, runs, strict=True)
        if any(step.key == "refund" and step.status == "SUCCESS" for step in run.steps)
    }
    if refunded != Counter(succeeded):
        yield f"{sum(refunded.values())} refunds were made for {len(succeeded)} steps that succeeded"
    if not succeeded:
        yield "no refund was made"
    if refused := [e for e in entries if e["status"] == 401 and e["api"] not in ("payments", "ledger")]:
        yield f"{len(refused)} calls came without a valid credential"
    if not all(journal["tokensIssued"].values()):
        yield "a token endpoint was never asked"
    if missing := {e["api"] for e in entries} ^ _APIS:
        yield f"not called as planned: {', '.join(sorted(missing))}"


_APIS = {"shop", "warehouse", "customers", "payments", "ledger", "notifications"}
