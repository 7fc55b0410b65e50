"""What is told when a secret is set for some apps: versions whose runs fail by that, over the real schema."""

from typing import Any

import asyncpg
import pytest
from headrace_control.secrets import refusals

from tests.integration.control_plane_runs.acting import (
    FAILURE,
    Client,
    Fleet,
    deprecate,
    orders,
    publish,
    save_action,
    started,
)
from tests.integration.control_plane_runs.walking import walkers

_SET = (
    """mutation($apps: [String!]) { setSecret(name: "token", value: "a long enough value", apps: $apps) { __typename
    ... on Secret { apps notices { path message code } } """
    + FAILURE
    + "} }"
)
PAY = {"method": "POST", "endpointTemplate": "/pay", "idempotency": {"mode": "KEY"}}
_PAID = {"token": "{{ env.TOKEN }}", "amount": 3}


def paying(name: str, *steps: dict[str, Any]) -> dict[str, Any]:
    return {"workflow": name, "env": {"TOKEN": {"secret": "token"}}, "steps": [*steps]}


def pay(key: str = "pay", **more: Any) -> dict[str, Any]:
    return {"key": key, "action": "shop/pay", "body": _PAID, **more}


def run_of(workflow: str) -> dict[str, Any]:
    return {"key": "child", "type": "workflow", "workflow": workflow}


async def narrowed(client: Client, *apps: str) -> list[str]:
    """The places of the notices, or what they say where there is none."""
    made = await client(_SET, apps=list(apps))
    assert made["__typename"] == "Secret", made
    return [notice["path"] or notice["message"] for notice in made["notices"]]


async def out_of_memory(*_: object) -> None:
    raise asyncpg.OutOfMemoryError


async def published(client: Client, document: dict[str, Any]) -> str:
    made = await publish(client, document)
    assert made["__typename"] == "PublishedVersion", made
    return str(made["version"]["id"])


@pytest.fixture
async def shop(acme: Client) -> Client:
    """A tenant with an action that takes a token."""
    for name in ("pay", "undo"):
        await save_action(acme, name, PAY)
    return acme


async def test_versions_that_would_send_it_elsewhere_are_named(shop: Client, stranger: Client) -> None:
    await save_action(stranger, "pay", PAY)
    await published(stranger, paying("theirs", pay()))
    await published(shop, orders())  # declares it, and sends it nowhere
    await published(shop, paying("plain", pay("first"), pay("second")))
    undo = {"action": "shop/undo", "input": _PAID}
    await published(shop, paying("undone", pay(body={"amount": 1}, compensate=undo)))
    assert await narrowed(shop, "shop", "bank") == []
    assert await narrowed(shop, "bank") == ["plain 1: steps[0]", "undone 1: steps[0].compensate"]
    notice = (await shop(_SET, apps=["bank"]))["notices"][0]
    words = "`env.TOKEN` is a secret that may not be sent to shop (and 1 more of its calls)"
    assert (notice["message"], notice["code"]) == (words, "SECRET_NOT_FOR_APP")
    assert (await shop(_SET, apps=None))["notices"] == []
    listed = (await shop("{ secrets { items { name notices { path } } } }"))["items"]
    assert listed == [{"name": "token", "notices": []}]


async def test_versions_count_as_long_as_they_can_run(shop: Client, fleet: Fleet) -> None:
    old = await published(shop, paying("idle", pay()))
    await deprecate(shop, old)
    busy = await published(shop, paying("busy", pay()))
    run = await started(shop, workflow="busy")
    await deprecate(shop, busy)
    inner = await published(shop, paying("inner", pay()))
    await published(shop, {"workflow": "outer", "steps": [run_of("inner")]})
    await deprecate(shop, inner)
    assert await narrowed(shop, "bank") == ["busy 1: steps[0]", "inner 1: steps[0]"]
    await fleet.claim(run)
    await fleet.finish(run)
    assert await narrowed(shop, "bank") == ["inner 1: steps[0]"]


async def test_an_app_that_has_moved_counts_and_a_connections_own_address_does_not(shop: Client) -> None:
    await published(shop, paying("pinned", pay()))
    await published(shop, paying("owned", pay(connection="shop-main")))
    await shop('mutation { updateApp(name: "shop", input: {baseUrl: "http://127.0.0.1:10"}) { __typename } }')
    await shop(
        """mutation { updateConnection(name: "shop-main", input: {baseUrl: "http://127.0.0.1:11"}) { __typename } }"""
    )
    made = await shop(_SET, apps=["shop"])
    assert [one["path"] for one in made["notices"]] == ["pinned 1: steps[0]"]
    assert made["notices"][0]["message"].endswith("published; publish anew")


_MOVE = (
    """mutation($input: AppChanges!) { updateApp(name: "shop", input: $input) { __typename
    ... on App { notices { path message code } } """
    + FAILURE
    + "} }"
)


async def test_who_moves_an_app_is_told_which_versions_stay_behind(shop: Client) -> None:
    await published(shop, paying("pinned", pay()))
    assert await narrowed(shop, "shop", "bank") == []
    told = (await shop(_MOVE, input={"baseUrl": "http://127.0.0.1:10"}))["notices"]
    assert [(one["path"], one["code"]) for one in told] == [("pinned 1: steps[0]", "SECRET_NOT_FOR_APP")]
    assert told[0]["message"].endswith("published; publish anew")
    assert (await shop(_MOVE, input={"title": "The shop"}))["notices"] == []
    await published(shop, paying("pinned", pay("again")))
    await shop(_SET, apps=None)
    assert (await shop(_MOVE, input={"baseUrl": "http://127.0.0.1:12"}))["notices"] == []


async def test_what_is_not_named_is_counted_and_what_is_not_read_is_said(
    shop: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        await published(shop, paying(f"pay-{number}", pay()))
    await published(shop, paying("pay-0", pay("again")))
    # What a start without a number runs comes first, of every workflow.
    named = ["pay-0 2: steps[0]", *(f"pay-{number} 1: steps[0]" for number in range(1, 4))]
    assert await narrowed(shop, "bank") == [*named, "pay-0 1: steps[0]"]
    monkeypatch.setattr(refusals, "MOST_NAMED", 2)
    assert await narrowed(shop, "bank") == [*named[:2], "3 more versions would send it elsewhere"]
    monkeypatch.setattr(refusals, "MOST_READ", 1)
    more = "more versions may be concerned: no more than 1 are read"
    assert await narrowed(shop, "bank") == [*named[:1], more]
    monkeypatch.setattr(refusals.repository, "bounds_of", out_of_memory)
    (notice,) = (await shop(_SET, apps=["bank"]))["notices"]
    assert notice["message"].endswith("is not known: they could not be read")
    monkeypatch.setattr(refusals, "MOST_SECONDS", 0.0)
    (notice,) = (await shop(_SET, apps=["bank"]))["notices"]
    assert notice["code"] == "VERSIONS_NOT_READ"
    assert (await shop("{ secrets { items { apps } } }"))["items"] == [{"apps": ["bank"]}]


async def test_who_may_not_read_workflows_is_told_that_none_is_named(shop: Client) -> None:
    await published(shop, paying("hidden", pay()))
    key = await shop(
        """mutation { createApiKey(name: "k", role: ADMIN, permissions: [MANAGE_CONNECTIONS]) {
             ... on IssuedApiKey { key } } }"""
    )
    (notice,) = (await Client(shop.http, key["key"])(_SET, apps=["bank"]))["notices"]
    assert (notice["code"], notice["path"]) == ("VERSIONS_NOT_READ", "")
    assert "hidden" not in notice["message"]


async def test_a_dry_run_of_a_version_from_before_is_refused_as_its_runs_are(
    shop: Client, database: str, master_key: bytes
) -> None:
    await published(shop, paying("inner", pay()))
    await published(shop, {"workflow": "outer", "steps": [run_of("inner")]})
    await narrowed(shop, "bank")
    how = {"workflow": "outer", "input": {}, "responses": {"child/pay": {"body": {}}}}
    dry_run = await shop(
        "mutation($how: DryRunInput!) { startDryRun(how: $how) { ... on DryRun { id } " + FAILURE + "} }",
        how=how,
    )
    async with walkers(database, master_key) as found:
        await found.walk_all()
    report = await shop(
        """query($id: ID!) { dryRun(id: $id) {
             report { status steps { path status requests error { code message } } } } }""",
        id=dry_run["id"],
    )
    assert report["report"]["status"] == "FAILED"
    inner = next(one for one in report["report"]["steps"] if one["path"] == "child/pay")
    assert (inner["status"], inner["requests"]) == ("FAILED", [])
    assert inner["error"]["code"] == "SECRET_NOT_FOR_APP"
