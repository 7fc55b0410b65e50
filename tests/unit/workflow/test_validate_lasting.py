"""Publishing checks of what lasts: loops, waits, approvals, signals, children. Each fault has its place and a mend."""

from typing import Any

import pytest
from headrace.workflow.parse import parse_document
from headrace.workflow.validate import Catalog, validate_action, validate_document

from tests.unit.workflow.faulty_onboardings import (
    AGREE,
    BILL,
    PAID,
    PAUSE,
    RESERVE,
    SHIP,
    SIGNED,
    Change,
    action,
    both,
    drop,
    part,
    problems,
    secret,
    step,
    two,
    whole,
)


def test_a_document_with_everything_has_no_problem() -> None:
    assert problems() == []


CASES: list[tuple[Change, str, str, str]] = [
    # change, code, path, a word of the mend
    (step(PAUSE, wait={"until": "tomorrow"}), "BAD_TIME", "steps[2].wait.until", "2026-05-01T09:00:00Z"),
    (
        step(PAUSE, wait={"until": "9999-12-31T23:59:59-05:00"}),
        "BAD_TIME",
        "steps[2].wait.until",
        "years 1 to 9999",
    ),
    (step(PAUSE, wait={"until": "{{ item }}"}), "BAD_EXPRESSION", "steps[2].wait.until", "forEach"),
    (step(PAUSE, wait={"until": "{{ steps.bill.output }}"}), "NOT_UPSTREAM", "steps[2].wait.until", "edges"),
    (
        both(secret, step(PAUSE, wait={"until": "{{ env.TOKEN }}"})),
        "SECRET_NOT_ALLOWED",
        "steps[2].wait.until",
        "action",
    ),
    (
        part(AGREE, "approval", title="{{ steps.x.output }}"),
        "UNKNOWN_STEP",
        "steps[4].approval.title",
        "Known",
    ),
    (
        part(AGREE, "approval", details=["{{ env.X }}"]),
        "UNKNOWN_ENV",
        "steps[4].approval.details[0]",
        "Declare",
    ),
    (
        both(secret, part(AGREE, "approval", details="{{ env.TOKEN }}")),
        "SECRET_NOT_ALLOWED",
        "steps[4].approval.details",
        "action",
    ),
    (
        part(AGREE, "approval", form={"type": "objekt"}),
        "BAD_SCHEMA",
        "steps[4].approval.form.type",
        "2020-12",
    ),
    (part(AGREE, "approval", roles=["APPROVR"]), "UNKNOWN_ROLE", "steps[4].approval.roles[0]", "`APPROVER`"),
    (
        part(PAID, "signal", schema={"pattern": "("}),
        "BAD_SCHEMA",
        "steps[6].signal.schema.pattern",
        "look-around",
    ),
    (
        part(PAID, "signal", schema={"properties": {"code": {"x-sensitive": True}}}),
        "NOT_SEALED",
        "steps[6].signal.schema",
        "`parameters`",
    ),
    (
        part(AGREE, "approval", form={"properties": {"pin": {"type": "string", "x-sensitive": True}}}),
        "NOT_SEALED",
        "steps[4].approval.form",
        "actions",
    ),
    (step(SHIP, workflow="ship-ordr"), "UNKNOWN_WORKFLOW", "steps[8].workflow", "`ship-order`"),
    (part(SHIP, "workflow", version=2), "UNKNOWN_VERSION", "steps[8].workflow.version", "newest is 4"),
    (step(SHIP, input={"lin": 1}), "UNKNOWN_INPUT", "steps[8].input.lin", "`line`"),
    (drop(BILL, "input"), "MISSING_INPUT", "steps[9].input.of", "value"),
    (step(BILL, input={"of": "{{ item }}"}), "BAD_EXPRESSION", "steps[9].input.of", "forEach"),
    (
        both(secret, step(BILL, input={"of": "{{ env.TOKEN }}"})),
        "SECRET_NOT_ALLOWED",
        "steps[9].input.of",
        "action",
    ),
    (step(BILL, input={"of": "{{ callbacks.paid }}"}), "CALLBACK_NOT_ALLOWED", "steps[9].input.of", "action"),
    (step(SIGNED, input={"to": "{{ callbacks.agree }}"}), "NO_SIGNAL", "steps[1].input.to", "Known"),
    (step(SIGNED, input={"to": "{{ callbacks.pai }}"}), "NO_SIGNAL", "steps[1].input.to", "`paid`"),
    (
        both(
            drop(BILL, "workflow"),
            step(BILL, type="action", action="shop/get-contract", input={"to": "{{ callbacks.paid }}"}),
        ),
        "CALLBACK_TOO_LATE",
        "steps[9].input.to",
        "before",
    ),
    (
        step(RESERVE, repeat={"until": "{{ true }}", "everyMs": 100}),
        "CONTRADICTION",
        "steps[0].repeat",
        "workflow of its own",
    ),
    (
        part(RESERVE, "forEach", items="{{ input.lines }} {{ 1 }}"),
        "BAD_EXPRESSION",
        "steps[0].forEach.items",
        "one pair",
    ),
    (part(RESERVE, "forEach", items="{{ item }}"), "BAD_EXPRESSION", "steps[0].forEach.items", "forEach"),
    (
        part(RESERVE, "forEach", items="{{ steps.signed.output }}"),
        "NOT_UPSTREAM",
        "steps[0].forEach.items",
        "edges",
    ),
    (part(SIGNED, "repeat", until="{{ outputs.x }}"), "BAD_EXPRESSION", "steps[1].repeat.until", "`output`"),
    (
        part(SIGNED, "repeat", until="{{ output.stat }}"),
        "UNKNOWN_OUTPUT",
        "steps[1].repeat.until",
        "`status`",
    ),
    (
        part(SIGNED, "repeat", until="{{ status }}{{ error }}"),
        "BAD_EXPRESSION",
        "steps[1].repeat.until",
        "one pair",
    ),
    (
        both(secret, part(SIGNED, "repeat", until="{{ env.TOKEN == 'x' }}")),
        "SECRET_NOT_ALLOWED",
        "steps[1].repeat.until",
        "action",
    ),
    (whole(retries={"wait": {"strategy": "FIXED"}}), "UNKNOWN_STEP_TYPE", "retries.wait", "action"),
]


@pytest.mark.parametrize(("change", "code", "path", "mend"), CASES, ids=[f"{c[1]} {c[2]}" for c in CASES])
def test_each_fault_is_found_at_its_place(change: Change, code: str, path: str, mend: str) -> None:
    found = [problem for problem in problems(change) if problem.code == code]
    assert [problem.path for problem in found] == [path]
    assert mend in found[0].mend


@pytest.mark.parametrize(
    ("one", "known"),
    [
        ({"type": "wait", "wait": {"forMs": 1}}, {"until"}),
        ({"type": "approval"}, {"decision", "by", "reason", "form", "at"}),
        (
            {"action": "shop/get-contract", "forEach": {"items": []}, "output": {"x": "$.body"}},
            {"results", "failed"},
        ),
        ({"type": "signal"}, None),
        ({"type": "workflow", "workflow": "ship-order"}, None),
    ],
)
def test_what_is_known_of_outputs(one: Any, known: set[str] | None) -> None:
    for name in ("until", "decision", "by", "reason", "form", "at", "results", "failed", "x"):
        found = two(one, {"type": "transform", "input": f"{{{{ steps.a.output.{name} }}}}"})
        assert [problem.code for problem in found] == (
            [] if known is None or name in known else ["UNKNOWN_OUTPUT"]
        )


def test_without_any_published_workflow_one_is_to_be_created() -> None:
    data = {"workflow": "w", "steps": [{"key": "a", "type": "workflow", "workflow": "child"}]}
    (problem,) = validate_document(parse_document(data), Catalog())
    assert (problem.code, problem.mend) == ("UNKNOWN_WORKFLOW", "Create `child` first.")


def test_headers_of_actions_hold_no_callbacks() -> None:
    (problem,) = validate_action(action("a", headersTemplate={"X": "{{ callbacks.a }}"}))
    assert problem.code == "EXPRESSION_NOT_ALLOWED"
