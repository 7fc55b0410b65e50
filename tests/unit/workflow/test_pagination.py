"""The pagination of an action: what is read, written back and refused."""

from typing import Any

import pytest
from headrace.errors import InvalidInput
from headrace.workflow.actions import dump_action, parse_action
from headrace.workflow.pagination import NextCursor, NextLink, NextNumber, Pagination

ITEMS = {"items": "$.body.items"}


def action(pagination: Any = None, method: str = "GET", **more: Any) -> dict[str, Any]:
    data = {"name": "a", "method": method, "endpointTemplate": "/x", **more}
    return data if pagination is None else {**data, "pagination": pagination}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ({"nextLink": "header"}, Pagination("$.body.items", NextLink("header"))),
        ({"nextLink": "$.body.next"}, Pagination("$.body.items", NextLink("$.body.next"))),
        (
            {"cursor": {"from": "$.body.c", "parameter": "after"}, "maxPages": 3},
            Pagination("$.body.items", NextCursor("$.body.c", "after"), 3),
        ),
        ({"page": {"parameter": "p", "first": 0}}, Pagination("$.body.items", NextNumber("p", 0))),
        ({"page": {"parameter": "p"}}, Pagination("$.body.items", NextNumber("p", 1), 20)),
    ],
)
def test_each_way_is_read_and_written_back(written: dict[str, Any], read: Pagination) -> None:
    definition = parse_action(action(ITEMS | written), "shop")
    assert definition.pagination == read
    assert parse_action(dump_action(definition), "shop") == definition


def test_an_action_without_pages_is_written_as_ever() -> None:
    assert "pagination" not in dump_action(parse_action(action(), "shop"))


@pytest.mark.parametrize(
    ("pagination", "path", "code"),
    [
        ([], "pagination", "INVALID"),
        ({"nextLink": "header"}, "pagination.items", "MISSING_KEY"),
        (ITEMS, "pagination", "BAD_PAGINATION"),
        (
            ITEMS | {"nextLink": "header", "page": {"parameter": "p"}},
            "pagination",
            "BAD_PAGINATION",
        ),
        ({"items": "$.body.items[*]", "nextLink": "header"}, "pagination.items", "BAD_JSONPATH"),
        ({"items": "$..items", "nextLink": "header"}, "pagination.items", "BAD_JSONPATH"),
        (ITEMS | {"nextLink": "heder"}, "pagination.nextLink", "BAD_JSONPATH"),
        (ITEMS | {"nextLink": "header", "maxPages": 101}, "pagination.maxPages", "INVALID"),
        (ITEMS | {"cursor": {"parameter": "c"}}, "pagination.cursor.from", "MISSING_KEY"),
        (ITEMS | {"cursor": {"from": "$.body.c"}}, "pagination.cursor.parameter", "MISSING_KEY"),
        (ITEMS | {"page": {"parameter": "p\n"}}, "pagination.page.parameter", "INVALID"),
        (ITEMS | {"page": {"parameter": "p", "first": -1}}, "pagination.page.first", "INVALID"),
        (ITEMS | {"nextLink": "header", "max": 1}, "pagination.max", "UNKNOWN_KEY"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(pagination: Any, path: str, code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_action(action(pagination), "shop")
    assert [(problem.path, problem.code) for problem in caught.value.problems] == [(path, code)]
    assert caught.value.problems[0].mend


@pytest.mark.parametrize(
    ("method", "mode", "fits"),
    [
        ("GET", "METHOD", True),
        ("POST", "IDEMPOTENT", True),
        ("POST", "METHOD", False),
        ("GET", "NONE", False),
        ("POST", "KEY", False),
    ],
)
def test_only_an_action_that_may_be_repeated_has_pages(method: str, mode: str, fits: bool) -> None:
    data = action(ITEMS | {"nextLink": "header"}, method, idempotency={"mode": mode})
    if fits:
        assert parse_action(data, "shop").pagination is not None
        return
    with pytest.raises(InvalidInput) as caught:
        parse_action(data, "shop")
    (problem,) = caught.value.problems
    assert (problem.path, problem.code) == ("pagination", "NOT_REPEATABLE")
    assert "IDEMPOTENT" in problem.mend
