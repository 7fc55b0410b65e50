"""Dry runs: the engine walks with declared or recorded answers, and what would be sent is told."""

import asyncio
import gc
import re
import socket
from datetime import UTC, datetime
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import orjson
import pytest
from headrace.json_types import Json
from headrace.outbound.auth import Credential
from headrace.outbound.client import OutboundClient
from headrace.outbound.pools import OutboundPools
from headrace.redaction import MARKER
from headrace.sealed_outputs import OutputPlace, seal_value
from headrace.workflow.definition import Version
from headrace.workflow.expressions.render import Templates
from headrace.workflow.schemas import Schemas
from headrace.workflow.text import read_document_text
from headrace_control.dry_runs.responses import checked
from headrace_runner.control_plane import ControlPlane
from headrace_runner.dry.answers import Answers
from headrace_runner.dry.job import read_job
from headrace_runner.dry.surroundings import VirtualClock
from headrace_runner.dry.walk import Walker, WalkServices
from headrace_runner.pace import Pace

from tests.unit.runner.dry_jobs import RUN, changes, job, recorded, report_on, resolved, statuses, steps
from tests.unit.runner.guide_documents import DOCUMENTS, RESULTS

PAY = """
workflow: pay
env: {TOKEN: {secret: token}}
steps:
  - {key: order, action: shop/get, input: {id: "{{ input.id }}"}, output: {total: "$.body.total"}}
  - key: pay
    action: shop/pay
    input: {amount: "{{ steps.order.output.total }}", token: "{{ env.TOKEN }}"}
    retry: {strategy: FIXED, maxAttempts: 3, initialDelayMs: 30000, maxDelayMs: 30000}
result: {paid: "{{ steps.pay.output.body.id }}"}
"""
ORDER = {"order": {"body": {"total": 5}}}


@pytest.fixture(autouse=True)
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever connects to anything fails the test."""

    def refuse(*_: object) -> None:
        raise AssertionError("a dry run connected to something")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)


def test_a_version_is_walked_by_declared_responses() -> None:
    told = report_on(
        job(resolved(PAY), {"id": 7}, responses={**ORDER, "pay": {"status": 201, "body": {"id": "p1"}}})
    )
    assert (told["status"], told["result"]) == ("SUCCESS", {"paid": "p1"})
    pay = steps(told)["pay"]
    assert pay["answeredBy"] == "DECLARED"
    (request,) = pay["requests"]
    assert request["method"] == "POST"
    assert request["url"] == "https://shop.example/payments"
    assert request["body"] == {"amount": 5, "token": "<secret:TOKEN>"}
    assert request["headers"]["Idempotency-Key"].endswith("-pay")
    assert steps(told)["order"]["output"] == {"total": 5}


def test_every_attempt_has_its_own_response_and_no_time_passes() -> None:
    told = report_on(
        job(resolved(PAY), {"id": 7}, responses={**ORDER, "pay": [{"status": 503}, {"body": {"id": "p2"}}]})
    )
    assert told["result"] == {"paid": "p2"}
    assert len(steps(told)["pay"]["requests"]) == 2
    assert told["endedAt"] == "2026-01-01T00:00:30+00:00"


def test_a_step_without_a_response_stops_there_and_others_go_on() -> None:
    version = resolved("""
workflow: both
steps:
  - {key: order, action: shop/get, input: {id: 1}}
  - {key: after, action: shop/get, input: {id: 2}}
  - {key: other, type: transform, input: 5}
edges: [{from: order, to: after}]
""")
    told = report_on(job(version, {}))
    assert told["status"] == "INCOMPLETE"
    assert statuses(told) == {"order": "NO_RESPONSE", "after": "NOT_REACHED", "other": "SUCCESS"}
    problems: Any = told["problems"]
    assert [(one["path"], one["code"]) for one in problems] == [("order", "NOT_DECLARED")]
    assert steps(told)["order"]["requests"][0]["url"] == "https://shop.example/orders/1"


def test_loops_waits_and_decisions_are_walked() -> None:
    version = resolved("""
workflow: long
steps:
  - key: fetch
    action: shop/get
    input: {id: "{{ item }}"}
    output: {total: "$.body.total"}
    forEach: {items: "{{ input.ids }}"}
  - {key: week, type: wait, wait: {forMs: 604800000}}
  - {key: boss, type: approval, approval: {title: Pay?}}
  - {key: paper, type: signal, signal: {name: signed}}
  - key: pay
    action: shop/pay
    input: {by: "{{ steps.boss.output.form.name }}", doc: "{{ steps.paper.output.doc }}"}
result: "{{ steps.fetch.output.results }}"
""")
    responses = {
        "fetch": {"body": {"total": 1}},
        "fetch[1]": {"body": {"total": 9}},
        "boss": {"decision": "APPROVED", "form": {"name": "bo"}},
        "paper": {"payload": {"doc": "d1"}},
        "pay": {},
    }
    told = report_on(job(version, {"ids": [1, 2, 3]}, responses=responses))
    assert (told["status"], told["result"]) == ("SUCCESS", [{"total": 1}, {"total": 9}, {"total": 1}])
    assert steps(told)["pay"]["requests"][0]["body"] == {"by": "bo", "doc": "d1"}
    assert told["endedAt"] == "2026-01-08T00:00:00+00:00"


def test_what_the_policy_would_ask_is_told() -> None:
    version = resolved(PAY)
    held = {version.id: {"shop/get": {"class": "A"}, "shop/pay": {"class": "B", "roles": ["ADMIN"]}}}
    given = job(version, {"id": 1}, responses={**ORDER, "pay": {"body": {"id": 1}}}, policy=held)
    told = report_on(given)
    assert told["status"] == "SUCCESS"
    assert steps(told)["pay"]["asks"] == {"action": "shop/pay", "roles": ["ADMIN"], "twoPerson": False}
    refused = report_on({**given, "responses": {**ORDER, "pay": {"gate": "REJECTED"}}})
    assert (refused["status"], statuses(refused)["pay"]) == ("FAILED", "FAILED")


CHILD = """
workflow: one
steps:
  - key: pay
    action: shop/pay
    input: {order: "{{ input.order }}"}
    compensate: {action: shop/refund, input: {order: "{{ input.order }}"}}
result: {order: "{{ input.order }}"}
"""
PARENT = """
workflow: many
steps:
  - key: each
    type: workflow
    workflow: {name: one}
    forEach: {items: [a, b]}
    input: {order: "{{ item }}"}
  - {key: last, action: shop/get, input: {id: 1}}
compensateOn: [failure]
"""


def test_sub_workflows_are_walked_and_undone() -> None:
    child = resolved(CHILD)
    parent = resolved(PARENT, {"one": child})
    responses = {"each/pay": {}, "each.undo/pay.undo": {}, "last": {"status": 400}}
    told = report_on(job(parent, {}, child, responses=responses))
    assert told["status"] == "FAILED"
    sent = {path: one["requests"][0]["body"] for path, one in steps(told).items() if one["requests"]}
    assert sent["each[0]/pay"] == {"order": "a"}
    assert sent["each[1]/pay"] == {"order": "b"}
    assert sent["each[0].undo/pay.undo"] == {"order": "a"}
    assert statuses(told)["each[1]"] == "COMPENSATED"


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


def test_what_is_sensitive_is_hidden_in_the_report() -> None:
    text = PAY.replace(
        "env:", "parameters: {type: object, properties: {id: {type: string, x-sensitive: true}}}\nenv:"
    )
    told = report_on(job(resolved(text), {"id": "a-very-private-id"}, responses=ORDER))
    assert "a-very-private-id" not in str(told)


def test_a_walk_has_an_end() -> None:
    version = resolved("""
workflow: often
steps:
  - {key: many, action: shop/get, input: {id: "{{ item }}"}, forEach: {items: "{{ input.ids }}"}}
""")
    told = report_on(job(version, {"ids": list(range(1500))}, responses={"many": {}}))
    assert told["status"] == "INCOMPLETE"
    problems: Any = told["problems"]
    assert "TOO_LONG" in [one["code"] for one in problems]


def test_nothing_in_a_walk_can_call() -> None:
    """Of all that a walk is made of, nothing holds a client, a pool or a credential."""
    forbidden = (OutboundClient, OutboundPools, ControlPlane, Credential)
    version = resolved(PAY)
    walker = Walker(
        read_job(job(version, {"id": 7})), WalkServices(Templates(), Schemas(), Pace()), declared=True
    )
    asyncio.run(walker.top(version.id, {"id": 7}))
    answers = Answers(read_job(job(version, {})), "", walker.walk.runs[""].version, None, declared=True)
    parts = walker.parts("", answers, VirtualClock(datetime.now(UTC)))
    seen: set[int] = set()
    waiting: list[Any] = [walker, parts]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, type | ModuleType):
            continue
        seen.add(id(one))
        assert not isinstance(one, forbidden), type(one).__name__
        waiting += gc.get_referents(one) if not isinstance(one, FunctionType) else list(one.__closure__ or ())
    assert len(seen) > 100


GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "dry-runs.md"


def test_the_guides_example_is_walked_as_it_says() -> None:
    _, document, responses = re.findall(
        r"^```yaml\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.M | re.S
    )
    told = report_on(job(resolved(document), {"id": 7}, responses=checked(read_document_text(responses))))
    assert (told["status"], told["result"]) == ("SUCCESS", {"paid": "p-1"})
    assert told["endedAt"] == "2026-01-01T00:00:05+00:00"
    assert {path: len(one["requests"]) for path, one in steps(told).items()} == {
        "order": 1,
        "agree": 0,
        "pay": 2,
    }


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


def test_calls_without_an_answer_pages_and_probes_are_declared() -> None:
    told = report_on(
        job(resolved(PAY), {"id": 1}, responses={**ORDER, "pay": [{"error": "TIMEOUT"}, {"body": {"id": 1}}]})
    )
    assert told["result"] == {"paid": 1}
    unsafe = resolved("""
workflow: unsafe
steps: [{key: refund, action: shop/refund, input: {n: 1}}]
""")
    doubt = report_on(job(unsafe, {}, responses={"refund": {"error": "TIMEOUT"}}))
    assert (doubt["status"], statuses(doubt)) == ("INCOMPLETE", {"refund": "UNKNOWN"})
    problems: Any = doubt["problems"]
    assert [one["code"] for one in problems] == ["IN_DOUBT"]


def test_a_sub_workflow_may_be_declared_as_a_whole() -> None:
    child = resolved(CHILD)
    parent = resolved(PARENT, {"one": child})
    told = report_on(job(parent, {}, child, responses={"each": {"output": {"order": 1}}, "last": {}}))
    assert told["status"] == "SUCCESS"
    assert list(steps(told)) == ["each", "each[0]", "each[1]", "last"]
    responses = {"each": {"output": {}}, "last": {"status": 400}}
    undone = report_on(job(parent, {}, child, responses=responses))
    problems: Any = undone["problems"]
    assert [one["path"] for one in problems] == ["each[1].undo"]
    both = report_on(job(parent, {}, child, responses={**responses, "each.undo": {"output": None}}))
    assert (both["status"], statuses(both)["each[0]"]) == ("FAILED", "COMPENSATED")


@pytest.mark.parametrize(("workflow", "given", "result"), RESULTS)
def test_a_walk_comes_to_what_a_run_comes_to(workflow: str, given: Json, result: Json) -> None:
    told = report_on(job(resolved(DOCUMENTS[workflow]), given))
    assert (told["status"], told["result"]) == ("SUCCESS", result)


def test_the_runs_time_limit_comes_before_a_longer_wait() -> None:
    version = resolved("""
workflow: limited
timeoutMs: 60000
steps: [{key: week, type: wait, wait: {forMs: 604800000}}]
""")
    told = report_on(job(version, {}))
    assert (told["status"], told["endedAt"]) == ("FAILED", "2026-01-01T00:01:00+00:00")
    error: Any = told["error"]
    assert error["code"] == "RUN_TIMEOUT"


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
