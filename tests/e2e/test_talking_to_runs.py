"""What people and external systems say to runs: early signals, callbacks, decisions, pauses, settled doubts."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from designer import Designer, step
from fleet import Fleet, heartbeat_heard
from target import Target

PEOPLE = {
    "workflow": "people",
    "steps": [
        {"key": "ask", "action": "shop/ask", "input": {"callback": "{{ callbacks.paid }}"}},
        {"key": "paid", "type": "signal"},
        {
            "key": "allow",
            "type": "approval",
            "approval": {
                "title": "Ship {{ steps.paid.output.amount }}?",
                "form": {"type": "object", "required": ["by"], "properties": {"by": {"type": "string"}}},
            },
        },
        {"key": "known", "type": "signal", "signal": {"name": "address"}},
    ],
    "result": {
        "paid": "{{ steps.paid.output.amount }}",
        "by": "{{ steps.allow.output.form.by }}",
        "to": "{{ steps.known.output }}",
    },
}

_SIGNAL = """mutation ($run: ID!, $name: String!, $payload: JSON) {
  signalRun(runId: $run, name: $name, payload: $payload) { ok: __typename ... on SentMessage { seq } ...Failed } }"""
_DECIDE = """mutation ($run: ID!, $form: JSON) {
  decideApproval(runId: $run, step: "allow", decision: APPROVE, form: $form) {
    ok: __typename ... on Approval { status } ...Failed } }"""
_PAUSE = "mutation ($run: ID!) { pauseRun(id: $run) { ok: __typename ... on Run { status } ...Failed } }"
_RESUME = "mutation ($run: ID!) { resumeRun(id: $run) { ok: __typename ... on Run { status } ...Failed } }"
_EVENTS = """query ($id: ID!) {
  run(id: $id) { events { items { data } } } logs(filter: {run: $id}) { items { message context } } }"""
_WAITS = "query ($id: ID!) { run(id: $id) { waits(first: 1) { items { dueAt } } } }"
_SETTLE = """mutation ($run: ID!, $outcome: Settlement!, $output: JSON) {
  settleStep(runId: $run, step: "pay", outcome: $outcome, output: $output) {
    ok: __typename ... on SentMessage { seq } ...Failed } }"""


async def waiting_for(designer: Designer, run_id: str, reason: str) -> Any:
    """The run, once it waits for this."""
    async with asyncio.timeout(60):
        while (run := await designer.run(run_id))["waitReason"] != reason:
            await asyncio.sleep(0.1)  # asked from outside, as a user without a subscription would
    return run


async def test_a_run_is_led_by_a_system_and_two_people(fleet: Fleet, target: Target) -> None:
    await fleet.start_all()
    designer = Designer(fleet)
    await designer.app("shop", target.url)
    await designer.action("shop", "ask", "POST", "/ask", idempotency={"mode": "KEY"})
    await designer.publish(PEOPLE)
    run_id = await designer.start("people")
    await designer.mutate(
        _SIGNAL, run=run_id, name="address", payload={"city": "Ulm"}
    )  # long before its wait
    (asked,) = await target.called("/ask")
    address = json.loads(asked.body)["callback"]
    await waiting_for(designer, run_id, "SIGNAL")

    async with httpx.AsyncClient(trust_env=False) as system:
        assert (await system.post(address, json={"amount": 12})).status_code == 202
        assert (await system.post(address, json={"amount": 13})).status_code == 409
    await waiting_for(designer, run_id, "APPROVAL")
    (approval,) = (await designer.do("{ approvals { items { step title mayDecide } } }"))["approvals"][
        "items"
    ]
    assert approval == {"step": "allow", "title": "Ship 12?", "mayDecide": True}

    assert (await designer.mutate(_PAUSE, run=run_id))["status"] == "PAUSED"
    await designer.mutate(_DECIDE, run=run_id, form={"by": "ship"})
    assert (await designer.run(run_id))["status"] == "PAUSED"
    await designer.mutate(_RESUME, run=run_id)
    run = await designer.ended(run_id)
    await designer.verified(run["id"])
    assert (run["status"], run["result"]) == ("SUCCESS", {"paid": 12, "by": "ship", "to": {"city": "Ulm"}})
    waits = await designer.do(
        "query ($id: ID!) { run(id: $id) { waits { items { step status } } } }", id=run_id
    )
    assert {w["step"]: w["status"] for w in waits["run"]["waits"]["items"]} == {
        "allow": "CLOSED",
        "known": "CLOSED",
        "paid": "CLOSED",
    }
    assert len(target.of("/ask")) == 1
    # The address is a secret: who reads the run does not get it.
    assert address.rsplit("/", 1)[1] not in json.dumps([run, await designer.do(_EVENTS, id=run_id)])


async def test_an_address_ends_the_wait_of_its_own_step(fleet: Fleet, target: Target) -> None:
    """Two steps wait for one name, and one has a schema."""
    await fleet.start_all()
    designer = Designer(fleet)
    await designer.app("shop", target.url)
    await designer.action("shop", "ask", "POST", "/ask", idempotency={"mode": "KEY"})
    addresses = {key: f"{{{{ callbacks.{key} }}}}" for key in ("first", "second")}
    paid = {"type": "object", "required": ["amount"]}
    await designer.publish(
        {
            "workflow": "two-payments",
            "steps": [
                {"key": "ask", "action": "shop/ask", "input": addresses},
                {"key": "first", "type": "signal", "signal": {"name": "paid", "schema": paid}},
                {"key": "second", "type": "signal", "signal": {"name": "paid"}},
            ],
            "edges": [{"from": "ask", "to": key} for key in addresses],
            "result": ["{{ steps.first.output }}", "{{ steps.second.output }}"],
        }
    )
    run_id = await designer.start("two-payments")
    (asked,) = await target.called("/ask")
    address = json.loads(asked.body)
    await waiting_for(designer, run_id, "SIGNAL")
    async with httpx.AsyncClient(trust_env=False) as system:
        assert (await system.post(address["second"], json="in cash")).status_code == 202
        async with asyncio.timeout(60):
            while "SUCCESS" not in (ends := await _ends(designer, run_id, *address)).values():
                await asyncio.sleep(0.1)  # asked from outside, as above
        assert ends == {"first": "WAITING", "second": "SUCCESS"}
        assert (await system.post(address["first"], json={"amount": 12})).status_code == 202
    run = await designer.ended(run_id)
    await designer.verified(run_id)
    assert (run["status"], run["result"]) == ("SUCCESS", [{"amount": 12}, "in cash"])


async def _ends(designer: Designer, run_id: str, *keys: str) -> dict[str, str]:
    run = await designer.run(run_id)
    return {key: step(run, key)["status"] for key in keys}


async def test_a_running_run_is_paused_between_two_steps(fleet: Fleet, target: Target) -> None:
    await fleet.start_all()
    designer = Designer(fleet)
    await designer.app("shop", target.url)
    for name in ("one", "two"):
        await designer.action("shop", name, "POST", f"/{name}", idempotency={"mode": "KEY"})
    await designer.publish(
        {"workflow": "two", "steps": [{"key": name, "action": f"shop/{name}"} for name in ("one", "two")]}
    )
    target.hold("/one")
    run_id = await designer.start("two")
    await target.called("/one")
    assert (await designer.mutate(_PAUSE, run=run_id))["status"] == "RUNNING"
    await heartbeat_heard(fleet.backends.database_url)
    target.release("/one")
    run = await designer.ended(run_id, wanted={"PAUSED"})
    assert (run["waitReason"], step(run, "one")["status"], step(run, "two")["status"]) == (
        "PAUSED",
        "SUCCESS",
        "QUEUED",
    )
    assert target.of("/two") == []
    await designer.mutate(_RESUME, run=run_id)
    assert (await designer.ended(run_id))["status"] == "SUCCESS"
    await designer.verified(run_id)
    assert [call.path for call in target.calls] == ["/one", "/two"]


async def test_a_signal_behind_its_deadline_is_left_to_a_later_wait(fleet: Fleet, target: Target) -> None:
    """Nobody looks at the wait when its time comes, for the run is paused: what comes then comes too late."""
    await fleet.start_all()
    designer = Designer(fleet)
    await designer.publish(
        {
            "workflow": "sign",
            "steps": [
                {
                    "key": "signed",
                    "type": "signal",
                    "signal": {"deadlineMs": 1500, "default": "continue"},
                },
                {"key": "renewed", "type": "signal", "signal": {"name": "signed"}},
            ],
            "result": ["{{ steps.signed.output }}", "{{ steps.renewed.output }}"],
        }
    )
    run_id = await designer.start("sign")
    await waiting_for(designer, run_id, "SIGNAL")
    await designer.mutate(_PAUSE, run=run_id)
    (wait,) = (await designer.do(_WAITS, id=run_id))["run"]["waits"]["items"]
    due = datetime.fromisoformat(wait["dueAt"])
    await asyncio.sleep(
        (due - datetime.now(UTC)).total_seconds() + 0.1
    )  # a moment in time, which nobody tells of
    await designer.signal(run_id, "signed", {"by": "too late"})
    await designer.mutate(_RESUME, run=run_id)
    run = await designer.ended(run_id)
    assert run["result"] == [None, {"by": "too late"}]
    await designer.verified(run_id)


async def test_a_lost_answer_is_settled_by_a_person(fleet: Fleet, target: Target) -> None:
    await fleet.start_all()
    designer = Designer(fleet)
    await designer.app("shop", target.url)
    await designer.action("shop", "pay", "POST", "/pay", idempotency={"mode": "NONE"})
    await designer.publish(
        {
            "workflow": "pay",
            "steps": [{"key": "pay", "action": "shop/pay", "timeoutMs": 2000}],
            "result": "{{ steps.pay.output.body.id }}",
        }
    )

    target.hold("/pay")
    found, lost = await designer.start("pay"), await designer.start("pay")
    for run_id in (found, lost):
        assert step(await waiting_for(designer, run_id, "IN_DOUBT"), "pay")["status"] == "UNKNOWN"
    target.on("/pay", body={"id": "second"})
    target.release("/pay")
    await designer.mutate(_SETTLE, run=found, outcome="SUCCEEDED", output={"body": {"id": "first"}})
    await designer.mutate(_SETTLE, run=lost, outcome="RETRY")
    results = [(await designer.ended(run_id))["result"] for run_id in (found, lost)]
    for run_id in (found, lost):
        await designer.verified(run_id)
    assert results == ["first", "second"]
    assert len(target.of("/pay")) == 3


@pytest.mark.parametrize(
    "waits",
    [
        {"type": "approval", "approval": {"title": "Ship?", "deadlineMs": 5000, "default": "fail"}},
        {"type": "signal", "signal": {"name": "ship", "deadlineMs": 5000}},
    ],
    ids=["approval", "signal"],
)
async def test_what_was_said_in_time_counts_whenever_it_is_heard_of(
    fleet: Fleet, target: Target, waits: dict[str, Any]
) -> None:
    """The run is held, for it calls something meanwhile: its holder hears of messages by its renewals alone."""
    await fleet.control_plane()
    await fleet.reporter()
    runner = await fleet.runner()
    designer = Designer(fleet)
    await designer.app("shop", target.url)
    await designer.action("shop", "ask", "POST", "/ask", idempotency={"mode": "KEY"})
    await designer.publish(
        {
            "workflow": "people",
            "steps": [
                {"key": "begin", "type": "transform", "input": 1},
                {"key": "ask", "action": "shop/ask", "input": {}},
                {"key": "ship", **waits},
            ],
            "edges": [{"from": "begin", "to": "ask"}, {"from": "begin", "to": "ship"}],
        }
    )
    target.hold("/ask")
    run_id = await designer.start("people")
    await target.called("/ask")
    while not (waiting := (await designer.do(_WAITS, id=run_id))["run"]["waits"]["items"]):
        await asyncio.sleep(0.05)  # asked from outside, as a user without a subscription would
    runner.stall()
    if waits["type"] == "approval":
        await designer.decide(run_id, "ship", "APPROVE")
    else:
        await designer.signal(run_id, "ship")
    due = datetime.fromisoformat(waiting[0]["dueAt"])
    await asyncio.sleep(
        (due - datetime.now(UTC)).total_seconds() + 0.1
    )  # a moment in time, which nobody tells of
    runner.go_on()
    async with asyncio.timeout(30):
        while step(await designer.run(run_id), "ship")["status"] == "WAITING":
            await asyncio.sleep(0.1)  # asked from outside, as above
    target.release("/ask")
    run = await designer.ended(run_id)
    assert (run["status"], step(run, "ship")["status"]) == ("SUCCESS", "SUCCESS")
