"""Edge conditions, operator by operator."""

import pytest
from headrace.json_types import Json
from headrace.workflow.conditions import holds
from headrace.workflow.document import AllOf, AnyOf, Condition, Expression, Not, When
from headrace.workflow.operators import OPERATORS

UPSTREAM: dict[str, object] = {
    "output": {
        "total": 5,
        "name": "abc",
        "tags": ["x", 1],
        "none": None,
        "yes": True,
        "no": False,
        "inner": {"id": 7},
        "at": "2026-05-01T09:00:00+02:00",
        "day": "2026-05-01",
        "blank": "",
        "nothing": [],
        "bare": {},
    },
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
        ("output.total", "between", [5, 6], True),
        ("output.total", "between", [4, 5], True),
        ("output.total", "between", [5.5, 6], False),
        ("output.total", "between", [6, 4], False),
        ("output.total", "between", ["1", "9"], False),
        ("output.name", "between", ["abb", "abd"], True),
        ("output.yes", "between", [0, 1], False),
        ("output.missing", "between", [0, 1], False),
        ("output.total", "in", [1, 5.0], True),
        ("output.total", "in", ["5"], False),
        ("output.total", "in", [], False),
        ("output.none", "in", [None], True),
        ("output.inner", "in", [{"id": 7}], True),
        ("output.missing", "in", [None], False),
        ("output.total", "notIn", [1, 5.0], False),
        ("output.total", "notIn", ["5"], True),
        ("output.missing", "notIn", [None], True),
        ("output.name", "notContains", "bc", False),
        ("output.name", "notContains", "bd", True),
        ("output.total", "notContains", 5, True),
        ("output.missing", "notContains", "x", True),
        ("output.name", "startsWith", "ab", True),
        ("output.name", "startsWith", "", True),
        ("output.name", "startsWith", "b", False),
        ("output.total", "startsWith", "5", False),
        ("output.tags", "startsWith", "x", False),
        ("output.name", "endsWith", "bc", True),
        ("output.name", "endsWith", "b", False),
        ("output.none", "endsWith", "", False),
        ("output.name", "matches", "b", True),
        ("output.name", "matches", "^[a-c]{3}$", True),
        ("output.name", "matches", "^b", False),
        ("output.total", "matches", "5", False),
        ("output.name", "matches", "(", False),
        ("output.name", "matches", "(a)\\1", False),
        ("output.none", "isNull", None, True),
        ("output.blank", "isNull", None, False),
        ("output.missing", "isNull", None, False),
        ("output.blank", "isEmpty", None, True),
        ("output.nothing", "isEmpty", None, True),
        ("output.bare", "isEmpty", None, True),
        ("output.none", "isEmpty", None, True),
        ("output.no", "isEmpty", None, False),
        ("output.tags", "isEmpty", None, False),
        ("output.missing", "isEmpty", None, False),
        ("output.yes", "isTrue", None, True),
        ("output.total", "isTrue", None, False),
        ("output.no", "isTrue", None, False),
        ("output.no", "isFalse", None, True),
        ("output.none", "isFalse", None, False),
        ("output.total", "isFalse", None, False),
        ("output.none", "typeIs", "null", True),
        ("output.yes", "typeIs", "boolean", True),
        ("output.yes", "typeIs", "number", False),
        ("output.total", "typeIs", "number", True),
        ("output.name", "typeIs", "text", True),
        ("output.tags", "typeIs", "list", True),
        ("output.inner", "typeIs", "object", True),
        ("output.missing", "typeIs", "null", False),
        ("output.name", "lengthEq", 3, True),
        ("output.name", "lengthEq", 3.0, True),
        ("output.tags", "lengthEq", 2, True),
        ("output.inner", "lengthEq", 1, True),
        ("output.none", "lengthEq", 0, False),
        ("output.total", "lengthEq", 1, False),
        ("output.tags", "lengthGt", 1, True),
        ("output.tags", "lengthGt", 2, False),
        ("output.nothing", "lengthLt", 1, True),
        ("output.name", "lengthLt", 3, False),
        ("output.missing", "lengthLt", 9, False),
        ("output.at", "before", "2026-05-01T07:00:01Z", True),
        ("output.at", "before", "2026-05-01T07:00:00Z", False),
        ("output.at", "after", "2026-05-01T06:59:59.999999Z", True),
        ("output.at", "after", "2026-05-01T08:00:00", False),
        # The end of a calendar, as other systems write it, is beyond ours in UTC; compared it can be all the same.
        ("output.at", "before", "9999-12-31T23:59:59.9999999-08:00", True),
        ("output.at", "after", "0001-01-01T00:00:00+01:00", True),
        ("output.day", "before", "2026-05-01T00:00:01Z", True),
        ("output.day", "after", "2026-04-30", True),
        ("output.name", "after", "2026-04-30", False),
        ("output.total", "after", "2026-04-30", False),
        ("output.at", "after", "soon", False),
        ("output.missing", "before", "2026-04-30", False),
    ],
)
def test_holds(field: str, operator: str, value: Json, expected: bool) -> None:
    assert holds(Condition(field, operator, value), UPSTREAM) is expected


@pytest.mark.parametrize(
    "operator", [name for name in OPERATORS if name not in ("neq", "notIn", "notContains", "exists")]
)
def test_what_is_not_there_satisfies_nothing_else(operator: str) -> None:
    for value in (None, True, 1, "x", [None, 1]):
        assert holds(Condition("output.missing", operator, value), UPSTREAM) is False


def test_a_skipped_step_has_a_null_output() -> None:
    skipped: dict[str, object] = {"output": None, "status": "SKIPPED", "error": None}
    assert holds(Condition("output.total", "exists", False), skipped)
    assert holds(Condition("status", "eq", "SKIPPED"), skipped)


def test_there_are_at_least_twenty_operators() -> None:
    assert len(OPERATORS) >= 20


def test_a_pattern_that_makes_other_engines_backtrack_is_matched_at_once() -> None:
    """Quadratic work on a quarter of a million characters would outlast the test's time limit."""
    upstream: dict[str, object] = {"output": "a" * 250_000 + "b", "status": "SUCCESS", "error": None}
    assert not holds(Condition("output", "matches", "^(a+)+$"), upstream)
    assert holds(Condition("output", "matches", "b$"), upstream)
    assert not holds(Condition("output", "matches", "a"), {"output": "a" * 600_000})


YES, NO = Condition("status", "eq", "SUCCESS"), Condition("status", "eq", "FAILED")


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        (AllOf((YES, YES)), True),
        (AllOf((YES, NO)), False),
        (AnyOf((NO, YES)), True),
        (AnyOf((NO, NO)), False),
        (Not(NO), True),
        (Not(YES), False),
        (AllOf((Not(NO), AnyOf((NO, Expression("{{ yes }}"))))), True),
        (Not(Expression("{{ yes }}")), False),
        (Expression("{{ no }}"), False),
    ],
)
def test_conditions_are_composed(when: When, expected: bool) -> None:
    assert (
        holds(when, UPSTREAM, lambda text, upstream, _budget: upstream is UPSTREAM and text == "{{ yes }}")
        is expected
    )
