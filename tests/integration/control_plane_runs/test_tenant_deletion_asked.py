"""A tenant's deletion is asked for and taken back; in between nothing starts in it, and it can be read."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from headrace.postgres.pool import API, WORKER, open_pool, tenant_transaction

from tests.integration.control_plane_runs.acting import Client, Fleet, orders, publish, started
from tests.integration.control_plane_runs.audit_examples import mutate
from tests.integration.control_plane_runs.commanding import headrace
from tests.integration.control_plane_runs.ending_tenants import ask, id_of, in_each_state, passes, rows_of
from tests.integration.control_plane_runs.planes import two_planes
from tests.integration.control_plane_runs.webhooks import made

_OWN = "query { tenantDeletion { tenant dueAt cancelAt begunAt doneAt } }"
_START = """mutation { startRun(workflow: "orders", input: {order: "1"}) { __typename
  ... on Run { id } ... on Failure { code message } ... on TenantEnding { dueAt } } }"""
_START_MANY = """mutation { startRuns(items: [{workflow: "orders", input: {order: "1"}}]) {
  ... on StartedRuns { items { __typename } } } }"""
_RERUN = """mutation($id: ID!) { rerunRun(run: $id, how: {whole: true}) { __typename } }"""


async def test_it_is_asked_for_by_the_platform_which_says_the_name_twice(
    acme: Client, platform: Client, admin: asyncpg.Connection
) -> None:
    given = {"tenant": "acme", "confirm": "acme"}
    assert (await mutate(acme, "deleteTenant", given))["code"] == "FORBIDDEN"
    for wrong, path in (
        ({"confirm": "acne"}, "confirm"),
        ({"graceDays": 0}, "graceDays"),
        ({"graceDays": 366}, "graceDays"),
    ):
        refused = await mutate(platform, "deleteTenant", {**given, **wrong})
        assert [problem["path"] for problem in refused["problems"]] == [path]
    nobody = await mutate(platform, "deleteTenant", {"tenant": "nobody", "confirm": "nobody"})
    assert nobody["code"] == "NOT_FOUND"
    own = await mutate(platform, "deleteTenant", {"tenant": "platform", "confirm": "platform"})
    assert own["code"] == "CONFLICT"
    assert await acme(_OWN) is None
    asked = await ask(platform)
    due, cancel = datetime.fromisoformat(asked["dueAt"]), datetime.fromisoformat(asked["cancelAt"])
    assert due - datetime.fromisoformat(asked["askedAt"]) == timedelta(days=30)
    assert due - cancel == timedelta(hours=12)
    # Its own people see it, and a second time changes nothing.
    shown = {
        "tenant": "acme",
        "dueAt": asked["dueAt"],
        "cancelAt": asked["cancelAt"],
        "begunAt": None,
        "doneAt": None,
    }
    assert await acme(_OWN) == shown
    assert (await mutate(platform, "deleteTenant", {**given, "graceDays": 1}))["code"] == "CONFLICT"
    assert await acme(_OWN) == shown
    told = await admin.fetch(
        "SELECT tenant_id FROM audit_inbox WHERE action = 'tenant.delete' AND outcome = 'DONE'"
    )
    assert {row["tenant_id"] for row in told} == {await id_of(admin, "acme"), await id_of(admin, "platform")}


async def test_nothing_starts_until_it_is_taken_back(
    acme: Client,
    stranger: Client,
    platform: Client,
    fleet: Fleet,
    admin: asyncpg.Connection,
    http: httpx.AsyncClient,
    database: str,
    master_key: bytes,
) -> None:
    for client in (acme, stranger):
        await publish(client, orders())
    ended = await started(acme)
    await fleet.claim(ended)
    await fleet.finish(ended)
    sender = await made(acme, http)
    tenant_id = await id_of(admin, "acme")
    async with two_planes(database, admin, master_key) as planes:
        await planes.at("2030-01-01T00:30Z")
        await planes.schedule()
        asked = await ask(platform)
        before = await rows_of(admin, tenant_id)
        refused = await acme(_START)
        assert (refused["__typename"], refused["code"]) == ("TenantEnding", "TENANT_ENDING")
        assert refused["dueAt"] == asked["dueAt"]
        assert [item["__typename"] for item in (await acme(_START_MANY))["items"]] == ["TenantEnding"]
        assert (await acme(_RERUN, id=ended))["__typename"] == "TenantEnding"
        answer = await sender.send({"order": "17"}, "msg_1")
        assert answer.status_code == 503
        assert "TENANT_ENDING" in answer.text
        await planes.fire_at("2030-01-01T01:00:01Z")
        assert await planes.outcomes() == [("01 01:00", "FAILED")]
        assert (await rows_of(admin, tenant_id))["runs"] == before["runs"]
        # It is read as before, and the neighbour starts.
        assert (await acme("query { runs { items { id } } }"))["items"] == [{"id": ended}]
        await started(stranger)
        assert (await mutate(platform, "keepTenant", {"tenant": "acme"}))["__typename"] == "TenantDeletion"
        assert await acme(_OWN) is None
        assert (await acme(_START))["__typename"] == "Run"
        assert (await sender.send({"order": "17"}, "msg_1")).status_code == 202
        await planes.fire_at("2030-01-01T02:00:01Z")
        assert await planes.outcomes() == [("01 01:00", "FAILED"), ("01 02:00", "STARTED")]
    assert (await mutate(platform, "keepTenant", {"tenant": "acme"}))["code"] == "CONFLICT"


async def test_it_is_not_taken_back_when_the_time_is_over(
    platform: Client, admin: asyncpg.Connection
) -> None:
    await ask(platform)
    await passes(admin, await id_of(admin, "acme"), 30)
    assert (await mutate(platform, "keepTenant", {"tenant": "acme"}))["code"] == "CONFLICT"


async def test_the_way_past_what_is_immutable_is_open_for_nobody_else(
    acme: Client, platform: Client, admin: asyncpg.Connection, database: str
) -> None:
    tenant_id, living = await id_of(admin, "acme"), await id_of(admin, "stranger")
    await in_each_state(acme, admin)
    await ask(platform)
    before = await rows_of(admin, tenant_id)
    end, ended = "SELECT headrace_end_tenant($1, 1000)", "SELECT headrace_tenant_ended($1, 0)"
    async with await open_pool(database, WORKER) as worker:
        # Of one that lives, of one whose time is not over, of one that is not there.
        for one in (living, tenant_id, UUID(int=1)):
            assert await worker.fetchval(end, one) is None
            assert await worker.fetchval(ended, one) is None
        for statement in (
            "UPDATE tenant_deletions SET due_at = asked_at + interval '1 day'",
            "DELETE FROM tenant_deletions",
            "DELETE FROM tenants",
            "DELETE FROM audit_log",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await worker.execute(statement)
    assert await rows_of(admin, tenant_id) == before

    async with await open_pool(database, API) as api:
        await passes(admin, tenant_id, 30)
        for function in (end, ended):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await api.fetchval(function, tenant_id)

        async def as_living(statement: str, *given: Any) -> Any:
            async with tenant_transaction(api, living) as db:
                return await db.fetch(statement, *given)

        write = (
            "INSERT INTO tenant_deletions (tenant_id, asked_by, asked_in, cancel_at, due_at)"
            " VALUES ($1, $1, $1, $2, $2)"
        )
        now = await admin.fetchval("SELECT now()")
        with pytest.raises(asyncpg.CheckViolationError):  # due in a day at the soonest
            await as_living(write, living, now)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):  # and not asked for in the past
            await as_living(
                write.replace("asked_by,", "asked_at,").replace("$1, $1, $1", "$1, $2, $1"), living, now
            )
        with pytest.raises(asyncpg.InsufficientPrivilegeError):  # in no other tenant's name
            await as_living(write, UUID(int=1), now + timedelta(days=2))
        await as_living(write, living, now + timedelta(days=2))
        for change in ("UPDATE tenant_deletions SET begun_at = now()", "DELETE FROM tenant_deletions"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await as_living(change)
    # Not even the owner takes what is immutable from one whose deletion has not begun.
    await admin.execute(
        """INSERT INTO audit_log (tenant_id, seq, id, at, actor_kind, actor_id, actor_name, action, target, outcome,
           detail, correlation_id, previous, hash)
           VALUES ($1, 1, $1, now(), 'SERVICE', $1, 'n', 'a', 't', 'DONE', '{}', '', sha256(''), sha256('x'))""",
        living,
    )
    for table, whose in (("audit_log", living), ("workflow_versions", tenant_id)):
        with pytest.raises(asyncpg.RaiseError, match="immutable"):
            await admin.execute(f"DELETE FROM {table} WHERE tenant_id = $1", whose)


async def test_by_command(platform: Client) -> None:
    asked = await headrace(platform, "tenants", "delete", "acme", "--confirm", "acme", "--grace-days", "3")
    due, cancel = (datetime.fromisoformat(asked[name]) for name in ("dueAt", "cancelAt"))
    assert due - cancel == timedelta(hours=12)
    again = await headrace(platform, "tenants", "delete", "acme", "--confirm", "acme", code=2)
    assert again["error"]["code"] == "CONFLICT"
    assert (await headrace(platform, "tenants", "keep", "acme"))["tenant"] == "acme"
    wrong = await headrace(platform, "tenants", "delete", "acme", "--confirm", "acne", code=2)
    assert wrong["error"]["code"] == "INVALID_INPUT"
    asked = await headrace(platform, "tenants", "delete", "acme", "--confirm", "acme", "--cancel-runs")
    assert asked["cancelAt"] == asked["askedAt"]
