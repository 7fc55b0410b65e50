"""Dry runs: the engine walks with declared or recorded answers, and what would be sent is told."""

import asyncio
import gc
import re
from datetime import UTC, datetime
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest
from headrace.json_types import Json
from headrace.outbound.auth import Credential
from headrace.outbound.client import OutboundClient
from headrace.outbound.pools import OutboundPools
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

from tests.unit.runner.dry_documents import CHILD, ORDER, PARENT, PAY
from tests.unit.runner.dry_jobs import job, report_on, resolved, statuses, steps
from tests.unit.runner.guide_documents import DOCUMENTS, RESULTS

pytestmark = pytest.mark.usefixtures("no_sockets")


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


def test_what_is_said_to_one_wait_is_no_answer_to_another_for_the_same_name() -> None:
    version = resolved("""
workflow: twice
steps:
  - {key: start, type: transform, input: {}}
  - {key: first, type: signal, signal: {name: signed, deadlineMs: 1000, default: continue}}
  - {key: second, type: signal, signal: {name: signed}}
edges:
  - {from: start, to: first}
  - {from: start, to: second}
result: ["{{ steps.first.output }}", "{{ steps.second.output }}"]
""")
    responses = {"first": {"timeout": True}, "second": {"payload": "d1"}}
    told = report_on(job(version, {}, responses=responses))
    assert (told["status"], told["result"]) == ("SUCCESS", [None, "d1"])


def test_what_the_policy_would_ask_is_told() -> None:
    version = resolved(PAY)
    held = {version.id: {"shop/get": {"class": "A"}, "shop/pay": {"class": "B", "roles": ["ADMIN"]}}}
    given = job(version, {"id": 1}, responses={**ORDER, "pay": {"body": {"id": 1}}}, policy=held)
    told = report_on(given)
    assert told["status"] == "SUCCESS"
    assert steps(told)["pay"]["asks"] == {"action": "shop/pay", "roles": ["ADMIN"], "twoPerson": False}
    refused = report_on({**given, "responses": {**ORDER, "pay": {"gate": "REJECTED"}}})
    assert (refused["status"], statuses(refused)["pay"]) == ("FAILED", "FAILED")


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
    # The guide's app has a name that the demo's leave free; its actions are those of these tests.
    walked = resolved(document.replace("kiosk/", "shop/"))
    told = report_on(job(walked, {"id": 7}, responses=checked(read_document_text(responses))))
    assert (told["status"], told["result"]) == ("SUCCESS", {"paid": "p-1"})
    assert told["endedAt"] == "2026-01-01T00:00:05+00:00"
    assert {path: len(one["requests"]) for path, one in steps(told).items()} == {
        "order": 1,
        "agree": 0,
        "pay": 2,
    }


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


def test_what_is_not_there_any_more_is_not_shown_as_sent() -> None:
    version = resolved(PAY.replace("action: shop/pay", "action: shop/pay\n    connection: shop-main"))
    answers = {**ORDER, "pay": {"body": {"id": "p1"}}}
    missing = {"token": "SECRET_MISSING", version.connections["shop-main"]: "CONNECTION_MISSING"}
    for gone, code in missing.items():
        told = report_on(job(version, {"id": 7}, responses=answers, gone=[gone]))
        pay = steps(told)["pay"]
        assert (told["status"], pay["error"]["code"], pay["requests"]) == ("FAILED", code, [])


def test_a_secret_that_is_for_other_apps_is_not_shown_as_sent() -> None:
    version = resolved(PAY)
    answers = {**ORDER, "pay": {"body": {"id": "p1"}}}
    words = "steps[1]: `env.TOKEN` is a secret that may not be sent to shop"
    for apps, said in (
        ({"bank": "https://bank.example"}, words),
        (
            {"shop": "https://moved.example"},
            f"{words} at the host where it was when the version was published; publish anew",
        ),
    ):
        told = report_on(job(version, {"id": 7}, responses=answers, secret_apps={"token": apps}))
        assert told["status"] == "FAILED"
        pay = steps(told)["pay"]
        assert (pay["status"], pay["requests"]) == ("FAILED", [])
        assert pay["error"] == {"code": "SECRET_NOT_FOR_APP", "message": said}
    allowed = {"token": {"shop": "https://shop.example"}, "other": {}}
    assert report_on(job(version, {"id": 7}, responses=answers, secret_apps=allowed))["status"] == "SUCCESS"
