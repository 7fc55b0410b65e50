"""Dry runs on what was recorded: what a version would send, beside what a run has sent."""

from typing import Any

import orjson
import pytest
from headrace.redaction import MARKER
from headrace.sealed_outputs import OutputPlace, seal_value
from headrace.workflow.definition import Version

from tests.unit.runner.dry_documents import CHILD, ORDER, PARENT, PAY
from tests.unit.runner.dry_jobs import RUN, changes, job, recorded, report_on, resolved, statuses, steps

pytestmark = pytest.mark.usefixtures("no_sockets")


def replayed(base: Version, candidate: Version, rows: Any, *others: Version, **more: Any) -> Any:
    given = more.pop("given", {"id": 7})
    return report_on(
        job(
            candidate,
            given,
            base,
            *others,
            base={"version_id": base.id, "input": {"id": 7}},
            recorded=rows if "rows" in rows else recorded(base, rows),
            **more,
        )
    )


RECORDED = {"order": {"total": 5}, "pay": {"status": 201, "headers": {}, "body": {"id": "p1"}}}


def test_the_same_version_would_send_the_same() -> None:
    told = replayed(resolved(PAY), resolved(PAY), RECORDED)
    assert told["status"] == "SUCCESS"
    assert changes(told) == [("order", "SAME"), ("pay", "SAME")]
    assert steps(told)["pay"]["answeredBy"] == "RECORDED"


def test_added_changed_and_removed_requests_are_told() -> None:
    candidate = resolved(
        PAY.replace("  - key: pay\n", "  - {key: check, action: shop/get, input: {id: 1}}\n  - key: pay\n")
        .replace("amount: ", "currency: EUR, amount: ")
        .replace('{id: "{{ input.id }}"}', "{id: 8}")
    )
    told = replayed(resolved(PAY), candidate, RECORDED, responses={"check": {}})
    assert changes(told) == [("order", "CHANGED"), ("check", "ADDED"), ("pay", "CHANGED")]
    found = {one["path"]: one["differences"] for one in told["changes"]}
    assert found["pay"] == [{"at": "body.currency", "before": None, "after": "EUR"}]
    assert found["order"][0]["at"] == "url"
    back = replayed(candidate, resolved(PAY), {**RECORDED, "check": {}})
    assert changes(back)[-1] == ("check", "REMOVED")


TWO = """
workflow: two
steps:
  - {key: a, action: shop/get, input: {id: 1}}
  - {key: b, action: shop/get, input: {id: 2}}
edges: [{from: %s, to: %s}]
"""


def test_reordered_requests_are_told() -> None:
    told = replayed(resolved(TWO % ("a", "b")), resolved(TWO % ("b", "a")), {"a": {}, "b": {}})
    assert sorted(changes(told)) == [("a", "SAME"), ("b", "REORDERED")] or sorted(changes(told)) == [
        ("a", "REORDERED"),
        ("b", "SAME"),
    ]


def test_changes_in_sub_workflows_are_told() -> None:
    old, new = resolved(CHILD), resolved(CHILD.replace("input: {order: ", "input: {fast: true, order: ", 1))
    base, candidate = resolved(PARENT, {"one": old}), resolved(PARENT, {"one": new})
    did = recorded(old, {"pay": {}})
    rows = recorded(base, {"each[0]": {}, "each[1]": {}, "last": {}}, **{"each[0]": did, "each[1]": did})
    told = replayed(base, candidate, rows, old, new)
    assert changes(told) == [("each[0]/pay", "CHANGED"), ("each[1]/pay", "CHANGED"), ("last", "SAME")]
    assert told["changes"][0]["differences"] == [{"at": "body.fast", "before": None, "after": True}]


def test_another_revision_of_an_action_is_not_answered_by_what_was_recorded() -> None:
    told = replayed(resolved(PAY), resolved(PAY, revision=2), RECORDED)
    assert (told["status"], told["problems"][0]["code"]) == ("INCOMPLETE", "OTHER_CALL")
    assert changes(told) == [("order", "SAME"), ("pay", "NOT_REACHED")]
    declared = replayed(
        resolved(PAY), resolved(PAY, revision=2), RECORDED, responses={**ORDER, "pay": {"body": {"id": 1}}}
    )
    assert declared["status"] == "SUCCESS"


def test_an_edited_input_is_compared_with_what_was_sent() -> None:
    told = replayed(resolved(PAY), resolved(PAY), RECORDED, given={"id": 8})
    assert changes(told) == [("order", "CHANGED"), ("pay", "SAME")]


def test_what_was_recorded_sealed_is_opened_for_the_walk_and_hidden_in_the_report() -> None:
    key = bytes(range(32))
    sealed = seal_value(key, OutputPlace(RUN, RUN, "order", "/total"), "a-sealed-amount")
    told = replayed(
        resolved(PAY),
        resolved(PAY.replace("amount: ", "note: hi, amount: ")),
        {**RECORDED, "order": {"total": sealed}},
        output_keys={str(RUN): key.hex()},
    )
    assert changes(told) == [("order", "SAME"), ("pay", "CHANGED")]
    body = steps(told)["pay"]["requests"][0]["body"]
    assert body == {"note": "hi", "amount": MARKER, "token": "<secret:TOKEN>"}
    assert "a-sealed-amount" not in str(told)
    # Without the key the step fails, as its run's would.
    lost = replayed(
        resolved(PAY),
        resolved(PAY),
        {**RECORDED, "order": {"total": sealed}},
        output_keys={str(RUN): bytes(32).hex()},
    )
    assert steps(lost)["order"]["error"]["code"] == "OUTPUT_UNREADABLE"


def test_sensitive_values_that_differ_are_told_to_differ() -> None:
    text = PAY.replace(
        "env:", "parameters: {type: object, properties: {id: {type: string, x-sensitive: true}}}\nenv:"
    )
    version = resolved(text)
    told = report_on(
        job(
            version,
            {"id": "another-private-id"},
            base={"version_id": version.id, "input": {"id": "a-very-private-id"}},
            recorded=recorded(version, RECORDED),
        )
    )
    assert changes(told) == [("order", "CHANGED"), ("pay", "SAME")]
    assert told["changes"][0]["differences"] == [{"at": "url", "before": MARKER, "after": MARKER}]


def test_a_recorded_decision_and_a_deadline_are_walked_again() -> None:
    version = resolved("""
workflow: decided
steps:
  - {key: boss, type: approval, approval: {title: Pay?, deadlineMs: 60000}}
  - {key: pay, action: shop/pay, input: {by: "{{ steps.boss.output.by }}"}}
""")
    decided = {"decision": "APPROVED", "by": "bo@example.com", "at": "x", "reason": None, "form": None}
    told = replayed(version, version, {"boss": decided, "pay": {}})
    assert steps(told)["pay"]["requests"][0]["body"] == {"by": "bo@example.com"}
    late = replayed(version, version, {"boss": decided, "pay": {}}, responses={"boss": {"timeout": True}})
    assert (late["status"], late["endedAt"]) == ("FAILED", "2026-01-01T00:01:00+00:00")
    assert changes(late) == [("pay", "REMOVED")]


def test_a_report_on_much_is_cut_short_and_can_be_sent() -> None:
    version = resolved("""
workflow: much
steps:
  - key: many
    action: shop/pay
    forEach: {items: "{{ input.ids }}"}
    input: {n: "{{ item }}", much: "{{ input.much }}"}
""")
    ids, many = list(range(150)), {"many": {}}
    told = report_on(
        job(
            version,
            {"ids": ids, "much": ["é" * 20] * 100},
            base={"version_id": version.id, "input": {"ids": ids, "much": ["b" * 20] * 100}},
            recorded=recorded(version, {f"many[{n}]": {} for n in ids}),
            responses=many,
        )
    )
    assert told["status"] == "SUCCESS"
    assert len(orjson.dumps(told)) < 3_500_000
    listed: Any = told["changes"]
    assert {one["change"] for one in listed} == {"CHANGED"}


def test_what_a_run_sent_while_its_secret_might_go_there_is_compared() -> None:
    version = resolved(PAY)
    rows = {"order": {"total": 5}, "pay": {"body": {"id": "p1"}}}
    elsewhere = {"token": {"bank": "https://bank.example"}}
    told = replayed(version, version, rows, secret_apps=elsewhere)
    assert changes(told) == [("order", "SAME"), ("pay", "REMOVED")]
    assert steps(told)["pay"]["error"]["code"] == "SECRET_NOT_FOR_APP"


def test_a_call_that_was_refused_its_secret_is_not_answered_by_the_refusal() -> None:
    version = resolved(PAY)
    ended = recorded(version, {"order": {"total": 5}, "pay": None})
    refused = {"code": "SECRET_NOT_FOR_APP", "message": "it may not be sent there"}
    ended["rows"]["pay"] |= {"status": "FAILED", "error": refused}
    told = replayed(version, version, ended)
    assert changes(told) == [("order", "SAME"), ("pay", "ADDED")]
    assert (told["status"], statuses(told)["pay"]) == ("INCOMPLETE", "NO_RESPONSE")
    elsewhere = {"token": {"bank": "https://bank.example"}}
    told = replayed(version, version, ended, secret_apps=elsewhere)
    assert changes(told) == [("order", "SAME")]
    assert (told["status"], statuses(told)["pay"]) == ("FAILED", "FAILED")
