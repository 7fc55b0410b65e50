"""Hooks: what happens is told to those who asked, signed, and what may be changed about it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest
from headrace.postgres.pool import API, WORKER, open_pool, tenant_transaction, transaction
from headrace.signed_messages import ID
from headrace_control.expiry.expire import Kept, expire
from headrace_control.hooks.repository import find

from tests.integration.control_plane_runs.acting import Client, Fleet, orders, publish, started
from tests.integration.control_plane_runs.audit_examples import mutate
from tests.integration.control_plane_runs.hooks import (
    FAILED,
    Planes,
    ended,
    genuine,
    hook,
    hook_planes,
    make_due,
    messages,
)
from tests.integration.control_plane_runs.quotas import allow


@pytest.fixture
async def planes(database: str, master_key: bytes) -> AsyncIterator[Planes]:
    async with hook_planes(database, master_key) as planes:
        yield planes


async def test_what_happens_is_told_once_and_signed(
    acme: Client, stranger: Client, fleet: Fleet, planes: Planes, admin: asyncpg.Connection
) -> None:
    for client in (acme, stranger):
        await publish(client, orders())
    secret = await hook(acme, planes.target.url + "/told", "RUN_FINISHED", "RUN_FAILED")
    await hook(acme, planes.target.url + "/none", "APPROVAL_REQUESTED", name="other")
    good = await ended(acme, fleet, {"status": "SUCCESS", "result": {}})
    bad = await ended(acme, fleet, FAILED)
    await ended(stranger, fleet, FAILED)
    await planes.turn()
    assert planes.target.paths == ["/told"] * 3
    assert sorted((told["type"], told["data"]["runId"]) for told in planes.told()) == sorted(
        [("run.finished", good), ("run.finished", bad), ("run.failed", bad)]
    )
    (failed,) = [told["data"] for told in planes.told() if told["type"] == "run.failed"]
    assert (failed["workflow"], failed["status"], failed["error"]) == ("orders", "FAILED", FAILED["error"])
    assert all(genuine(seen, secret) for seen in planes.target.requests)
    found = await messages(acme)
    assert {one["id"] for one in found} == {seen.headers[ID] for seen in planes.target.requests}
    assert {(one["status"], one["attempts"]) for one in found} == {("SENT", 1)}
    assert await admin.fetchval("SELECT count(*) FROM hook_messages") == 3


async def test_a_run_that_is_a_step_is_not_told_of(
    acme: Client, fleet: Fleet, planes: Planes, admin: asyncpg.Connection
) -> None:
    await publish(acme, orders())
    await hook(acme, planes.target.url, "RUN_FINISHED")
    parent, child = await started(acme), await started(acme)
    await admin.execute(
        "UPDATE runs SET parent_run_id = $1, parent_step = 's' WHERE id = $2", UUID(parent), UUID(child)
    )
    await fleet.claim(child)
    await fleet.finish(child)
    assert await messages(acme) == []


async def test_every_kind_is_told(
    acme: Client,
    platform: Client,
    fleet: Fleet,
    planes: Planes,
    database: str,
    admin: asyncpg.Connection,
) -> None:
    await publish(acme, orders())
    kinds = ("APPROVAL_REQUESTED", "DEAD_LETTER", "CONNECTION_EXPIRING", "QUOTA_NEAR", "BREAKER_OPEN")
    await hook(acme, planes.target.url, *kinds)
    await allow(platform, unfinishedRuns=2)
    run = await started(acme)
    await fleet.claim(run)
    wait = {"wait": {"kind": "APPROVAL", "title": "Refund?"}}
    await fleet.apply(run, ("waiting", "fetch", wait), ("completed", "refund", {**FAILED, "unhandled": True}))
    connection = await admin.fetchval(
        """UPDATE connections SET authorization_ends_at = now() + interval '6 days'
           WHERE name = 'shop-main' AND tenant_id = (SELECT id FROM tenants WHERE name = 'acme') RETURNING id"""
    )
    async with await open_pool(database, WORKER) as pool, transaction(pool) as db:
        for until in ("now()", "now() + interval '1 minute'"):
            # Opened, and opened for longer while it is half open.
            await db.execute(
                f"""INSERT INTO throttles (tenant_id, connection_id)
                    SELECT tenant_id, id FROM connections WHERE id = $1
                    ON CONFLICT (tenant_id, connection_id) DO UPDATE SET open_until = {until}""",
                connection,
            )
            await db.execute("UPDATE throttles SET open_until = now() WHERE connection_id = $1", connection)
    assert await planes.senders[0].look_once() == 1  # the connection
    await started(acme)
    assert await planes.senders[1].look_once() == 1  # both runs that the quota allows
    assert await planes.senders[0].look_once() == 0  # each is told once
    await planes.turn()
    told = {one["type"]: one["data"] for one in planes.told()}
    assert len(planes.told()) == len(told) == 5
    assert (told["approval.requested"]["runId"], told["approval.requested"]["step"]) == (run, "fetch")
    letter = told["dead_letter.added"]
    assert (letter["runId"], letter["step"], letter["code"]) == (run, "refund", "HTTP_500")
    assert told["connection.expiring"]["connection"] == "shop-main"
    assert told["quota.near"] == {"quota": "unfinishedRuns", "most": 2, "used": 2}
    assert told["breaker.open"]["connection"] == "shop-main"


async def test_paused_it_is_told_nothing_new_and_what_waits_is_kept(
    acme: Client, fleet: Fleet, planes: Planes, admin: asyncpg.Connection
) -> None:
    await publish(acme, orders())
    await hook(acme, planes.target.url, "RUN_FAILED")
    first = await ended(acme, fleet, FAILED)
    assert (await mutate(acme, "pauseHook", {"name": "ops"}, "... on Hook { paused }"))["paused"]
    await ended(acme, fleet, FAILED)
    await make_due(admin)
    await planes.turn()
    assert planes.target.requests == []
    await mutate(acme, "resumeHook", {"name": "ops"})
    await planes.turn()
    assert [told["data"]["runId"] for told in planes.told()] == [first]


async def test_a_secret_is_rotated_with_an_overlap(acme: Client, fleet: Fleet, planes: Planes) -> None:
    await publish(acme, orders())
    old = await hook(acme, planes.target.url, "RUN_FAILED")
    new = (await mutate(acme, "rotateHookSecret", {"name": "ops"}, "... on IssuedHook { secret }"))["secret"]
    await ended(acme, fleet, FAILED)
    await planes.turn()
    assert [genuine(planes.target.requests[0], secret) for secret in (old, new)] == [True, True]
    given = {"name": "ops", "overlapSeconds": 0}
    newest = (await mutate(acme, "rotateHookSecret", given, "... on IssuedHook { secret }"))["secret"]
    await ended(acme, fleet, FAILED)
    await planes.turn()
    assert [genuine(planes.target.requests[1], s) for s in (old, new, newest)] == [False, False, True]


async def test_what_is_wrong_with_a_hook_is_said_and_old_messages_go(
    acme: Client, fleet: Fleet, planes: Planes, database: str, admin: asyncpg.Connection
) -> None:
    for given, failure in (
        ({"url": "ftp://example.com"}, "INVALID_INPUT"),
        ({"url": "https://u:p@example.com"}, "INVALID_INPUT"),
        ({"events": []}, "INVALID_INPUT"),
        ({"name": "No name"}, "INVALID_INPUT"),
    ):
        wrong = {"name": "ops", "url": "https://example.com", "events": ["RUN_FAILED"], **given}
        assert (await mutate(acme, "createHook", wrong))["code"] == failure, given
    await publish(acme, orders())
    await hook(acme, planes.target.url, "RUN_FAILED")
    taken = {"name": "ops", "url": "https://example.com", "events": ["RUN_FAILED"]}
    refused = await mutate(acme, "createHook", taken)
    assert (refused["code"], refused["message"]) == ("CONFLICT", "a hook of this name is already there")
    # An empty address is given, and is none; what is not given stays.
    assert (await mutate(acme, "updateHook", {"name": "ops", "url": ""}))["problems"][0]["path"] == "url"
    await ended(acme, fleet, FAILED)
    await planes.turn()
    await admin.execute("UPDATE hook_messages SET ended_at = now() - interval '31 days'")
    await ended(acme, fleet, FAILED)
    async with await open_pool(database, WORKER) as pool:
        await expire(pool, Kept(timedelta(days=30), timedelta(days=90)))
    assert [one["status"] for one in await messages(acme)] == ["PENDING"]
    assert (await mutate(acme, "deleteHook", {"name": "ops"}))["__typename"] == "Deleted"
    assert await admin.fetchval("SELECT count(*) FROM hook_messages") == 0


async def test_a_hook_that_is_being_changed_keeps_no_run_from_its_end(
    acme: Client, fleet: Fleet, planes: Planes, admin: asyncpg.Connection, database: str
) -> None:
    """The reporter writes the ends of all tenants' runs in one transaction: it waits for no tenant's hook."""
    await publish(acme, orders())
    await hook(acme, planes.target.url, "RUN_FINISHED")
    run = await started(acme)
    await fleet.claim(run)
    tenant = await admin.fetchval("SELECT tenant_id FROM hooks")
    async with await open_pool(database, API) as api, tenant_transaction(api, tenant) as db:
        assert await find(db, tenant, "ops", lock=True)
        async with asyncio.timeout(30):
            await fleet.apply(run, ("finished", None, {"status": "SUCCESS", "result": {}}))
    assert [message["event"] for message in await messages(acme)] == ["RUN_FINISHED"]
    assert await mutate(acme, "deleteHook", {"name": "ops"}, "__typename")
    assert await admin.fetchval("SELECT count(*) FROM hook_messages") == 0
