"""contracts/workflow.v1.schema.json: made from the code, and of one mind with the parser."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from headrace.errors import InvalidInput
from headrace.workflow.document_schema import workflow_schema
from headrace.workflow.parse import parse_document
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.workflow.documents import onboarding, refund

FILE = Path(__file__).parents[2] / "contracts" / "workflow.v1.schema.json"

# Rules that JSON Schema has no words for.
BEYOND_SCHEMA = frozenset({"DUPLICATE_KEY", "CONDITION_TOO_LARGE"})


@pytest.fixture(scope="module")
def published() -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(json.loads(FILE.read_text()))


def accepts(data: Any) -> bool | None:
    """Whether the parser takes `data`; None when it refuses for a rule beyond the schema alone."""
    try:
        parse_document(data)
    except InvalidInput as error:
        return None if {problem.code for problem in error.problems} <= BEYOND_SCHEMA else False
    return True


def test_the_file_is_what_the_code_makes() -> None:
    assert json.loads(FILE.read_text()) == workflow_schema(), "run `make contracts`"


def test_the_schema_is_a_schema(published: jsonschema_rs.Draft202012Validator) -> None:
    jsonschema_rs.meta.validate(workflow_schema())
    assert published.is_valid(refund())
    assert published.is_valid(onboarding())


names = st.sampled_from(
    ["a", "fetch_order", "x-1", "9", "Upper", "", "a/b", "shop/get-order", "steps", "é", "a b"]
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 700_000),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    names,
    st.sampled_from(
        [
            "{{ input.a }}",
            "$.body",
            "FIXED",
            "NONE",
            "fail",
            "WARN",
            "transform",
            "action",
            "eq",
            "status",
            "wait",
            "approval",
            "signal",
            "workflow",
            "succeed",
            "acme.sftp",
            "continue",
            "any",
            "error",
            "isNull",
            "between",
            "lengthEq",
            "typeIs",
            "text",
            "TIMEOUT",
            "CODE",
        ]
    ),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
    max_leaves=6,
)
KEYS = [
    "workflow", "parameters", "env", "steps", "edges", "result", "timeoutMs", "key", "type", "action", "connection",
    "input", "path", "query", "headers", "body", "output", "retry", "onError", "onOutputMismatch", "compensate",
    "from", "to", "when", "field", "operator", "value", "strategy", "maxAttempts", "initialDelayMs", "secret", "zzz",
    "compensateOn", "concurrency", "limit", "onLimit", "retries", "retryBudget", "join", "forEach", "items",
    "maxConcurrency", "onItemError", "repeat", "until", "everyMs", "max", "probe", "done", "wait", "forMs", "approval",
    "title", "details", "roles", "notStarter", "form", "deadlineMs", "default", "remindEveryMs", "signal", "name",
    "schema", "version", "all", "any", "not", "on", "code", "message",
]  # fmt: skip


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in `value`."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        part = waiting.pop()
        pairs = (
            list(part.items())
            if isinstance(part, dict)
            else list(enumerate(part))
            if isinstance(part, list)
            else []
        )
        found += [(part, key) for key, _ in pairs]
        waiting += [inner for _, inner in pairs]
    return found


@st.composite
def documents(draw: st.DrawFn) -> Any:
    """A good document with one to three things replaced, removed or added anywhere."""
    data = deepcopy(draw(st.sampled_from([refund(), onboarding()])))
    for _ in range(draw(st.integers(1, 3))):
        spots = places(data)
        if not spots:
            break
        container, key = spots[draw(st.integers(0, len(spots) - 1))]
        match draw(st.sampled_from(["replace", "remove", "add"])):
            case "replace":
                container[key] = draw(values)
            case "remove":
                del container[key]
            case _ if isinstance(container, dict):
                container[draw(st.sampled_from(KEYS))] = draw(values)
            case _:
                container.append(draw(values))
    return data


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=documents())
def test_parser_and_schema_agree(published: jsonschema_rs.Draft202012Validator, data: Any) -> None:
    verdict = accepts(data)
    if verdict is None:
        assert published.is_valid(data)
    else:
        assert published.is_valid(data) is verdict


@pytest.mark.parametrize(
    "change",
    [
        {"steps": []},
        {"steps": [{"key": "a", "action": "shop/x"}] * 1 + [{"key": "b", "type": "transform"}]},
        {"steps": [{"key": "a", "type": "transform", "input": 1, "connection": "x"}]},
        {"steps": [{"key": "a", "type": "acme.sftp", "input": [1]}]},
        {"steps": [{"key": "a", "action": "x/y", "input": [1]}]},
        {"steps": [{"key": "a", "action": "x/y", "retry": {"strategy": "NONE", "maxAttempts": 2}}]},
        {"steps": [{"key": "a", "action": "x/y", "timeoutMs": 600001}]},
        {"steps": [{"key": "a", "action": "x/y", "timeoutMs": 5.0}]},
        {"steps": [{"key": f"s{n}", "action": "x/y"} for n in range(1001)]},
        {"edges": [{"from": "a", "to": "b", "when": {"field": "status", "operator": "exists", "value": 1}}]},
        {"edges": [{"from": "a", "to": "b", "when": {"field": "outputs.x", "operator": "exists"}}]},
        {"edges": [{"from": "a", "to": "b", "when": {"field": "output.x", "operator": "gt", "value": True}}]},
        {"edges": [{"from": "a", "to": "b", "when": {"field": "output.x", "operator": "eq"}}]},
        {"edges": [{"from": "a", "to": "b", "when": "{{ a }} and {{ b }}"}]},
        {"edges": [{"from": "a", "to": "b", "when": "a {{ b }}"}]},
        {"edges": [{"from": "a", "to": "b", "when": {"not": {"all": []}}}]},
        {"edges": [{"from": "a", "to": "b", "when": {"not": {"all": ["{{ x }}"], "any": ["{{ y }}"]}}}]},
        {
            "edges": [
                {"from": "a", "to": "b", "when": {"field": "status", "operator": "isNull", "value": None}}
            ]
        },
        {
            "edges": [
                {
                    "from": "a",
                    "to": "b",
                    "when": {"field": "status", "operator": "between", "value": [1, 2.5]},
                }
            ]
        },
        {
            "edges": [
                {
                    "from": "a",
                    "to": "b",
                    "when": {"field": "status", "operator": "between", "value": [True, 2]},
                }
            ]
        },
        {
            "edges": [
                {"from": "a", "to": "b", "when": {"field": "status", "operator": "lengthEq", "value": 2.0}}
            ]
        },
        {
            "edges": [
                {"from": "a", "to": "b", "when": {"field": "status", "operator": "typeIs", "value": "other"}}
            ]
        },
        {"edges": [{"from": "a", "to": "b", "on": "error"}]},
        {"steps": [{"key": "a", "type": "wait"}]},
        {"steps": [{"key": "a", "type": "wait", "wait": {}}]},
        {"steps": [{"key": "a", "type": "wait", "wait": {"forMs": 1, "until": "x"}}]},
        {"steps": [{"key": "a", "type": "approval", "approval": {}}]},
        {"steps": [{"key": "a", "type": "signal"}]},
        {"steps": [{"key": "a", "type": "signal", "action": "x/y"}]},
        {"steps": [{"key": "a", "type": "workflow", "workflow": {"name": "w"}, "input": [1]}]},
        {"steps": [{"key": "a", "type": "succeed"}]},
        {"steps": [{"key": "a", "type": "fail", "input": {"code": "{{ x }}", "message": "m"}}]},
        {"steps": [{"key": "a", "type": "fail", "input": "{{ x }}"}]},
        {"steps": [{"key": "a", "type": "acme.sftp", "repeat": {"until": "{{ x }}", "everyMs": 100}}]},
        {"steps": [{"key": "a", "action": "x/y", "forEach": {"items": "{{ x"}}]},
        {"steps": [{"key": "a", "action": "x/y", "forEach": {"items": None}}]},
        {"steps": [{"key": "a", "action": "x/y", "retry": {"strategy": "FIXED", "on": []}}]},
        {"compensateOn": []},
        {"compensateOn": ["cancel", "cancel"]},
        {"concurrency": {}},
        {"concurrency": {"key": ""}},
        {"retries": {"action": None}},
        {"env": {"A": {"secret": "x", "more": 1}}},
        {"env": {"A": [1]}},
        {"timeoutMs": 0},
    ],
)
def test_they_agree_at_the_borders(
    published: jsonschema_rs.Draft202012Validator, change: dict[str, Any]
) -> None:
    data = refund() | change
    assert published.is_valid(data) is accepts(data)
