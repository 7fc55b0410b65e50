"""Runner pools: who may make them, whose runs go where, and how those that wait get out of one."""

from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from headrace.ids import new_id
from headrace.postgres.pool import open_pool
from headrace_control.tenants.service import bootstrap

from tests.integration.control_plane_runs.acting import FAILURE, Client, Fleet, orders, publish, started
from tests.integration.control_plane_runs.commanding import headrace

_CREATE = f"mutation($name: String!) {{ createRunnerPool(name: $name) {{ __typename {FAILURE} }} }}"
_REMOVE = f"mutation($name: String!) {{ removeRunnerPool(name: $name) {{ __typename {FAILURE} }} }}"
_GRANT = f"""mutation($tenant: String!, $pool: String!, $also: [String!]) {{
  setTenantPools(tenant: $tenant, pool: $pool, also: $also) {{ __typename
    ... on TenantPools {{ pool granted }} {FAILURE} }} }}"""
_BIND = f"""mutation($workflow: String!, $pool: String) {{
  setWorkflowPool(workflow: $workflow, pool: $pool) {{ __typename ... on WorkflowPool {{ pool }} {FAILURE} }} }}"""
_DRAIN = f"""mutation($name: String!, $into: String!, $tenant: String) {{
  drainRunnerPool(name: $name, into: $into, tenant: $tenant) {{ __typename
    ... on DrainedRunnerPool {{ runs }} {FAILURE} }} }}"""
_RUN = "query($id: ID!) { run(id: $id) { status pool } }"
_START = 'mutation { startRun(workflow: "month", input: {}) { ... on Run { id } } }'
_RERUN = f"mutation($run: ID!) {{ rerunRun(run: $run) {{ __typename ... on Run {{ id }} {FAILURE} }} }}"
_DRY = 'mutation { startDryRun(how: {workflow: "orders", input: {order: "7"}}) { __typename } }'
_CANCEL = "mutation($id: ID!) { cancelRun(id: $id) { __typename } }"


@pytest.fixture
async def platform(http: httpx.AsyncClient, database: str) -> Client:
    async with await open_pool(database) as owner:
        client = Client(http, (await bootstrap(owner, "platform", new_key=True)).key.text)
    for name in ("eu", "us"):
        assert (await client(_CREATE, name=name))["__typename"] == "RunnerPool"
    return client


async def placed(admin: asyncpg.Connection, run: str) -> tuple[Any, Any]:
    """The pools of a run and of its dispatch, as they are stored."""
    (row,) = await admin.fetch(
        "SELECT r.pool, d.pool AS sent FROM runs r LEFT JOIN dispatches d ON d.run_id = r.id WHERE r.id = $1",
        UUID(run),
    )
    return row["pool"], row["sent"]


async def test_pools_are_the_platforms(acme: Client, platform: Client) -> None:
    pools = await platform("{ runnerPools { name tenants runners unfinishedRuns } }")
    assert [pool["name"] for pool in pools] == ["default", "eu", "us"]
    assert pools[1] == {"name": "eu", "tenants": 0, "runners": 0, "unfinishedRuns": 0}
    assert (await platform(_CREATE, name="eu"))["__typename"] == "Conflict"
    for wrong in ("", "Eu", "1eu", "e_u", "a" * 41):
        assert (await platform(_CREATE, name=wrong))["problems"][0]["path"] == "name"
    assert (await platform(_REMOVE, name="default"))["__typename"] == "Conflict"
    assert (await platform(_REMOVE, name="nowhere"))["__typename"] == "NotFound"
    assert (await platform(_GRANT, tenant="acme", pool="nowhere", also=["eu", "us2"]))["problems"] == [
        {"path": path, "message": "there is no such pool", "mend": m, "code": "INVALID"}
        for path, m in (
            ("pool", "`runnerPools` lists them; make it first."),
            ("also[1]", "`runnerPools` lists them; make it first."),
        )
    ]
    for query, given in ((_CREATE, {"name": "mine"}), (_GRANT, {"tenant": "acme", "pool": "eu"})):
        assert (await acme(query, **given))["code"] == "FORBIDDEN"


async def test_a_run_goes_to_its_workflows_pool_or_to_its_tenants(
    acme: Client, platform: Client, fleet: Fleet, admin: asyncpg.Connection
) -> None:
    await publish(acme, orders())
    before = await started(acme)
    assert await placed(admin, before) == (None, None)
    assert await platform(_GRANT, tenant="acme", pool="eu", also=["us", "default"]) == {
        "__typename": "TenantPools",
        "pool": "eu",
        "granted": ["default", "eu", "us"],
    }
    assert await acme("{ tenantPools { pool granted } }") == {
        "pool": "eu",
        "granted": ["default", "eu", "us"],
    }
    assert await placed(admin, before) == (None, None), "a run stays where it was started"
    assert await placed(admin, await started(acme)) == ("eu", "eu")
    assert (await acme(_BIND, workflow="orders", pool="us"))["pool"] == "us"
    bound = await started(acme)
    assert await placed(admin, bound) == ("us", "us")
    assert await acme(_RUN, id=bound) == {"status": "QUEUED", "pool": "us"}
    assert await acme('{ workflow(name: "orders") { pool } }') == {"pool": "us"}
    assert (await acme(_BIND, workflow="orders", pool="default"))["pool"] == "default"
    assert await placed(admin, await started(acme)) == (None, None)
    assert (await acme(_BIND, workflow="orders"))["pool"] is None
    assert await placed(admin, await started(acme)) == ("eu", "eu")
    # What is applied keeps the dispatch in the run's pool.
    await fleet.claim(bound)
    await fleet.apply(bound, ("parked", None, {"reason": "HANDED_BACK", "due_at": None}))
    assert (await placed(admin, bound))[1] in ("us", None)
    await acme(_CANCEL, id=bound)
    assert await placed(admin, bound) == ("us", "us")


async def test_children_reruns_and_dry_runs_go_by_their_own_workflow(
    acme: Client, platform: Client, fleet: Fleet, admin: asyncpg.Connection
) -> None:
    made = await publish(acme, orders())
    month = {"key": "run", "type": "workflow", "workflow": "orders", "input": {"order": "7"}}
    await publish(acme, {"workflow": "month", "steps": [month]})
    await platform(_GRANT, tenant="acme", pool="eu", also=["us"])
    await acme(_BIND, workflow="orders", pool="us")
    parent = (await acme(_START))["id"]
    await fleet.claim(parent)
    child, version = str(new_id()), made["version"]["id"]
    wait = {"kind": "CHILD", "runId": child, "versionId": version, "input": {"order": "7"}}
    await fleet.apply(parent, ("waiting", "run", {"wait": wait}))
    assert await placed(admin, parent) == ("eu", "eu")
    assert await placed(admin, child) == ("us", "us")
    # What wakes the parent keeps it where it is.
    await fleet.claim(child)
    await fleet.apply(parent, ("parked", None, {"reason": "CHILD", "due_at": None}))
    error = {"code": "HTTP_500", "message": "it says no"}
    failed = ("finished", None, {"status": "FAILED", "error": error})
    await fleet.apply(child, failed)
    assert await placed(admin, parent) == ("eu", "eu")
    origin = await started(acme)
    await fleet.claim(origin)
    await fleet.apply(origin, failed)
    await acme(_BIND, workflow="orders", pool="eu")
    again = await acme(_RERUN, run=origin)
    assert again["__typename"] == "Run", again
    assert await placed(admin, origin) == ("us", None)
    assert await placed(admin, again["id"]) == ("eu", "eu")
    await acme(_BIND, workflow="orders", pool="us")
    await acme(_DRY)
    assert await admin.fetchval("SELECT pool FROM dry_runs") == "us"


async def test_a_workflow_is_bound_to_what_is_granted_alone(
    acme: Client, platform: Client, admin: asyncpg.Connection
) -> None:
    await publish(acme, orders())
    for pool in ("us", "nowhere", "default"):
        (problem,) = (await acme(_BIND, workflow="orders", pool=pool))["problems"]
        assert (problem["path"], problem["code"]) == ("pool", "POOL_NOT_GRANTED")
    assert (await acme(_BIND, workflow="nothing"))["code"] == "NOT_FOUND"
    await platform(_GRANT, tenant="acme", pool="default", also=["us"])
    await acme(_BIND, workflow="orders", pool="us")
    refused = await platform(_GRANT, tenant="acme", pool="eu")
    assert (refused["code"], "orders is bound to the pool us" in refused["message"]) == ("CONFLICT", True)
    # Not by way of the tables either, whatever a service believes.
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await admin.execute("UPDATE workflows SET pool = 'eu' WHERE name = 'orders'")


async def test_a_pool_in_use_is_not_removed(acme: Client, platform: Client) -> None:
    await publish(acme, orders())
    await platform(_GRANT, tenant="acme", pool="eu")
    run = await started(acme)
    refused = await platform(_REMOVE, name="eu")
    assert (refused["code"], "granted to acme" in refused["message"]) == ("CONFLICT", True)
    assert (await platform(_GRANT, tenant="acme", pool="default"))["granted"] == []
    refused = await platform(_REMOVE, name="eu")
    assert (refused["code"], "1 run" in refused["message"]) == ("CONFLICT", True), refused
    assert (await platform(_DRAIN, name="eu", into="us"))["runs"] == 1
    assert (await platform(_REMOVE, name="eu"))["__typename"] == "RemovedRunnerPool"
    assert (await acme(_RUN, id=run))["pool"] == "us"


async def test_what_waits_in_a_pool_is_moved_to_another(
    acme: Client, platform: Client, fleet: Fleet, admin: asyncpg.Connection
) -> None:
    await publish(acme, orders())
    await platform(_GRANT, tenant="acme", pool="eu")
    waits, sent, held, ended = [await started(acme) for _ in range(4)]
    await admin.execute(
        "UPDATE dispatches SET sent_at = now() WHERE run_id = ANY($1::uuid[])",
        [UUID(run) for run in (sent, held, ended)],
    )
    await fleet.claim(held)
    await admin.execute("DELETE FROM dispatches WHERE run_id = $1", UUID(ended))
    await admin.execute("UPDATE runs SET status = 'CANCELED', finished_at = now() WHERE id = $1", UUID(ended))
    assert (await platform(_DRAIN, name="eu", into="default", tenant="platform"))["runs"] == 0
    assert (await platform(_DRAIN, name="eu", into="nowhere"))["problems"][0]["path"] == "into"
    assert (await platform(_DRAIN, name="default", into="eu"))["problems"][0]["path"] == "name"
    # A mistyped name is not told that nothing is left in it.
    assert (await platform(_DRAIN, name="eus", into="us"))["__typename"] == "NotFound"
    assert (await platform(_DRAIN, name="eu", into="us", tenant="acme"))["runs"] == 3
    assert [await placed(admin, run) for run in (waits, sent, held)] == [("us", "us")] * 3
    assert await placed(admin, ended) == ("eu", None)
    unsent = await admin.fetch("SELECT run_id FROM dispatches WHERE sent_at IS NULL ORDER BY run_id")
    # Its job stood where nobody takes it any more; that of the held one is its holder's, or the sweeper's.
    assert [str(row["run_id"]) for row in unsent] == sorted([waits, sent])
    assert (await platform(_DRAIN, name="eu", into="us"))["runs"] == 0


async def test_pools_by_command(acme: Client, platform: Client) -> None:
    await publish(acme, orders())
    assert await headrace(platform, "pools", "create", "far") == {"name": "far"}
    wrong = await headrace(platform, "pools", "tenant", "acme", "default", "--also", "nowhere", code=2)
    assert wrong["error"]["problems"][0]["path"] == "also[0]"
    granted = {"pool": "default", "granted": ["far"]}
    assert await headrace(platform, "pools", "tenant", "acme", "default", "--also", "far") == granted
    assert await headrace(acme, "pools", "own") == granted
    for words in (("orders",), ("orders", "far", "--own")):
        refused = await headrace(acme, "pools", "workflow", *words, code=2)
        assert refused["error"]["problems"][0]["path"] == "POOL"
    assert await headrace(acme, "pools", "workflow", "orders", "far") == {"workflow": "orders", "pool": "far"}
    await started(acme)
    listed = {pool["name"]: pool for pool in await headrace(platform, "pools", "list")}
    assert (listed["far"]["tenants"], listed["far"]["runners"], listed["far"]["unfinishedRuns"]) == (1, 0, 1)
    assert listed["default"]["unfinishedRuns"] is None
    assert await headrace(acme, "pools", "workflow", "orders", "--own") == {
        "workflow": "orders",
        "pool": None,
    }
    await headrace(platform, "pools", "tenant", "acme", "default")
    assert (await headrace(platform, "pools", "remove", "far", code=2))["error"]["code"] == "CONFLICT"
    assert (await headrace(platform, "pools", "drain", "far", "--into", "default"))["runs"] == 1
    assert await headrace(platform, "pools", "remove", "far") == {"name": "far"}
