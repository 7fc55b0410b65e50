"""Action definitions: what is read, what is refused, and which part of a request a name goes to."""

from typing import Any

import pytest
from headrace.errors import InvalidInput, Problem
from headrace.workflow.actions import (
    OWN_HEADERS,
    dump_action,
    endpoint_parameters,
    header_problem,
    parse_action,
)
from headrace.workflow.assign import Part, assign_input, part_of, takes_body
from headrace.workflow.definition import ActionDefinition, BodyType, IdempotencyMode
from headrace.workflow.document import OnMismatch

from tests.unit.workflow.documents import get_order


def problems(**changes: Any) -> list[Problem]:
    with pytest.raises(InvalidInput) as caught:
        parse_action(get_order() | changes, "shop")
    return list(caught.value.problems)


def action(method: str = "POST", **more: Any) -> ActionDefinition:
    return parse_action({"name": "a", "method": method, "endpointTemplate": "/x"} | more, "shop")


def test_every_key_is_read_and_written_back() -> None:
    definition = parse_action(get_order(), "shop")
    assert definition.ref == "shop/get-order"
    assert definition.idempotency.mode is IdempotencyMode.KEY
    assert definition.on_output_mismatch is OnMismatch.FAIL
    assert dump_action(definition) == get_order()


def test_defaults() -> None:
    definition = action()
    assert (definition.timeout_ms, definition.body_type, definition.approval_class) == (
        30_000,
        BodyType.JSON,
        None,
    )
    assert (definition.reversibility, definition.sensitivity) == ("UNKNOWN", "UNKNOWN")
    assert parse_action(dump_action(definition), "shop") == definition


def test_every_problem_comes_at_once() -> None:
    found = {
        problem.path
        for problem in problems(
            method="FETCH",
            timeoutMs=600_001,
            bodyTyp="JSON",
            approvalClass="D",
            querySchema=[],
            retry={},
            sensitivity=1,
        )
    }
    assert found == {
        "method",
        "timeoutMs",
        "bodyTyp",
        "approvalClass",
        "querySchema",
        "retry.strategy",
        "sensitivity",
    }


@pytest.mark.parametrize(
    "template",
    [
        "orders", "//evil.example/x", "http://evil.example/x", "/a?b=1", "/a#b", "/a/../b", "/..", "/a/./b", "/.",
        "/a/%2e%2E/b", "/a/%252e%252e/b", "/a/..%2fb", "/a\\..\\b", "/a b", "/a\nb", "/a\r\nHost: x", "/ü", "/a%zz",
        "/a%2", "/{a", "/a}", "/{}", "/{a b}", "/{{a}}", "/{1a}", "/a\0", "/" + "a" * 2_048, "",
    ],
)  # fmt: skip
def test_endpoints_that_are_refused(template: str) -> None:
    found = problems(endpointTemplate=template, pathSchema={})
    assert [problem.path for problem in found] == ["endpointTemplate"]


@pytest.mark.parametrize(
    ("template", "parameters"),
    [
        ("/", ()),
        ("/orders/{orderId}/lines/{line_id}", ("orderId", "line_id")),
        ("/a/{x}-{x}.json", ("x",)),
        ("/a/b..c/...", ()),
        ("/v1/users:batch@x;p=1,2/(a)", ()),
        ("/a%20b", ()),
    ],
)
def test_endpoints_that_are_read(template: str, parameters: tuple[str, ...]) -> None:
    assert action(endpointTemplate=template).endpoint_template == template
    assert endpoint_parameters(template) == parameters


def test_a_path_schema_may_only_declare_what_the_endpoint_has() -> None:
    found = problems(pathSchema={"properties": {"orderID": {}}})
    assert [(problem.path, problem.code) for problem in found] == [
        ("pathSchema.properties.orderID", "UNKNOWN_PARAMETER")
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-A\r\nHost", "x"), ("X A", "x"), ("", "x"), ("X-A:", "x"), ("X-Ä", "x"), ("X-A", "a\r\nHost: x"),
        ("X-A", "a\nb"), ("X-A", "a\0"), ("X-A", "a\x7f"), ("X-A", "x" * 5_000), ("host", "x"), ("Content-Length", "1"),
        ("TRANSFER-ENCODING", "chunked"), ("Connection", "close"),
    ],
)  # fmt: skip
def test_headers_that_are_refused(name: str, value: str) -> None:
    assert header_problem(name, value)
    if "\0" not in value:
        assert {problem.code for problem in problems(headersTemplate={name: value})} == {"BAD_HEADER"}


def test_headers_are_the_same_whatever_their_case() -> None:
    assert [problem.code for problem in problems(headersTemplate={"X-A": "1", "x-a": "2"})] == ["BAD_HEADER"]
    assert all(header_problem(name.title(), "x") for name in OWN_HEADERS)
    assert header_problem("X-Trace", "a\tb ü") == ""
    assert [p.path for p in problems(idempotency={"mode": "KEY", "header": "Host"})] == ["idempotency.header"]


DECLARED = {
    "endpointTemplate": "/o/{id}",
    "querySchema": {"properties": {"q": {}, "id": {}}},
    "headersSchema": {"properties": {"X-H": {}}},
}


@pytest.mark.parametrize(
    ("method", "body_type", "name", "part"),
    [
        ("POST", "JSON", "id", Part.PATH),
        ("POST", "JSON", "q", Part.QUERY),
        ("POST", "JSON", "X-H", Part.HEADERS),
        ("POST", "JSON", "rest", Part.BODY),
        ("PUT", "FORM", "rest", Part.BODY),
        ("POST", "NONE", "rest", Part.QUERY),
        ("GET", "JSON", "rest", Part.QUERY),
        ("HEAD", "JSON", "rest", Part.QUERY),
        ("DELETE", "JSON", "rest", Part.QUERY),
        ("OPTIONS", "JSON", "rest", Part.QUERY),
    ],
)
def test_where_a_name_goes(method: str, body_type: str, name: str, part: Part) -> None:
    definition = action(method, bodyType=body_type, **DECLARED)
    assert part_of(definition, name) is part
    assert takes_body(definition) is (method in ("POST", "PUT") and body_type != "NONE")


def test_parts_are_gathered_and_whole_parts_win() -> None:
    definition = action(**DECLARED)
    flat = {"id": 1, "q": 2, "X-H": 3, "a": 4, "b": None}
    parts = assign_input(definition, input=flat)
    assert (parts.path, parts.query, parts.headers, parts.body) == (
        {"id": 1},
        {"q": 2},
        {"X-H": 3},
        {"a": 4, "b": None},
    )
    assert parts.unused == ()
    parts = assign_input(definition, input=flat, query={"z": 1}, body=["x"])
    assert (parts.path, parts.query, parts.headers, parts.body) == ({"id": 1}, {"z": 1}, {"X-H": 3}, ["x"])
    assert parts.unused == ("q", "a", "b")


def test_nothing_given_is_no_body() -> None:
    assert assign_input(action()).body is None
    assert assign_input(action("GET"), body={"x": 1}).body == {"x": 1}


@pytest.mark.parametrize("name", ["input", "path", "query", "headers"])
def test_parts_are_objects(name: str) -> None:
    given: dict[str, Any] = {name: ["x"]}
    with pytest.raises(InvalidInput) as caught:
        assign_input(action(), **given)
    assert caught.value.problems[0].path == name
