"""`cache` of a step: how it is written, where it may stand, and what a cached step is to those that follow."""

from typing import Any

import pytest
from headrace.errors import InvalidInput
from headrace.workflow.conditions import upstream
from headrace.workflow.decide import initial
from headrace.workflow.dump import dump_document
from headrace.workflow.fold import Change, IllegalMove, fold
from headrace.workflow.parse import parse_document
from headrace.workflow.state import EventKind, StepStatus
from headrace.workflow.validate import Catalog, validate_document

from tests.unit.workflow.catalogs import action

MARKED = {"type": "object", "properties": {"pin": {"x-sensitive": True}}}
ACTIONS = [
    action("shop", "price", "GET"),
    action("shop", "order"),
    action("shop", "search", reversibility="REVERSIBLE"),
    action("shop", "card", "GET", outputSchema=MARKED),
]
CATALOG = Catalog(actions={one.ref: one for one in ACTIONS})


def document(**step: Any) -> dict[str, Any]:
    return {
        "workflow": "w",
        "steps": [{"key": "ask", "action": "shop/price", "cache": {"ttlMs": 1000}} | step],
    }


def codes(**step: Any) -> list[tuple[str, str]]:
    return [(p.path, p.code) for p in validate_document(parse_document(document(**step)), CATALOG)]


@pytest.mark.parametrize("cache", [{"ttlMs": 1000}, {"ttlMs": 2_592_000_000, "key": ["{{ input.of }}", 1]}])
def test_it_is_written_and_read(cache: Any) -> None:
    written = dump_document(parse_document(document(cache=cache)))
    assert written["steps"][0]["cache"] == cache  # type: ignore[index,call-overload]
    assert codes(cache=cache) == []


@pytest.mark.parametrize(
    "cache", [{}, {"ttlMs": 999}, {"ttlMs": 2_592_000_001}, {"ttlMs": "1h"}, {"ttlMs": 1000, "for": 1}, True]
)
def test_what_is_none_is_refused(cache: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_document(document(cache=cache))
    assert refused.value.problems[0].path.startswith("steps[0].cache")


def test_only_a_call_has_one() -> None:
    with pytest.raises(InvalidInput):
        parse_document(document(type="transform", action=None, input=1))


def test_what_it_may_not_stand_for() -> None:
    assert codes() == codes(action="shop/search") == []
    assert codes(action="shop/order") == [("steps[0].cache", "CACHED_SIDE_EFFECT")]
    assert codes(action="shop/card") == [("steps[0].cache", "CACHED_SECRET")]
    until = {"until": {"field": "output.body.ok", "operator": "eq", "value": True}, "everyMs": 1000}
    assert codes(repeat=until) == [("steps[0].cache", "CONTRADICTION")]
    assert codes(cache={"ttlMs": 1000, "key": "{{ steps.gone.output }}"}) == [
        ("steps[0].cache.key", "UNKNOWN_STEP")
    ]


def test_a_cached_step_has_succeeded_for_all_that_follows() -> None:
    told = {"status": "CACHED", "output": {"n": 1}, "cached": {"runId": "r", "at": "t"}}
    state = fold(initial(), Change(EventKind.COMPLETED, "ask", told, (1, 1)))
    row = state.step("ask")
    assert (row.status, row.attempts, row.output) == (StepStatus.CACHED, 0, {"n": 1})
    assert row.done is None  # there is nothing to undo
    assert upstream(row) == {"output": {"n": 1}, "status": "SUCCESS", "error": None}
    with pytest.raises(IllegalMove):
        fold(state, Change(EventKind.COMPLETED, "ask", told, (1, 2)))
