"""Publishing checks of what lasts: loops, waits, children, conditions, undoing. Each fault has its place and a mend."""

from collections.abc import Callable
from typing import Any

import pytest
from headrace.errors import Problem
from headrace.workflow.actions import parse_action
from headrace.workflow.definition import ActionDefinition, PinnedChild
from headrace.workflow.parse import parse_document
from headrace.workflow.validate import Catalog, validate_action, validate_document

from tests.unit.workflow.documents import onboarding

Change = Callable[[Any], None]
LINE = {"type": "object", "properties": {"line": {}}, "additionalProperties": False}
# The places of steps in the document.
RESERVE, SIGNED, PAUSE, START, AGREE, _LOOK, PAID, _CALLED, SHIP, BILL, DONE, REFUSED = range(12)


def action(name: str, method: str = "GET", **more: Any) -> ActionDefinition:
    return parse_action({"name": name, "method": method, "endpointTemplate": f"/{name}", **more}, "shop")


def catalog() -> Catalog:
    amount = {"type": "object", "properties": {"number": {"type": "integer"}}, "additionalProperties": False}
    actions = [
        action("reserve", "POST"),
        action("release", "DELETE"),
        action("find-reservation", querySchema=amount),
        action("get-contract"),
        action("search", "POST"),
    ]
    versions = {
        "ship-order": {3: PinnedChild("v3", 3, LINE), 4: PinnedChild("v4", 4, LINE)},
        "bill-order": {
            1: PinnedChild("v1", 1),
            2: PinnedChild("v2", 2, {"type": "object", "required": ["of"]}),
        },
    }
    return Catalog(
        actions={one.ref: one for one in actions},
        connections={"shop-main": "shop", "shop-read": "shop", "mail": "mail"},
        secrets=frozenset({"token"}),
        workflows=versions,
        roles=frozenset({"APPROVER", "ADMIN"}),
    )


def problems(*changes: Change) -> list[Problem]:
    data: Any = onboarding()
    for change in changes:
        change(data)
    return validate_document(parse_document(data), catalog())


def step(index: int, **changes: Any) -> Change:
    def change(data: Any) -> None:
        data["steps"][index].update(changes)

    return change


def part(index: int, name: str, **changes: Any) -> Change:
    def change(data: Any) -> None:
        data["steps"][index][name].update(changes)

    return change


def drop(index: int, name: str) -> Change:
    def change(data: Any) -> None:
        del data["steps"][index][name]

    return change


def both(*changes: Change) -> Change:
    def change(data: Any) -> None:
        for one in changes:
            one(data)

    return change


def whole(**changes: Any) -> Change:
    return lambda data: data.update(changes)


def when(value: Any, index: int = 2) -> Change:
    def change(data: Any) -> None:
        data["edges"][index]["when"] = value

    return change


def edge(**more: Any) -> Change:
    return lambda data: data["edges"].append(more)


def secret(data: Any) -> None:
    data["env"] = {"TOKEN": {"secret": "token"}}


def test_a_document_with_everything_has_no_problem() -> None:
    assert problems() == []


def test_secrets_may_stand_in_every_call() -> None:
    token = {"number": "{{ env.TOKEN }}"}
    assert (
        problems(secret, part(RESERVE, "probe", input=token), part(RESERVE, "compensate", input=token)) == []
    )


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
        part(RESERVE, "probe", input={"number": "{{ callbacks.paid }}"}),
        "CALLBACK_NOT_ALLOWED",
        "steps[0].probe.input.number",
        "action",
    ),
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
    (
        part(RESERVE, "compensate", connection="mail"),
        "CONNECTION_OF_OTHER_APP",
        "steps[0].compensate.action",
        "shop-main",
    ),
    (
        part(RESERVE, "compensate", connection="shop"),
        "UNKNOWN_CONNECTION",
        "steps[0].compensate.connection",
        "shop-",
    ),
    (
        part(RESERVE, "compensate", action="shop/free"),
        "UNKNOWN_ACTION",
        "steps[0].compensate.action",
        "Did you mean",
    ),
    (
        part(RESERVE, "compensate", input={"line": "{{ steps.reserve.output.results }}"}),
        "UNKNOWN_OUTPUT",
        "steps[0].compensate.input.line",
        "body, headers",
    ),
    (part(RESERVE, "probe", connection="none"), "UNKNOWN_CONNECTION", "steps[0].probe.connection", "shop-"),
    (part(RESERVE, "probe", action="shop/search"), "UNSAFE_PROBE", "steps[0].probe.action", "idempotent"),
    (part(RESERVE, "probe", input={"numbr": 1}), "UNKNOWN_INPUT", "steps[0].probe.input.numbr", "`number`"),
    (
        part(RESERVE, "probe", input={"number": "{{ steps.reserve.output }}"}),
        "NOT_UPSTREAM",
        "steps[0].probe.input.number",
        "before",
    ),
    (
        part(RESERVE, "probe", output={"id": "$.id"}),
        "UNKNOWN_OUTPUT",
        "steps[0].probe.output.id",
        "$.body.id",
    ),
    (
        part(RESERVE, "probe", done={"any": [{"field": "output.id", "operator": "exists"}]}),
        "UNKNOWN_OUTPUT",
        "steps[0].probe.done.any[0].field",
        "Known",
    ),
    (part(RESERVE, "probe", done="{{ output.id }}"), "UNKNOWN_OUTPUT", "steps[0].probe.done", "Known"),
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
    (
        step(REFUSED, input={"code": "X", "message": "{{ output }}"}),
        "BAD_EXPRESSION",
        "steps[11].input.message",
        "steps.<key>.output",
    ),
    (both(secret, step(DONE, input="{{ env.TOKEN }}")), "SECRET_NOT_ALLOWED", "steps[10].input", "action"),
    (when("{{ steps.bill.output }}"), "NOT_UPSTREAM", "edges[2].when", "edges"),
    (when("{{ callbacks.paid }}"), "CALLBACK_NOT_ALLOWED", "edges[2].when", "action"),
    (
        when({"not": {"all": ["{{ output.state }}"]}}),
        "UNKNOWN_OUTPUT",
        "edges[2].when.not.all[0]",
        "`status`",
    ),
    (
        when({"not": {"field": "output.body", "operator": "matches", "value": "(?=a)"}}),
        "BAD_PATTERN",
        "edges[2].when.not.value",
        "look-around",
    ),
    (
        when({"field": "output.body", "operator": "before", "value": "soon"}),
        "BAD_TIME",
        "edges[2].when.value",
        "2026",
    ),
    (
        when({"field": "output.items", "operator": "isEmpty"}, 0),
        "UNKNOWN_OUTPUT",
        "edges[0].when.field",
        "results",
    ),
    (
        when({"field": "output.verdict", "operator": "isEmpty"}, 5),
        "UNKNOWN_OUTPUT",
        "edges[5].when.field",
        "decision",
    ),
    (edge(**{"from": "pause", "to": "refused", "on": "error"}), "NEVER_TAKEN", "edges[12].on", "onError"),
    (edge(**{"from": "done", "to": "refused"}), "NEVER_TAKEN", "edges[12].from", "away"),
    (whole(retries={"wait": {"strategy": "FIXED"}}), "UNKNOWN_STEP_TYPE", "retries.wait", "action"),
]


@pytest.mark.parametrize(("change", "code", "path", "mend"), CASES, ids=[f"{c[1]} {c[2]}" for c in CASES])
def test_each_fault_is_found_at_its_place(change: Change, code: str, path: str, mend: str) -> None:
    found = [problem for problem in problems(change) if problem.code == code]
    assert [problem.path for problem in found] == [path]
    assert mend in found[0].mend


def two(one: Any, other: Any, *edges: Any) -> list[Problem]:
    data = {"workflow": "w", "steps": [{"key": "a", **one}, {"key": "b", **other}], "edges": [*edges]}
    if not edges:
        del data["edges"]
    return validate_document(parse_document(data), catalog())


def test_after_a_last_step_nothing_comes() -> None:
    (problem,) = two({"type": "succeed"}, {"type": "transform", "input": 1})
    assert (problem.path, problem.code) == ("steps[1]", "NEVER_REACHED")
    assert problem.mend


def test_what_an_error_edge_leads_to_reads_the_error() -> None:
    error = {"code": "NOT_PAID", "message": "{{ steps.a.error.message }}"}
    failed = {
        "from": "a",
        "to": "b",
        "on": "error",
        "when": {"field": "error.code", "operator": "eq", "value": "X"},
    }
    assert two({"action": "shop/get-contract"}, {"type": "fail", "input": error}, failed) == []


def test_with_join_any_what_need_not_have_ended_may_be_read() -> None:
    steps = [{"key": key, "type": "transform", "input": 1} for key in "ab"]
    both_of = "{{ [steps.a.output, steps.b.output] }}"
    steps.append({"key": "c", "type": "transform", "join": "any", "input": both_of})
    edges = [{"from": key, "to": "c"} for key in "ab"]
    data = {"workflow": "w", "steps": steps, "edges": edges}
    assert validate_document(parse_document(data), Catalog()) == []


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


def test_a_thousand_steps_with_conditions_are_checked() -> None:
    steps: list[Any] = [{"key": f"s{n}", "type": "transform", "input": n} for n in range(1000)]
    edges = [
        {"from": f"s{n}", "to": f"s{n + 1}", "when": {"all": [f"{{{{ steps.s{n}.output == {n} }}}}"]}}
        for n in range(999)
    ]
    data = {"workflow": "w", "steps": steps, "edges": edges}
    assert validate_document(parse_document(data), Catalog()) == []
