"""The class of a version by table: which rule makes it so, what it lacks, and that a class never sinks."""

from collections.abc import Mapping
from typing import Any

import pytest
from headrace.workflow.actions import parse_action
from headrace.workflow.classification import (
    Classification,
    LifeClass,
    dump_classification,
    load_classification,
)
from headrace.workflow.classify import SHOWN, classify
from headrace.workflow.definition import PinnedAction, Version
from headrace.workflow.parse import parse_document
from hypothesis import given
from hypothesis import strategies as st

DAY = 24 * 60 * 60 * 1000
KEYED = {"idempotency": {"mode": "KEY"}}
ACTIONS: Mapping[str, dict[str, Any]] = {
    "shop/read": {"method": "GET"},
    "shop/search": {"method": "POST", "reversibility": "REVERSIBLE", "idempotency": {"mode": "IDEMPOTENT"}},
    "shop/book": {"method": "POST", **KEYED},
    "shop/unbook": {"method": "POST", **KEYED},
    "shop/put": {"method": "PUT"},
    "shop/once": {"method": "POST"},
    "shop/final": {"method": "POST", **KEYED, "reversibility": "IRREVERSIBLE"},
    "bank/read": {"method": "GET"},
}
UNDO = {"compensate": {"action": "shop/unbook"}}


def version(document: dict[str, Any]) -> Version:
    pinned = {}
    for ref, definition in ACTIONS.items():
        app, _, name = ref.partition("/")
        action = parse_action({"name": name, "endpointTemplate": "/", **definition}, app)
        pinned[ref] = PinnedAction("r", 1, "http://x", action)
    return Version("v", "", parse_document({"workflow": "w", **document}), pinned, {})


def classed(
    *steps: dict[str, Any],
    children: Mapping[str, Classification] | None = None,
    asks: frozenset[str] = frozenset(),
    **more: Any,
) -> Classification:
    return classify(version({"steps": [*steps], **more}), children or {}, asks)


def call(name: str, key: str = "a", **more: Any) -> dict[str, Any]:
    return {"key": key, "action": f"shop/{name}", **more}


def wait(ms: int, key: str = "a") -> dict[str, Any]:
    return {"key": key, "type": "wait", "wait": {"forMs": ms}}


def signal(key: str = "a", **more: Any) -> dict[str, Any]:
    return {"key": key, "type": "signal", "signal": more}


NOTE = {"key": "note", "type": "transform", "input": 1}
CHILD = {"key": "a", "type": "workflow", "workflow": "other"}
LONG = classed(call("book", **UNDO))
MEDIUM = classed(call("read"))
SHORT = classed(NOTE)

# steps, more of the document, the class, and (rule, step) of what makes it so
TABLE: list[tuple[list[dict[str, Any]], dict[str, Any], str, set[tuple[str, str | None]]]] = [
    ([NOTE], {}, "SHORT_LIVED", set()),
    ([NOTE, {"key": "end", "type": "succeed"}], {}, "SHORT_LIVED", set()),
    ([call("read")], {}, "MEDIUM_LIVED", {("CALLS", "a")}),
    ([call("book")], {}, "MEDIUM_LIVED", {("CALLS", "a")}),
    ([{"key": "a", "type": "own"}], {}, "MEDIUM_LIVED", {("CALLS", "a")}),
    ([wait(DAY - 1)], {}, "MEDIUM_LIVED", {("WAITS", None)}),
    ([wait(DAY)], {}, "LONG_LIVED", {("DAYS", "a")}),
    ([wait(DAY // 2), wait(DAY // 2, "b")], {}, "LONG_LIVED", {("DAYS", None)}),
    # Side by side they take no longer than the longer one.
    (
        [NOTE, wait(DAY // 2), wait(DAY // 2, "b")],
        {"edges": [{"from": "note", "to": "a"}, {"from": "note", "to": "b"}]},
        "MEDIUM_LIVED",
        {("WAITS", None)},
    ),
    ([{"key": "a", "type": "wait", "wait": {"until": "{{ input.x }}"}}], {}, "LONG_LIVED", {("DAYS", "a")}),
    ([signal()], {}, "LONG_LIVED", {("DAYS", "a")}),
    ([signal(deadlineMs=60_000)], {}, "MEDIUM_LIVED", {("WAITS", None)}),
    ([signal()], {"timeoutMs": 3_600_000}, "MEDIUM_LIVED", {("WAITS", None)}),
    (
        [call("read", repeat={"until": "{{ output.ok }}", "everyMs": 60_000, "max": 1440})],
        {},
        "LONG_LIVED",
        {("DAYS", "a")},
    ),
    (
        [call("read"), {"key": "b", "action": "bank/read"}],
        {},
        "LONG_LIVED",
        {("SYSTEMS", None)},
    ),
    ([call("book", **UNDO)], {}, "LONG_LIVED", {("COMPENSATION", "a")}),
    (
        [{"key": "a", "type": "approval", "approval": {"deadlineMs": 1000}}],
        {},
        "LONG_LIVED",
        {("APPROVAL", "a")},
    ),
    ([call("final")], {}, "LONG_LIVED", {("COMMITMENT", "a")}),
]


@pytest.mark.parametrize(("steps", "more", "life", "why"), TABLE)
def test_the_class_and_what_makes_it_so(
    steps: list[dict[str, Any]], more: dict[str, Any], life: str, why: set[tuple[str, str | None]]
) -> None:
    found = classed(*steps, **more)
    assert found.life == life
    reasons = {(reason.rule.value, reason.step) for reason in found.reasons}
    assert why <= reasons
    long = {"DAYS", "SYSTEMS", "COMPENSATION", "APPROVAL", "COMMITMENT"}
    assert {pair for pair in reasons if pair[0] in long} == {pair for pair in why if pair[0] in long}
    assert load_classification(dump_classification(found)) == found


def test_a_call_that_the_gate_holds_waits_for_a_person() -> None:
    found = classed(call("read"), asks=frozenset({"shop/read"}))
    assert (found.life, found.reasons[0].rule, found.reasons[0].step) == ("LONG_LIVED", "APPROVAL", "a")


@pytest.mark.parametrize(
    ("child", "life"), [(SHORT, "SHORT_LIVED"), (MEDIUM, "MEDIUM_LIVED"), (LONG, "LONG_LIVED")]
)
def test_a_child_gives_its_class_to_its_parent(child: Classification, life: str) -> None:
    assert classed(CHILD, children={"a": child}).life == life


def test_the_systems_and_the_waits_of_children_count() -> None:
    both = classed(CHILD, {"key": "b", "action": "bank/read"}, children={"a": MEDIUM})
    assert (both.life, both.systems) == ("LONG_LIVED", {"shop", "bank"})
    half = classed(wait(DAY // 2))
    twice = [CHILD, {**CHILD, "key": "b"}]
    assert classed(*twice, children={"a": half, "b": half}).life == "LONG_LIVED"
    loop = {**CHILD, "forEach": {"items": [1, 2, 3], "maxConcurrency": 1}}
    assert classed(loop, children={"a": half}).life == "LONG_LIVED"
    at_once = {**CHILD, "forEach": {"items": [1, 2, 3], "maxConcurrency": 3}}
    assert classed(at_once, children={"a": half}).life == "MEDIUM_LIVED"


# -- safeguards ------------------------------------------------------------------------------------------------

NO_KEY, NO_UNDO = "NO_IDEMPOTENCY", "NO_COMPENSATION"
LACKS: list[tuple[dict[str, Any], dict[str, Any], list[tuple[str, str]]]] = [
    (call("read"), {}, []),
    (call("search"), {}, []),
    (call("final"), {}, []),
    (call("book"), {}, [(NO_UNDO, "steps[0]")]),
    (call("put"), {}, [(NO_UNDO, "steps[0]")]),
    (call("book", **UNDO), {}, []),
    (call("book", **UNDO), {"compensateOn": ["cancel"]}, []),
    (call("book", **UNDO), {"compensateOn": []}, [(NO_UNDO, "compensateOn")]),
    (call("once"), {}, [(NO_KEY, "steps[0].action"), (NO_UNDO, "steps[0]")]),
    (call("once", **UNDO), {}, [(NO_KEY, "steps[0].action")]),
    (
        call(
            "once", **UNDO, probe={"action": "shop/read", "done": {"field": "status", "operator": "exists"}}
        ),
        {},
        [],
    ),
    (call("book", compensate={"action": "shop/once"}), {}, [(NO_KEY, "steps[0].compensate.action")]),
]


@pytest.mark.parametrize(("step", "more", "lacks"), LACKS)
def test_a_long_lived_version_has_to_answer_for_its_side_effects(
    step: dict[str, Any], more: dict[str, Any], lacks: list[tuple[str, str]]
) -> None:
    approved = {"key": "ok", "type": "approval", "approval": {}}
    found = classed(step, approved, **more)
    assert [(lack.safeguard.value, lack.path) for lack in found.hindrances] == lacks
    assert all(lack.mend and lack.step == "a" for lack in found.lacks)
    assert load_classification(dump_classification(found)) == found


def test_a_medium_lived_one_need_not_and_its_long_lived_parent_does() -> None:
    child = classed(call("once"))
    assert (child.life, [*child.hindrances]) == ("MEDIUM_LIVED", [])
    approved = {"key": "ok", "type": "approval", "approval": {}}
    parent = classed(CHILD, approved, children={"a": child})
    (lack,) = parent.hindrances
    assert (lack.path, lack.step) == ("steps[0].workflow", "a")
    assert "`a`" in lack.message


def test_of_many_steps_the_first_are_named() -> None:
    found = classed(*[call("final", f"s{n}") for n in range(SHOWN + 5)])
    commitments = [reason for reason in found.reasons if reason.rule == "COMMITMENT"]
    assert len(commitments) == SHOWN + 1
    assert commitments[-1].message == "and 5 steps more"


_STEPS = [
    NOTE,
    call("read"),
    call("book"),
    call("book", **UNDO),
    call("final"),
    wait(1000),
    wait(DAY),
    signal(),
]


@given(st.lists(st.sampled_from(_STEPS), min_size=1, max_size=6), st.sampled_from(_STEPS))
def test_a_step_more_never_makes_a_version_shorter_lived(
    steps: list[dict[str, Any]], more: dict[str, Any]
) -> None:
    numbered = [{**step, "key": f"s{n}"} for n, step in enumerate([*steps, more])]
    order = [*LifeClass]
    before, after = classed(*numbered[:-1]), classed(*numbered)
    assert order.index(after.life) >= order.index(before.life)
    assert {lack.path for lack in before.lacks} <= {lack.path for lack in after.lacks}
    # Deterministic, and of its document alone.
    assert classed(*numbered) == after
