"""Calls that the policy holds: asked for, approved, made once; or never made. On all services as processes."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
from designer import Designer, step
from fleet import Fleet
from target import Target

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    # What the gate does lies above the bus; the take-overs of tests/faults have both.
    pytest.mark.parametrize("module_fleet", ["embedded"], indirect=True, scope="module"),
]
SECRET = "a-secret-of-this-very-test"
SHORT = "48213"

_APPROVALS = """{ approvals { items { run { id } step title details roles mayDecide dueAt
  gate { action approvalClass digest twoPerson } } } }"""
_SET = """mutation ($action: String!, $class: ApprovalClass!, $two: Boolean!, $why: String!) {
  setPolicyRule(app: "shop", action: $action, approvalClass: $class, twoPerson: $two, reason: $why) {
    ok: __typename ...Failed } }"""
_EVENTS = "query ($id: ID!) { run(id: $id) { events(first: 200) { items { kind step data } } } }"


@dataclass(frozen=True)
class World:
    fleet: Fleet
    target: Target
    designer: Designer
    admin: asyncpg.Connection

    async def publish(self, workflow: str, *steps: dict[str, Any]) -> None:
        await self.designer.publish(
            {
                "workflow": workflow,
                "env": {"PIN": {"secret": "pin"}, "SHORT": {"secret": "short"}},
                "steps": list(steps),
            }
        )

    async def rule(self, action: str, held: str, two_person: bool = False, why: str = "") -> None:
        await self.designer.mutate(_SET, action=action, two=two_person, why=why, **{"class": held})

    async def asked(self, run_id: str) -> Any:
        """The run's approval, once it is asked for."""
        async with asyncio.timeout(60):
            while True:
                for one in (await self.designer.do(_APPROVALS))["approvals"]["items"]:
                    if one["run"]["id"] == run_id:
                        return one
                await asyncio.sleep(0.1)  # asked from outside, as a person would

    async def events(self, run_id: str, kind: str) -> list[Any]:
        run = (await self.designer.do(_EVENTS, id=run_id))["run"]
        return [event["data"] for event in run["events"]["items"] if event["kind"].lower() == kind]

    async def refused(self, run_id: str) -> list[str]:
        rows = await self.admin.fetch(
            """SELECT detail ->> 'code' AS code FROM (
                 SELECT detail, target, outcome FROM audit_inbox
                 UNION ALL SELECT detail, target, outcome FROM audit_log) kept
               WHERE outcome = 'REFUSED' AND target LIKE $1""",
            f"run/{run_id}/%",
        )
        return [row["code"] for row in rows]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployed(module_fleet: Fleet) -> AsyncIterator[World]:
    async with Target() as target:
        await module_fleet.start_all()
        designer = Designer(module_fleet)
        await designer.app("shop", target.url)
        await designer.secret("pin", SECRET)
        await designer.secret("short", SHORT)
        for name in ("pay", "ship", "unpay"):
            keyed = {"mode": "KEY"}
            await designer.action("shop", name, "POST", f"/{name}", idempotency=keyed, approvalClass="B")
        admin = await asyncpg.connect(module_fleet.backends.database_url)
        yield World(module_fleet, target, designer, admin)
        await admin.close()


@pytest.fixture
def world(deployed: World) -> World:
    deployed.target.calls.clear()
    deployed.target.answers.clear()
    return deployed


def call(name: str, **more: Any) -> dict[str, Any]:
    return {"key": name, "action": f"shop/{name}", "input": {"n": 1, "pin": "{{ env.PIN }}"}} | more


async def test_what_is_made_of_secrets_is_sent_and_shown_to_nobody(world: World) -> None:
    designer, target = world.designer, world.target
    body = {
        "pin": "{{ env.SHORT }}",
        "part": "{{ env.PIN[2:8] | upper }}",
        "text": "n {{ input.n }}: {{ env.SHORT }}",
        "n": "{{ input.n }}",
    }
    await world.publish(
        "short", {"key": "pay", "action": "shop/pay", "query": {"s": "{{ env.SHORT }}"}, "body": body}
    )
    run_id = await designer.start("short", n=7)
    asked = await world.asked(run_id)
    hidden = {"pin": "[***]", "part": "[***]", "text": "n 7: [***]", "n": 7}
    assert (asked["details"]["body"], asked["details"]["url"]) == (hidden, f"{target.url}/pay?s=[***]")
    await designer.decide(run_id, "pay", "APPROVE", "checked")
    run = await designer.ended(run_id)
    assert run["steps"][0]["input"] == {"query": {"s": "[***]"}, "body": hidden}
    (sent,) = target.calls
    assert sent.query == {"s": SHORT}
    assert json.loads(sent.body) == {"pin": SHORT, "part": "SECRET", "text": f"n 7: {SHORT}", "n": 7}
    rows = await world.admin.fetch("SELECT data::text FROM events WHERE run_id = $1", UUID(run_id))
    assert not [row for row in rows if SHORT in row["data"] or "SECRET" in row["data"]]


async def test_a_call_is_approved_and_made_once_and_its_retry_is_not_asked_for(world: World) -> None:
    designer, target = world.designer, world.target
    retry = {"strategy": "FIXED", "maxAttempts": 2, "initialDelayMs": 6000, "maxDelayMs": 6000}
    await world.publish("paid", call("pay", retry=retry))
    target.on("/pay", 503)
    run_id = await designer.start("paid")
    asked = await world.asked(run_id)
    assert (asked["step"], asked["title"], asked["mayDecide"]) == ("pay", "Call shop/pay?", True)
    assert (asked["gate"]["action"], asked["gate"]["approvalClass"]) == ("shop/pay", "B")
    assert asked["details"]["url"] == f"{target.url}/pay"
    assert asked["details"]["body"] == {"n": 1, "pin": "[***]"}
    run = await designer.ended(run_id, wanted={"WAITING"})
    assert (run["status"], run["waitReason"], target.calls) == ("WAITING", "APPROVAL", [])
    await designer.decide(run_id, "pay", "APPROVE", "checked")
    await target.called("/pay")
    target.answers.clear()
    run = await designer.ended(run_id)
    assert run["status"] == "SUCCESS", run
    assert len(target.of("/pay")) == 2
    await designer.verified(run_id)
    first, again = await world.events(run_id, "started")
    assert first["approval"] == {"by": "first admin", "digest": asked["gate"]["digest"], "seq": 1}
    assert again["approval"]["digest"] == first["approval"]["digest"]
    assert len([one for one in await world.events(run_id, "waiting") if one["wait"]["kind"] == "GATE"]) == 1
    row = await world.admin.fetchrow("SELECT status FROM waits WHERE run_id::text = $1", run_id)
    assert row["status"] == "CLOSED"


async def test_what_is_rejected_is_not_called_and_undoing_asks_nobody(world: World) -> None:
    designer, target = world.designer, world.target
    undone = {"action": "shop/unpay", "input": {"n": 1}}
    await world.publish("rejected", call("pay", compensate=undone), call("ship"))
    run_id = await designer.start("rejected")
    await world.asked(run_id)
    await designer.decide(run_id, "pay", "APPROVE")
    assert (await world.asked(run_id))["step"] == "ship"
    await designer.decide(run_id, "ship", "REJECT", "too dear")
    run = await designer.ended(run_id)
    assert (run["status"], run["error"]["code"]) == ("FAILED", "REJECTED")
    assert [made.path for made in target.calls] == ["/pay", "/unpay"]
    assert step(run, "pay")["status"] == "COMPENSATED"
    await designer.verified(run_id)
    dead = await world.admin.fetch("SELECT step FROM dead_letters WHERE run_id::text = $1", run_id)
    assert dead == []  # a person has said no: nothing is broken


async def test_a_rule_that_forbids_the_call_meanwhile_is_heeded(world: World) -> None:
    designer, target = world.designer, world.target
    nap = {"key": "nap", "type": "wait", "wait": {"forMs": 1500}}
    await world.publish("napping", nap, call("ship"))
    await world.publish("asking", call("ship", key="asks"))
    napping, asking = await designer.start("napping"), await designer.start("asking")
    await world.asked(asking)
    await world.rule("ship", "C")
    await designer.decide(asking, "asks", "APPROVE")
    for run_id in (napping, asking):
        run = await designer.ended(run_id)
        assert (run["status"], run["error"]["code"]) == ("FAILED", "POLICY_FORBIDDEN"), run
        assert await world.refused(run_id) == ["POLICY_FORBIDDEN"]
        await designer.verified(run_id)
    assert target.calls == []
    await world.rule("ship", "A", why="the end of the test")


async def test_a_runner_killed_in_an_approved_call_leaves_the_approval_to_the_next(world: World) -> None:
    designer, target, fleet = world.designer, world.target, world.fleet
    await world.publish("killed", call("pay"))
    target.hold("/pay")
    run_id = await designer.start("killed")
    await world.asked(run_id)
    await designer.decide(run_id, "pay", "APPROVE")
    await target.called("/pay")
    (runner,) = [s for s in fleet.services if s.name == "headrace_runner" and s.process.returncode is None]
    await runner.kill()
    target.release("/pay")
    await fleet.runner()
    run = await designer.ended(run_id, seconds=90)
    assert run["status"] == "SUCCESS", run
    assert len({made.key for made in target.of("/pay")}) == 1
    assert len([one for one in await world.events(run_id, "waiting") if one["wait"]["kind"] == "GATE"]) == 1
    await designer.verified(run_id)


async def test_a_loop_asks_for_each_item_and_a_canceled_run_for_none(world: World) -> None:
    designer, target = world.designer, world.target
    await world.publish("each", call("pay", forEach={"items": [1, 2], "maxConcurrency": 2}))
    run_id = await designer.start("each")
    await world.asked(run_id)
    async with asyncio.timeout(60):
        while len(rows := (await designer.do(_APPROVALS))["approvals"]["items"]) < 2:
            await asyncio.sleep(0.1)  # asked from outside, as a person would
    assert {row["step"] for row in rows} == {"pay[0]", "pay[1]"}
    await designer.decide(run_id, "pay[1]", "APPROVE")
    await target.called("/pay")
    await designer.cancel(run_id)
    run = await designer.ended(run_id)
    assert (run["status"], len(target.calls)) == ("CANCELED", 1)
    assert (await designer.do(_APPROVALS))["approvals"]["items"] == []
    await designer.verified(run_id)
