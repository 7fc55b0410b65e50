"""Edge conditions, operator by operator."""

import pytest
from headrace.json_types import Json
from headrace.workflow.conditions import OPERATORS, holds
from headrace.workflow.document import Condition

UPSTREAM: dict[str, object] = {
    "output": {"total": 5, "name": "abc", "tags": ["x", 1], "none": None, "yes": True, "inner": {"id": 7}},
    "status": "SUCCESS",
    "error": None,
}


@pytest.mark.parametrize(
    ("field", "operator", "value", "expected"),
    [
        ("output.total", "eq", 5, True),
        ("output.total", "eq", 5.0, True),
        ("output.total", "eq", "5", False),
        ("output.yes", "eq", 1, False),
        ("output.yes", "eq", True, True),
        ("output.none", "eq", None, True),
        ("output.inner", "eq", {"id": 7.0}, True),
        ("output.tags", "eq", ["x", True], False),
        ("status", "eq", "SUCCESS", True),
        ("output.total", "neq", 6, True),
        ("output.total", "neq", "5", True),
        ("output.missing", "neq", 5, True),
        ("output.missing", "eq", None, False),
        ("output.total", "gt", 4.5, True),
        ("output.total", "gt", 5, False),
        ("output.total", "gte", 5, True),
        ("output.total", "lt", 6, True),
        ("output.total", "lte", 4, False),
        ("output.name", "gt", "abb", True),
        ("output.name", "gt", 1, False),
        ("output.total", "lt", "9", False),
        ("output.yes", "gte", 1, False),
        ("output.none", "lt", 1, False),
        ("output.missing", "lt", 1, False),
        ("output.name", "contains", "bc", True),
        ("output.name", "contains", 1, False),
        ("output.tags", "contains", 1.0, True),
        ("output.tags", "contains", True, False),
        ("output.inner", "contains", "id", True),
        ("output.total", "contains", 5, False),
        ("output.missing", "contains", "x", False),
        ("output.none", "exists", None, True),
        ("output.none", "exists", True, True),
        ("output.missing", "exists", None, False),
        ("output.missing", "exists", False, True),
        ("output.total", "exists", False, False),
        ("error", "exists", True, True),
        ("error.code", "exists", True, False),
        ("output.tags.1", "eq", 1, True),
        ("output.tags.2", "exists", True, False),
        ("output.tags.-1", "exists", True, False),
        ("output.name.upper", "exists", True, False),
        ("output.inner.id", "eq", 7, True),
        ("output.total", "approx", 5, False),
    ],
)
def test_holds(field: str, operator: str, value: Json, expected: bool) -> None:
    assert holds(Condition(field, operator, value), UPSTREAM) is expected


@pytest.mark.parametrize("operator", [name for name in OPERATORS if name not in ("neq", "exists")])
def test_what_is_not_there_satisfies_nothing_else(operator: str) -> None:
    for value in (None, True, 1, "x"):
        assert holds(Condition("output.missing", operator, value), UPSTREAM) is False


def test_a_skipped_step_has_a_null_output() -> None:
    skipped: dict[str, object] = {"output": None, "status": "SKIPPED", "error": None}
    assert holds(Condition("output.total", "exists", False), skipped)
    assert holds(Condition("status", "eq", "SKIPPED"), skipped)
