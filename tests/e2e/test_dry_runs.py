"""Dry runs by real services: nothing is called, and what would be sent is told."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
import pytest_asyncio
from aiohttp import web
from designer import Designer
from fleet import Fleet
from target import Call, Target

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    # A dry run does not come near the bus.
    pytest.mark.parametrize("module_fleet", ["embedded"], indirect=True, scope="module"),
]

_START = """mutation ($how: DryRunInput!) { startDryRun(how: $how) {
  ok: __typename ... on DryRun { id } ...Failed } }"""
_READ = """query ($id: ID!) { dryRun(id: $id) { status version failure { code message } report {
  status result error { code message } endedAt
  steps { path status answeredBy requests output asks error { code message } }
  problems { path code } changes { path number change differences } } } }"""
PAY = {
    "key": "pay",
    "action": "shop/pay",
    "connection": "bank",
    "input": {"amount": "{{ steps.order.output.total }}", "token": "{{ env.TOKEN }}"},
    "retry": {"strategy": "NONE"},
}
ORDER = {
    "key": "order",
    "action": "shop/order",
    "input": {"id": "{{ input.id }}"},
    "output": {"total": "$.body.total"},
}
EACH = {
    "key": "each",
    "type": "workflow",
    "workflow": {"name": "pay-one"},
    "forEach": {"items": "{{ input.ids }}"},
    "input": {"id": "{{ item }}"},
}
SECRETS = ("the-key-of-the-bank", "the-token-of-the-shop")


def pay_one(*steps: Any) -> dict[str, Any]:
    return {"workflow": "pay-one", "env": {"TOKEN": {"secret": "shop-token"}}, "steps": list(steps)}


@dataclass(frozen=True)
class World:
    fleet: Fleet
    target: Target
    designer: Designer

    async def started(self, **how: Any) -> str:
        return str((await self.designer.mutate(_START, how=how))["id"])

    async def report(self, dry_run_id: str) -> Any:
        async with asyncio.timeout(30):
            while True:
                found = (await self.designer.do(_READ, id=dry_run_id))["dryRun"]
                if found["status"] in ("DONE", "FAILED"):
                    assert found["failure"] is None
                    return found["report"]
                await asyncio.sleep(0.1)  # asked from outside, as a person would

    async def dry(self, **how: Any) -> Any:
        return await self.report(await self.started(**how))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployed(module_fleet: Fleet) -> AsyncIterator[World]:
    async with Target() as target:
        # A runner hears of dry runs with its heartbeats, of which a lease has three.
        await module_fleet.control_plane(HEADRACE_LEASE_SECONDS="2")
        await asyncio.gather(module_fleet.runner(), module_fleet.reporter())
        beside = await module_fleet.another_control_plane()
        await module_fleet.runner(HEADRACE_CONTROL_PLANE_URL=beside)
        designer = Designer(module_fleet)
        await designer.app("shop", target.url, {"kind": "API_KEY", "in": "header", "name": "X-Key"})
        await designer.action("shop", "order", "GET", "/orders/{id}")
        await designer.action("shop", "pay", "POST", "/payments", idempotency={"mode": "KEY"})
        await designer.secret("shop-token", SECRETS[1])
        await designer.connection("shop", "bank", {"apiKey": SECRETS[0]})
        await designer.publish(pay_one(ORDER, PAY))
        await designer.publish({"workflow": "pay-all", "steps": [EACH]})
        yield World(module_fleet, target, designer)


@pytest.fixture
def world(deployed: World) -> World:
    deployed.target.calls.clear()
    deployed.target.answers.clear()
    return deployed


ANSWERS = {"order": {"body": {"total": 5}}, "pay": {"status": 201, "body": {"id": "p1"}}}


def by_path(report: Any) -> dict[str, Any]:
    return {one["path"]: one for one in report["steps"]}


async def test_a_version_is_walked_and_nothing_is_called(world: World) -> None:
    ids = [await world.started(workflow="pay-one", input={"id": n}, responses=ANSWERS) for n in range(6)]
    for report in await asyncio.gather(*map(world.report, ids)):
        assert report["status"] == "SUCCESS"
        (request,) = by_path(report)["pay"]["requests"]
        assert request["url"] == f"{world.target.url}/payments"
        assert request["body"] == {"amount": 5, "token": "<secret:TOKEN>"}
        assert request["connection"] == "bank"
        assert not any(secret in str(report) for secret in SECRETS)
    assert world.target.calls == []
    listed = await world.designer.do(
        "{ runs(first: 1) { items { id } } deadLetters(first: 1) { items { id } } }"
    )
    assert listed["runs"]["items"] == []
    assert listed["deadLetters"]["items"] == []


async def test_a_draft_and_a_document_are_tried_before_they_are_published(world: World) -> None:
    draft = pay_one(ORDER, {**PAY, "input": {"amount": 9}})
    await world.designer.mutate(
        "mutation ($d: JSON!) { saveDraft(document: $d) { ok: __typename ...Failed } }", d=draft
    )
    for how in ({"workflow": "pay-one", "draft": True}, {"document": draft}):
        report = await world.dry(**how, input={"id": 1}, responses=ANSWERS)
        assert by_path(report)["pay"]["requests"][0]["body"] == {"amount": 9}
    assert world.target.calls == []


async def answered(world: World, workflow: str, **given: Any) -> str:
    """An ended run, with the target answering."""

    async def order(call: Call) -> web.StreamResponse:
        return web.json_response({"total": 7})

    for path in ("/orders/1", "/orders/2"):
        world.target.answers[path] = order
    run_id = await world.designer.start(workflow, **given)
    assert (await world.designer.ended(run_id))["status"] == "SUCCESS"
    world.target.calls.clear()
    return run_id


async def test_a_recorded_run_is_compared_with_a_candidate(world: World) -> None:
    run_id = await answered(world, "pay-one", id=1)
    same = await world.dry(run=run_id)
    assert [(one["path"], one["change"]) for one in same["changes"]] == [("order", "SAME"), ("pay", "SAME")]
    check = {"key": "check", "action": "shop/order", "input": {"id": 2}}
    changed = {**PAY, "input": {"amount": "{{ steps.order.output.total }}", "currency": "EUR"}}
    report = await world.dry(run=run_id, document=pay_one(ORDER, check, changed), responses={"check": {}})
    assert [(one["path"], one["change"]) for one in report["changes"]] == [
        ("order", "SAME"),
        ("check", "ADDED"),
        ("pay", "CHANGED"),
    ]
    differences = {one["at"]: (one["before"], one["after"]) for one in report["changes"][2]["differences"]}
    assert differences == {"body.currency": (None, "EUR"), "body.token": ("<secret:TOKEN>", None)}
    fewer = await world.dry(run=run_id, document=pay_one(ORDER))
    assert [(one["path"], one["change"]) for one in fewer["changes"]][-1] == ("pay", "REMOVED")
    first = {**PAY, "input": {"amount": 7, "token": "{{ env.TOKEN }}"}}
    turned = await world.dry(run=run_id, document=pay_one(first, ORDER))
    assert sorted(one["change"] for one in turned["changes"]) == ["REORDERED", "SAME"]
    assert world.target.calls == []


async def test_sub_workflows_are_compared_too(world: World) -> None:
    run_id = await answered(world, "pay-all", ids=[1, 2])
    same = await world.dry(run=run_id)
    assert {one["change"] for one in same["changes"]} == {"SAME"}
    assert [one["path"] for one in same["changes"]] == [
        f"each[{n}]/{key}" for n in range(2) for key in ("order", "pay")
    ]
    await world.designer.publish(
        pay_one({**ORDER, "input": {"id": "{{ input.id }}"}}, {**PAY, "input": {"amount": 1}})
    )
    report = await world.dry(
        run=run_id, document={"workflow": "pay-all", "steps": [EACH]}, input={"ids": [1, 2]}
    )
    assert [(one["path"], one["change"]) for one in report["changes"]] == [
        ("each[0]/order", "SAME"),
        ("each[0]/pay", "CHANGED"),
        ("each[1]/order", "SAME"),
        ("each[1]/pay", "CHANGED"),
    ]
    assert world.target.calls == []


async def test_an_edited_dead_letter_is_tried_first(world: World) -> None:
    async def pay(call: Call) -> web.StreamResponse:
        return web.json_response({}, status=422 if orjson.loads(call.body)["amount"] == 0 else 200)

    world.target.answers["/payments"] = pay
    await world.designer.publish(
        {
            "workflow": "pay-amount",
            "steps": [{**PAY, "input": {"amount": "{{ input.amount }}"}}],
        }
    )
    run_id = await world.designer.start("pay-amount", amount=0)
    assert (await world.designer.ended(run_id))["status"] == "FAILED"
    world.target.calls.clear()
    report = await world.dry(run=run_id, patch={"amount": 5})
    (change,) = report["changes"]
    assert change["differences"] == [{"at": "body.amount", "before": 0, "after": 5}]
    # What was recorded is the failure of another request.
    assert [(one["path"], one["code"]) for one in report["problems"]] == [("pay", "OTHER_CALL")]
    declared = await world.dry(run=run_id, patch={"amount": 5}, responses={"pay": {"status": 200}})
    assert declared["status"] == "SUCCESS"
    assert world.target.calls == []
