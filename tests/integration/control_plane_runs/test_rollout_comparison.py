"""How both versions of a rollout fare, and what is read to tell."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest
from headrace.ids import new_id
from headrace.postgres.pool import API, open_pool, tenant_transaction
from headrace.postgres.queries import load
from headrace.workflow.state import RunStatus

from tests.integration.control_plane_runs.acting import Client, Fleet, orders, publish, started
from tests.integration.control_plane_runs.query_plans import nodes, rows_read
from tests.integration.control_plane_runs.rollouts import CANDIDATE, PUBLISH, STABLE, act, rolled_out

_COMPARISON = """{ rolloutComparison(workflow: "orders") { complete verdict probability
  stable { ...outcome } candidate { ...outcome } } }
fragment outcome on RolloutOutcome { version { number } starts succeeded failed canceled unfinished failureRate
  failureRateLow failureRateHigh secondsP50 secondsP95 errors { code runs } deadLetters }"""


async def test_the_comparison_shows_how_both_fare(acme: Client, fleet: Fleet) -> None:
    await publish(acme, orders())
    await started(acme)  # before the rollout: not counted
    await acme(PUBLISH, d=orders(env={}), r={"percent": 0})
    shown = await acme(_COMPARISON)
    assert (shown["verdict"], shown["probability"], shown["stable"]["starts"]) == ("UNDECIDED", 1, 0)
    error = {"code": "HTTP_502", "message": "m"}
    for version, good, bad in ((STABLE, 9, 1), (CANDIDATE, 1, 9)):
        for n in range(good + bad):
            run = await started(acme, version=version)
            await fleet.claim(run)
            if n < good:
                await fleet.finish(run)
                continue
            failed = {"status": "FAILED", "error": error, "unhandled": True}
            await fleet.apply(
                run, ("completed", "fetch", failed), ("finished", None, {"status": "FAILED", "error": error})
            )
    await started(acme, version=CANDIDATE)
    shown = await acme(_COMPARISON)
    assert (shown["complete"], shown["verdict"]) == (True, "WORSE")
    assert shown["probability"] == pytest.approx(0.00109, abs=0.00001)
    stable, candidate = shown["stable"], shown["candidate"]
    assert (stable["starts"], stable["succeeded"], stable["failed"], stable["unfinished"]) == (10, 9, 1, 0)
    assert (candidate["starts"], candidate["succeeded"], candidate["failed"]) == (11, 1, 9)
    assert candidate["unfinished"] == 1
    assert candidate["errors"] == [{"code": "HTTP_502", "runs": 9}]
    assert (stable["deadLetters"], candidate["deadLetters"]) == (1, 9)
    assert (candidate["failureRate"], stable["secondsP50"] is None) == (0.9, False)
    assert candidate["failureRateLow"] == pytest.approx(0.5958, abs=0.001)
    assert candidate["version"] == {"number": CANDIDATE}
    await act(acme, "rollBack")
    await started(acme)  # after it: not counted either
    assert (await acme(_COMPARISON))["stable"]["starts"] == 10


async def test_the_comparison_reads_no_more_than_its_window(
    acme: Client, database: str, admin: asyncpg.Connection
) -> None:
    await rolled_out(acme, 10)
    workflow = await admin.fetchrow("SELECT tenant_id, id FROM workflows WHERE name = 'orders'")
    tenant, workflow_id = workflow["tenant_id"], workflow["id"]
    found = await admin.fetch("SELECT version, id FROM workflow_versions WHERE workflow_id = $1", workflow_id)
    ids = {row["version"]: row["id"] for row in found}
    at = datetime.now(UTC) + timedelta(seconds=1)
    rows = [
        (
            new_id(at + timedelta(milliseconds=n)),
            tenant,
            workflow_id,
            ids[CANDIDATE if n % 10 == 0 else STABLE],
            "SUCCESS",
            at,
            at,
            new_id(),
        )
        for n in range(20_000)
    ]
    columns = [
        "id",
        "tenant_id",
        "workflow_id",
        "version_id",
        "status",
        "created_at",
        "finished_at",
        "dispatch_id",
    ]
    await admin.copy_records_to_table("runs", records=rows, columns=columns)
    await admin.execute("ANALYZE runs")
    sql, many = load("headrace_control.rollouts"), 500
    window = (tenant, workflow_id, UUID(int=0), UUID(int=2**128 - 1), [*RunStatus], many)
    async with await open_pool(database, API) as pool, tenant_transaction(pool, tenant) as db:
        await db.execute(sql.in_index_order)
        for _ in range(6):  # then Postgres may go over to one plan for all values
            rows = await db.fetch(sql.outcomes, *window)
        assert sorted(row["starts"] for row in rows) == [50, 450, many]
        plan = await db.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql.outcomes}", *window)
    assert rows_read(plan[0]["Plan"]) <= many + 10 * len(RunStatus)
    assert all(node["Node Type"] != "Seq Scan" for node in nodes(plan[0]["Plan"]) if "runs" in str(node))
