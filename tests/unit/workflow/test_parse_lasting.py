"""What makes runs last, from data to documents: waits, loops, children, conditions and what undoes."""

from typing import Any

import pytest
from headrace.workflow.document import (
    AllOf,
    AnyOf,
    Approval,
    Child,
    Concurrency,
    Condition,
    DeadlineOutcome,
    EdgeOn,
    Ending,
    ErrorClass,
    Expression,
    ForEach,
    Join,
    Not,
    OnError,
    OnLimit,
    Probe,
    Repeat,
    RetryPolicy,
    RetryStrategy,
    Signal,
    Wait,
)
from headrace.workflow.dump import dump_document
from headrace.workflow.parse import parse_document

from tests.unit.workflow.documents import onboarding
from tests.unit.workflow.parsing import problems


def test_every_key_of_what_lasts_is_read() -> None:
    document = parse_document(onboarding())
    steps = {step.key: step for step in document.steps}
    assert document.compensate_on == {Ending.CANCEL, Ending.REJECTION}
    assert document.concurrency == Concurrency(5, OnLimit.CANCEL_PREVIOUS, "$.customer")
    assert document.retries == {"action": RetryPolicy(RetryStrategy.FIXED, 4, 10, 20)}
    assert document.retry_budget == 40
    assert steps["reserve"].for_each == ForEach("{{ input.lines }}", 4, OnError.CONTINUE)
    exists = Condition("output.body.id", "exists")
    assert steps["reserve"].probe == Probe(
        "shop/find-reservation",
        AllOf((exists, Expression("{{ status == 'SUCCESS' }}"))),
        {"number": "{{ index }}"},
        "shop-read",
        {"id": "$.body.id"},
        RetryPolicy(RetryStrategy.FIXED, 2, 1, 2, (ErrorClass.TIMEOUT,)),
    )
    undo = steps["reserve"].compensate
    assert undo is not None
    assert (undo.connection, undo.timeout_ms) == ("shop-main", 900)
    among = Condition("output.body.state", "in", ["SIGNED", "VOID"])
    assert steps["signed"].repeat == Repeat(AnyOf((among,)), 60_000, 50)
    assert steps["pause"].wait == Wait(for_ms=86_400_000)
    assert steps["start"].wait == Wait(until="{{ input.startsAt }}")
    assert steps["start"].join is Join.ANY
    assert steps["agree"].approval == Approval(
        title="Take on {{ input.customer }}?",
        details={"lines": "{{ input.lines }}"},
        roles=("APPROVER",),
        members=("ann", "bo"),
        not_starter=True,
        form={"type": "object", "properties": {"limit": {"type": "integer"}}},
        deadline_ms=172_800_000,
        default=DeadlineOutcome.APPROVE,
        remind_every_ms=3_600_000,
    )
    assert steps["look"].approval == Approval()
    assert steps["paid"].signal == Signal(
        "payment-received", {"type": "object"}, 1000, DeadlineOutcome.CONTINUE
    )
    assert steps["called"].signal == Signal()
    assert steps["ship"].child == Child("ship-order", 3)
    assert steps["bill"].child == Child("bill-order")
    assert steps["done"].input == {"bill": "{{ steps.bill.output }}"}
    assert document.edges[1].when == Not(Condition("output.body.state", "eq", None))
    assert document.edges[2].when == Expression("{{ output.body.state == 'VOID' }}")
    assert document.edges[-1].on is EdgeOn.ERROR


def one(**step: Any) -> Any:
    return {"workflow": "w", "steps": [{"key": "a", **step}]}


def branch(when: Any, **edge: Any) -> Any:
    steps = [{"key": key, "type": "transform", "input": 1} for key in "ab"]
    return {"workflow": "w", "steps": steps, "edges": [{"from": "a", "to": "b", "when": when, **edge}]}


def nested(depth: int) -> Any:
    when: Any = "{{ true }}"
    for _ in range(depth - 1):
        when = {"not": when}
    return when


@pytest.mark.parametrize(
    ("data", "path", "code"),
    [
        (one(type="wait"), "steps[0].wait", "MISSING_KEY"),
        (one(type="wait", wait={}), "steps[0].wait", "INVALID"),
        (one(type="wait", wait={"forMs": 1, "until": "x"}), "steps[0].wait", "INVALID"),
        (one(type="wait", wait={"forMs": 0}), "steps[0].wait.forMs", "INVALID"),
        (one(type="wait", wait={"forMs": 1}, retry={"strategy": "NONE"}), "steps[0].retry", "UNKNOWN_KEY"),
        (one(type="approval", approval={"default": "continue"}), "steps[0].approval.default", "INVALID"),
        (one(type="approval", approval={"roles": ["A", "A"]}), "steps[0].approval.roles[1]", "INVALID"),
        (one(type="approval", approval={"notStarter": 1}), "steps[0].approval.notStarter", "INVALID"),
        (one(type="approval", approval={"remindEveryMs": 999}), "steps[0].approval.remindEveryMs", "INVALID"),
        (one(type="signal", signal={"default": "approve"}), "steps[0].signal.default", "INVALID"),
        (one(type="signal", signal={"name": "No"}), "steps[0].signal.name", "INVALID"),
        (one(type="workflow"), "steps[0].workflow", "MISSING_KEY"),
        (one(type="workflow", workflow="No"), "steps[0].workflow", "INVALID"),
        (one(type="workflow", workflow={"version": 1}), "steps[0].workflow.name", "MISSING_KEY"),
        (one(type="workflow", workflow={"name": "w", "version": 0}), "steps[0].workflow.version", "INVALID"),
        (
            one(type="workflow", workflow="w", compensate={"action": "x/y"}),
            "steps[0].compensate",
            "UNKNOWN_KEY",
        ),
        (one(type="fail"), "steps[0].input", "MISSING_KEY"),
        (one(type="fail", input={"code": "too large", "message": "m"}), "steps[0].input.code", "INVALID"),
        (one(type="fail", input={"code": "X"}), "steps[0].input.message", "MISSING_KEY"),
        (one(type="succeed", onError="continue"), "steps[0].onError", "UNKNOWN_KEY"),
        (one(type="acme.sftp", forEach={"items": []}), "steps[0].forEach", "UNKNOWN_KEY"),
        (one(action="x/y", forEach={"items": "all"}), "steps[0].forEach.items", "INVALID"),
        (one(action="x/y", forEach={}), "steps[0].forEach.items", "MISSING_KEY"),
        (
            one(action="x/y", forEach={"items": [], "maxConcurrency": 101}),
            "steps[0].forEach.maxConcurrency",
            "INVALID",
        ),
        (one(action="x/y", repeat={"until": "{{ true }}"}), "steps[0].repeat.everyMs", "MISSING_KEY"),
        (
            one(action="x/y", repeat={"until": "{{ true }}", "everyMs": 99}),
            "steps[0].repeat.everyMs",
            "INVALID",
        ),
        (
            one(action="x/y", repeat={"until": "{{ true }}", "everyMs": 100, "max": 10001}),
            "steps[0].repeat.max",
            "INVALID",
        ),
        (one(action="x/y", repeat={"until": "yes", "everyMs": 100}), "steps[0].repeat.until", "INVALID"),
        (one(action="x/y", probe={"action": "x/z"}), "steps[0].probe.done", "MISSING_KEY"),
        (one(action="x/y", compensate={}), "steps[0].compensate.action", "MISSING_KEY"),
        (
            one(action="x/y", compensate={"action": "x/z", "path": {}}),
            "steps[0].compensate.path",
            "UNKNOWN_KEY",
        ),
        (one(action="x/y", join="some"), "steps[0].join", "INVALID"),
        (one(action="x/y", retry={"strategy": "FIXED", "on": []}), "steps[0].retry.on", "INVALID"),
        (one(action="x/y", retry={"strategy": "FIXED", "on": ["SOME"]}), "steps[0].retry.on[0]", "INVALID"),
        (one(action="x/y") | {"compensateOn": ["failure", "failure"]}, "compensateOn[1]", "INVALID"),
        (one(action="x/y") | {"concurrency": {"limit": 0}}, "concurrency.limit", "INVALID"),
        (one(action="x/y") | {"concurrency": {"key": "orderId"}}, "concurrency.key", "INVALID"),
        (one(action="x/y") | {"retries": {"Action": {"strategy": "FIXED"}}}, "retries.Action", "INVALID"),
        (one(action="x/y") | {"retries": {"action": {}}}, "retries.action.strategy", "MISSING_KEY"),
        (one(action="x/y") | {"retryBudget": -1}, "retryBudget", "INVALID"),
        (branch("{{ a }}", on="failure"), "edges[0].on", "INVALID"),
        (branch("output.x > 1"), "edges[0].when", "INVALID"),
        (branch(["{{ a }}"]), "edges[0].when", "INVALID"),
        (branch({"operator": "exists"}), "edges[0].when.field", "MISSING_KEY"),
        (branch({"all": []}), "edges[0].when.all", "INVALID"),
        (branch({"all": ["{{ a }}"], "field": "status"}), "edges[0].when.field", "UNKNOWN_KEY"),
        (branch({"any": ["{{ a }}", {"not": 1}]}), "edges[0].when.any[1].not", "INVALID"),
        (branch(nested(9)), "edges[0].when" + ".not" * 8, "CONDITION_TOO_LARGE"),
        (branch({"all": ["{{ a }}"] * 51}), "edges[0].when", "CONDITION_TOO_LARGE"),
        (
            branch({"field": "status", "operator": "between", "value": [1, "2"]}),
            "edges[0].when.value",
            "INVALID",
        ),
        (branch({"field": "status", "operator": "in", "value": "x"}), "edges[0].when.value", "INVALID"),
        (
            branch({"field": "status", "operator": "typeIs", "value": "string"}),
            "edges[0].when.value",
            "INVALID",
        ),
        (branch({"field": "status", "operator": "lengthGt", "value": -1}), "edges[0].when.value", "INVALID"),
        (branch({"field": "status", "operator": "isNull", "value": True}), "edges[0].when.value", "INVALID"),
        (branch({"field": "status", "operator": "matches"}), "edges[0].when.value", "MISSING_KEY"),
    ],
)
def test_what_lasts_is_refused_with_its_place(data: Any, path: str, code: str) -> None:
    found = problems(data)
    assert [(problem.path, problem.code) for problem in found] == [(path, code)]
    assert found[0].mend


def test_conditions_may_be_as_deep_and_as_many_as_is_said() -> None:
    assert parse_document(branch(nested(8))).edges[0].when
    assert parse_document(branch({"all": ["{{ a }}"] * 50})).edges[0].when


def test_without_new_keys_a_document_is_spelled_as_before() -> None:
    """Digests of versions published long ago are made of it."""
    retry = {"strategy": "FIXED", "maxAttempts": 3, "initialDelayMs": 200, "maxDelayMs": 10_000}
    when = {"field": "status", "operator": "exists"}
    data = branch(when)
    data["steps"].append(
        {"key": "c", "action": "x/y", "retry": retry, "compensate": {"action": "x/z", "input": {}}}
    )
    assert dump_document(parse_document(data)) == data
