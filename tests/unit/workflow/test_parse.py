"""From data to documents and back: what is read, what is refused, and that nothing is lost on the way."""

from copy import deepcopy
from typing import Any

import pytest
from headrace.errors import InvalidInput, Problem
from headrace.json_types import Json
from headrace.workflow.document import (
    AllOf,
    AnyOf,
    Approval,
    Child,
    Compensation,
    Concurrency,
    Condition,
    DeadlineOutcome,
    Document,
    Edge,
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
    Step,
    Wait,
)
from headrace.workflow.dump import dump_document
from headrace.workflow.parse import parse_document
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.workflow.documents import onboarding, refund


def problems(data: object) -> tuple[Problem, ...]:
    with pytest.raises(InvalidInput) as caught:
        parse_document(data)
    return caught.value.problems


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


@pytest.mark.parametrize("data", [refund(), onboarding()])
def test_dumping_is_the_inverse(data: Any) -> None:
    assert dump_document(parse_document(data)) == data


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


def test_what_is_left_out_has_its_default() -> None:
    data = {"workflow": "w", "steps": [{"key": "a", "action": "x/y", "retry": {"strategy": "FIXED"}}]}
    step = parse_document(data).steps[0]
    assert step.type == "action"
    assert step.on_error is OnError.FAIL
    assert step.retry == RetryPolicy(RetryStrategy.FIXED, 3, 200, 10_000)


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


json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**53), 2**53),
        st.floats(allow_nan=False, allow_infinity=False),
    )
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(result=json_values, made=json_values, body=json_values, value=json_values)
def test_values_of_any_shape_survive(result: Json, made: Json, body: Json, value: Json) -> None:
    data: Any = deepcopy(refund())
    data["result"] = result
    data["steps"][1]["input"] = made
    data["steps"][2]["body"] = body
    data["edges"][1]["when"] = {"field": "output", "operator": "eq", "value": value}
    document = parse_document(data)
    assert parse_document(dump_document(document)) == document


whens = st.recursive(
    st.one_of(
        st.sampled_from([Expression("{{ output.x }}"), Expression(" {{ a }} {{ b }}\n")]),
        st.builds(lambda value: Condition("output.x", "contains", value), json_values),
        st.sampled_from(["exists", "isNull", "isTrue"]).map(lambda operator: Condition("status", operator)),
    ),
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: AllOf(tuple(parts))),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: AnyOf(tuple(parts))),
    ),
    max_leaves=5,
)
words = st.text("abc{} .", min_size=1, max_size=8)
retries = st.none() | st.builds(
    RetryPolicy,
    st.sampled_from([RetryStrategy.FIXED, RetryStrategy.EXPONENTIAL]),
    st.integers(1, 50),
    st.integers(0, 9),
    st.integers(0, 9),
    st.lists(st.sampled_from(ErrorClass), unique=True).map(tuple),
)
millis = st.none() | st.integers(1000, 10**9)
objects = st.dictionaries(st.sampled_from("abc"), json_values, max_size=2)
outputs = st.none() | st.dictionaries(st.sampled_from("abc"), st.just("$.body"), max_size=2)
compensations = st.none() | st.builds(
    Compensation,
    st.just("x/y"),
    objects,
    st.sampled_from([None, "c"]),
    retries,
    st.sampled_from([None, 1, 600_000]),
)
probes = st.none() | st.builds(
    Probe, st.just("x/y"), whens, objects, st.sampled_from([None, "c"]), outputs, retries
)
loops = st.none() | st.builds(
    ForEach,
    st.lists(json_values, max_size=2) | st.just("{{ input }}"),
    st.integers(1, 100),
    st.sampled_from(OnError),
)
rounds = st.none() | st.builds(Repeat, whens, st.integers(100, 9999), st.integers(1, 10_000))
approvals = st.builds(
    Approval,
    st.just("") | words,
    json_values,
    st.lists(words, unique=True, max_size=2).map(tuple),
    st.lists(words, unique=True, max_size=2).map(tuple),
    st.booleans(),
    st.none() | objects,
    millis,
    st.sampled_from([DeadlineOutcome.APPROVE, DeadlineOutcome.REJECT, DeadlineOutcome.FAIL]),
    millis,
)
signals = st.builds(
    Signal,
    st.sampled_from([None, "s"]),
    st.none() | objects,
    millis,
    st.sampled_from([DeadlineOutcome.FAIL, DeadlineOutcome.CONTINUE]),
)
waits = st.builds(lambda for_ms: Wait(for_ms=for_ms), st.integers(1, 10**9)) | words.map(
    lambda text: Wait(until=text)
)
children = st.builds(Child, st.sampled_from(["w", "x-1"]), st.none() | st.integers(1, 99))
errors = st.sampled_from(OnError)
joins = st.sampled_from(Join)
steps = st.one_of(
    st.builds(
        Step,
        key=st.just("a"),
        action=st.just("x/y"),
        input=st.none() | objects,
        compensate=compensations,
        probe=probes,
        for_each=loops,
        repeat=rounds,
        join=joins,
        retry=retries,
        output=outputs,
    ),
    st.builds(
        Step, key=st.just("a"), type=st.just("transform"), input=json_values, for_each=loops, repeat=rounds
    ),
    st.builds(Step, key=st.just("a"), type=st.just("wait"), wait=waits, join=joins, on_error=errors),
    st.builds(Step, key=st.just("a"), type=st.just("approval"), approval=approvals, join=joins),
    st.builds(Step, key=st.just("a"), type=st.just("signal"), signal=signals, on_error=errors),
    st.builds(
        Step,
        key=st.just("a"),
        type=st.just("workflow"),
        child=children,
        input=st.none() | objects,
        for_each=loops,
    ),
    st.builds(Step, key=st.just("a"), type=st.just("succeed"), input=json_values, join=joins),
    st.builds(
        Step,
        key=st.just("a"),
        type=st.just("fail"),
        input=st.sampled_from([{"code": "A_1", "message": "m"}, {"code": "{{ x }}", "message": "{{ y }}"}]),
    ),
)
documents = st.builds(
    Document,
    workflow=st.just("w"),
    steps=steps.map(lambda step: (step,)),
    edges=st.builds(Edge, st.just("a"), st.just("b"), st.none() | whens, st.sampled_from(EdgeOn)).map(
        lambda e: (e,)
    ),
    compensate_on=st.frozensets(st.sampled_from(Ending)),
    concurrency=st.none()
    | st.builds(Concurrency, st.integers(1, 9), st.sampled_from(OnLimit), st.sampled_from([None, "$.a"])),
    retries=st.just({}) | retries.map(lambda policy: {"action": policy} if policy else {}),
    retry_budget=st.none() | st.integers(0, 9),
)


@settings(deadline=None)
@given(document=documents)
def test_any_document_survives(document: Document) -> None:
    assert parse_document(dump_document(document)) == document
