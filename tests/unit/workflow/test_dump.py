"""From documents to data: nothing is lost on the way, whatever the document."""

from copy import deepcopy
from typing import Any

import pytest
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


@pytest.mark.parametrize("data", [refund(), onboarding()])
def test_dumping_is_the_inverse(data: Any) -> None:
    assert dump_document(parse_document(data)) == data


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
