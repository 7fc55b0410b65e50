"""A tenant goes while it works, the control plane dies in the middle of it, and its neighbour's runs go on."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from designer import Designer
from fleet import Backends, Fleet, heartbeat_heard
from headrace.logstore.open import open_log_store
from headrace.logstore.port import LogQuery
from leftovers import holding
from target import Target

# A runner renews its lease, and hears what it lost, each 0.6 s.
_SETTINGS = {"HEADRACE_PARTITIONS": "2", "HEADRACE_LEASE_SECONDS": "2"}
LEAVING, STAYING = "leaving", "staying"
_CREATE = """mutation ($name: String!) { createTenant(name: $name) {
    ok: __typename ... on NewTenant { issued { key } tenant { id } } ...Failed } }"""
_DELETE = """mutation { deleteTenant(tenant: "leaving", confirm: "leaving") { ok: __typename ...Failed } }"""
_LOGGED = "query { logs(first: 100) { items { runId } } }"
# As if it had been asked for 30 days earlier.
_OVER = """UPDATE tenant_deletions SET asked_at = asked_at - interval '30 days',
    cancel_at = cancel_at - interval '30 days', due_at = due_at - interval '30 days'"""
_AT_IT = """SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%headrace_end_tenant%'"""
_LEFT = """SELECT (SELECT count(*) FROM data_keys WHERE tenant_id = $1),
    (SELECT count(*) FROM runs WHERE tenant_id = $1), (SELECT count(*) FROM workflows WHERE tenant_id = $1)"""
# What stays: the note that there was such a tenant, and what the platform's audit says of its admins' acts.
_STAYS = {"tenant_deletions", "audit_inbox", "audit_log"}


@pytest.fixture
async def fleet(backends: Backends, tmp_path: Path) -> AsyncIterator[Fleet]:
    async with Fleet(backends, tmp_path, _SETTINGS) as fleet:
        yield fleet


async def test_a_tenant_goes_while_it_works_and_its_neighbour_goes_on(fleet: Fleet, target: Target) -> None:
    await fleet.start_all()
    platform = Designer(fleet)
    tenants = {name: await platform.mutate(_CREATE, name=name) for name in (LEAVING, STAYING)}
    leaving, staying = (Designer(fleet, tenants[name]["issued"]["key"]) for name in (LEAVING, STAYING))
    target.hold("/held")
    runs = {
        LEAVING: await working(leaving, LEAVING, target),
        STAYING: await working(staying, STAYING, target),
    }
    await target.called("/held", 2)
    db = await asyncpg.connect(fleet.backends.database_url)
    try:
        await until(db, "SELECT count(*) = 2 FROM runs WHERE status = 'WAITING' AND claimed_by IS NULL")
        async with asyncio.timeout(30):
            while {item["runId"] for item in await logged(leaving)} < {runs[LEAVING][0]}:
                await asyncio.sleep(0.1)  # asked from outside: nothing tells
        neighbours = await logged(staying)
        words = [tenants[LEAVING]["tenant"]["id"], *runs[LEAVING], "leaving"]
        assert {"runs", "events", "connections", "data_keys"} <= await holding(db, words)

        await platform.mutate(_DELETE)
        await fleet.services[0].kill()
        await db.execute(_OVER)
        gone = tenants[LEAVING]["tenant"]["id"]
        await killed_in_the_middle(fleet, db, gone)
        assert tuple(await db.fetchrow(_LEFT, gone)) == (0, 0, 3)
        await fleet.control_plane()
        await until(db, "SELECT count(*) = 1 FROM tenant_deletions WHERE done_at IS NOT NULL")

        # The runner that still holds one of its runs has heard of it, and goes no further than the call it is in.
        await heartbeat_heard(fleet.backends.database_url)
        target.release("/held")
        _, held, asked = runs[STAYING]
        assert (await staying.ended(held))["status"] == "SUCCESS"
        await staying.decide(asked, "asked", "APPROVE")
        assert (await staying.ended(asked))["status"] == "SUCCESS"
        for run_id in runs[STAYING]:
            await staying.verified(run_id)
        assert {call.headers["x-api-key"] for call in target.of("/after")} == {f"{STAYING}-key"}
        # What was written down behind it goes when a control plane looks again, which it does at its start.
        await fleet.services[-1].kill()
        await fleet.control_plane()
        async with asyncio.timeout(30):
            while not (await holding(db, words) <= _STAYS and await unlogged(fleet, gone)):
                await asyncio.sleep(0.1)  # asked from outside: nothing tells
        assert await db.fetchval("SELECT count(*) FROM dead_letters") == 0
        assert {tuple(item.items()) for item in neighbours} <= {
            tuple(item.items()) for item in await logged(staying)
        }
    finally:
        await db.close()


async def working(designer: Designer, name: str, target: Target) -> list[str]:
    """A run that has ended, one that is in a call, and one that waits for a person."""
    await designer.app("shop", target.url, {"kind": "API_KEY", "in": "header", "name": "x-api-key"})
    await designer.connection("shop", "shop-main", {"apiKey": f"{name}-key"})
    for path in ("before", "held", "after"):
        await designer.action("shop", path, "POST", f"/{path}", idempotency={"mode": "KEY"})
    asks = {"key": "asked", "type": "approval", "approval": {"title": f"{name}: go on?"}}
    for workflow, steps in (
        ("quick", [call("before")]),
        ("held", [call("before"), call("held"), call("after")]),
        ("asks", [call("before"), asks, call("after")]),
    ):
        await designer.publish({"workflow": workflow, "steps": steps})
    quick = await designer.start("quick")
    await designer.ended(quick)
    return [quick, await designer.start("held"), await designer.start("asks")]


def call(path: str) -> dict[str, Any]:
    return {"key": path, "action": f"shop/{path}", "connection": "shop-main"}


async def logged(designer: Designer) -> list[Any]:
    return list((await designer.do(_LOGGED))["logs"]["items"])


async def unlogged(fleet: Fleet, tenant_id: str) -> bool:
    """Whether the log store has nothing of a tenant."""
    store = await open_log_store(fleet.backends.log_store_url, retention=timedelta(days=1))
    try:
        return not (await store.search(LogQuery(UUID(tenant_id)))).records
    finally:
        await store.close()


async def killed_in_the_middle(fleet: Fleet, db: asyncpg.Connection, tenant_id: str) -> None:
    """A control plane that begins, deletes the runs, and dies where it waits for somebody who holds the workflows."""
    holder = await asyncpg.connect(fleet.backends.database_url)
    try:
        async with holder.transaction():
            await holder.execute("SELECT FROM workflows WHERE tenant_id = $1 FOR UPDATE", tenant_id)
            control_plane = await fleet.control_plane()
            # It may wait for a run, too, which the reporter has: only behind the runs it is the workflows.
            await until(db, f"SELECT count(*) = 0 FROM runs WHERE tenant_id = '{tenant_id}'")
            await until(db, f"SELECT ({_AT_IT} AND wait_event_type = 'Lock') = 1")
            await control_plane.kill()
    finally:
        await holder.close()
    await until(db, f"SELECT ({_AT_IT}) = 0")


async def until(db: asyncpg.Connection, question: str) -> None:
    async with asyncio.timeout(60):
        while not await db.fetchval(question):
            await asyncio.sleep(0.05)  # asked from outside: nothing tells
