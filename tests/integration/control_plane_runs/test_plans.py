"""Lists of runs read what they show, however many runs there are and however rare what is asked for."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest
from headrace.ids import new_id
from headrace.postgres.pool import API, open_pool, tenant_transaction
from headrace.postgres.queries import load
from headrace.workflow.state import RunStatus
from headrace_control.waits.repository import APPROVALS

from tests.integration.control_plane_runs.query_plans import rows_read

_sql = load("headrace_control.runs")

LIMIT = 51
RUNS = 20_000


@pytest.fixture
async def tenant(admin: asyncpg.Connection) -> UUID:
    """One of two tenants with the same workflow; it has been quiet for long, and rarely failed."""
    quiet: UUID
    quiet, busy = (row["id"] for row in await admin.fetch("SELECT id FROM tenants ORDER BY name LIMIT 2"))
    begin, rows = datetime.now(UTC) - timedelta(minutes=RUNS), []
    versions: dict[UUID, tuple[UUID, UUID]] = {}
    for tenant in (quiet, busy):
        workflow, version = versions[tenant] = new_id(), new_id()
        await admin.execute(
            "INSERT INTO workflows (tenant_id, id, name) VALUES ($1, $2, 'w')", tenant, workflow
        )
        await admin.execute(
            """INSERT INTO workflow_versions (tenant_id, id, workflow_id, version, status, document, resolved,
               digest, published_at) VALUES ($1, $2, $3, 1, 'PUBLISHED', '{}', '{}', 'd', now())""",
            tenant,
            version,
            workflow,
        )
    for n in range(RUNS):
        tenant = quiet if n < RUNS / 2 else busy
        status, at = "SUCCESS" if n % 1000 else "FAILED", begin + timedelta(minutes=n)
        rows.append((new_id(at), tenant, *versions[tenant], status, at, at, new_id()))
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
    await admin.execute("ANALYZE")
    return quiet


async def test_a_list_reads_what_it_shows(database: str, tenant: UUID) -> None:
    window = (tenant, UUID(int=0), UUID(int=2**128 - 1), LIMIT)
    async with await open_pool(database, API) as pool, tenant_transaction(pool, tenant) as db:
        await db.execute(_sql.in_index_order)
        for statement, more in (
            (_sql.newest, ()),
            (_sql.newest_of_workflow, (["w"],)),
            (_sql.newest_of_version, (["w"], 1)),
        ):
            for statuses, many in (([*RunStatus], LIMIT), (["FAILED", "QUEUED"], 10), (["SUCCESS"], LIMIT)):
                for _ in range(6):  # then Postgres may go over to one plan for all values
                    found = await db.fetch(statement, *window, statuses, *more)
                assert len(found) == many
                explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"
                plan = await db.fetchval(explain, *window, statuses, *more)
                # A partition is opened by reading its first row.
                assert rows_read(plan[0]["Plan"]) <= len(statuses) * (LIMIT + 5)


async def test_a_rare_version_s_runs_are_not_looked_for_among_the_others(
    database: str, tenant: UUID, admin: asyncpg.Connection
) -> None:
    version = await admin.fetchval(
        """INSERT INTO workflow_versions (tenant_id, id, workflow_id, version, status, document, resolved, digest,
               published_at)
           SELECT tenant_id, $2, id, 2, 'PUBLISHED', '{}', '{}', 'd2', now() FROM workflows WHERE tenant_id = $1
           RETURNING id""",
        tenant,
        new_id(),
    )
    await admin.execute(
        "UPDATE runs SET version_id = $2 WHERE tenant_id = $1 AND status = 'FAILED'", tenant, version
    )
    await admin.execute("ANALYZE runs")
    window = (tenant, UUID(int=0), UUID(int=2**128 - 1), LIMIT)
    async with await open_pool(database, API) as pool, tenant_transaction(pool, tenant) as db:
        await db.execute(_sql.in_index_order)
        for number, statuses, many in (
            (2, [*RunStatus], 10),
            (2, ["SUCCESS"], 0),
            (1, ["FAILED"], 0),
            (1, [*RunStatus], LIMIT),
        ):
            wanted = (*window, statuses, ["w"], number)
            for _ in range(6):  # then Postgres may go over to one plan for all values
                found = await db.fetch(_sql.newest_of_version, *wanted)
            assert len(found) == many
            plan = await db.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {_sql.newest_of_version}", *wanted)
            assert rows_read(plan[0]["Plan"]) <= many + 10


async def test_a_rare_schedule_s_runs_are_not_looked_for_among_the_others(
    database: str, tenant: UUID, admin: asyncpg.Connection
) -> None:
    """Behind row-level security, which lets no index on what stands in JSON be used."""
    triggered = "UPDATE runs SET triggered_by = $1 WHERE status = $2 AND tenant_id = $3"
    await admin.execute(triggered, "SCHEDULE:often", "SUCCESS", tenant)
    await admin.execute(triggered, "SCHEDULE:rarely", "FAILED", tenant)
    await admin.execute("ANALYZE runs")
    window = (tenant, UUID(int=0), UUID(int=2**128 - 1), LIMIT)
    async with await open_pool(database, API) as pool, tenant_transaction(pool, tenant) as db:
        await db.execute(_sql.in_index_order)
        for name, statuses, many in (
            ("rarely", [*RunStatus], 10),
            ("rarely", ["SUCCESS"], 0),
            ("often", ["FAILED"], 0),
            ("often", [*RunStatus], LIMIT),
            ("never", [*RunStatus], 0),
        ):
            wanted = (*window, statuses, f"SCHEDULE:{name}")
            for _ in range(6):  # then Postgres may go over to one plan for all values
                found = await db.fetch(_sql.newest_triggered, *wanted)
            assert len(found) == many
            plan = await db.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {_sql.newest_triggered}", *wanted)
            assert rows_read(plan[0]["Plan"]) <= many + 10


async def test_approvals_are_read_newest_first_one_status_at_a_time(
    database: str, tenant: UUID, admin: asyncpg.Connection
) -> None:
    await admin.execute(
        """INSERT INTO waits (tenant_id, run_id, step, kind, data, status, opened_at)
           SELECT tenant_id, id, 'ok', CASE WHEN n % 10 = 0 THEN 'SIGNAL' ELSE 'APPROVAL' END, '{}',
                  CASE WHEN n % 500 = 1 THEN 'OPEN' ELSE 'CLOSED' END, now() - random() * interval '30 days'
           FROM (SELECT tenant_id, id, row_number() OVER (ORDER BY id) AS n FROM runs) numbered"""
    )
    await admin.execute("ANALYZE waits")
    place = (None, UUID(int=2**128 - 1), "\U0010ffff")
    async with await open_pool(database, API) as pool, tenant_transaction(pool, tenant) as db:
        for status, many in (("CLOSED", LIMIT), ("OPEN", 20), ("DECIDED", 0)):
            wanted = (tenant, LIMIT - 1, 10**6, status, *place)  # and one more
            for _ in range(6):  # then Postgres may go over to one plan for all values
                rows = await db.fetch(APPROVALS, *wanted)
            found = [row for row in rows if row["run_id"] is not None]
            opened = [row["opened_at"] for row in found]
            assert (len(found), opened) == (many, sorted(opened, reverse=True))
            plan = await db.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {APPROVALS}", *wanted)
            assert rows_read(plan[0]["Plan"], "waits_") <= LIMIT + 5
