"""What is due is found without reading what is not, however many schedules there are."""

from uuid import UUID

import asyncpg
import pytest
from headrace.ids import new_id
from headrace.postgres.pool import WORKER, open_pool, transaction
from headrace.postgres.queries import load
from headrace_control.schedules.deciding import LATE
from headrace_control.schedules.loop import BATCH, BY_INDEX, QUEUED_LOOKS

from tests.integration.control_plane_runs.query_plans import nodes, rows_read

_sql = load("headrace_control.schedules")
SCHEDULES, DUE, QUEUED = 10_000, 30, 20


async def fill(admin: asyncpg.Connection, schedules: int, due: int, queued: int) -> None:
    """Schedules of two tenants by turns. The first so many are due, the next so many wait for a run of theirs."""
    workflows: dict[UUID, UUID] = {}
    for row in await admin.fetch("SELECT id FROM tenants ORDER BY name LIMIT 2"):
        workflows[row["id"]] = new_id()
        await admin.execute(
            "INSERT INTO workflows (tenant_id, id, name) VALUES ($1, $2, 'w')",
            row["id"],
            workflows[row["id"]],
        )
    await admin.execute(
        """INSERT INTO schedules (tenant_id, id, name, workflow_id, cron, time_zone, input, missed, missed_limit,
                                  overlap, acts_for, next_at, queued_at)
           SELECT ($1::uuid[])[n % 2 + 1], gen_random_uuid(), 's' || n, ($2::uuid[])[n % 2 + 1], '@daily', 'UTC', '{}',
                  'SKIP', 1, 'QUEUE_ONE', gen_random_uuid(),
                  now() + CASE WHEN n < $4 THEN interval '-1 second' ELSE n * interval '1 second' END,
                  CASE WHEN n BETWEEN $4 AND $4 + $5 - 1 THEN now() END
           FROM generate_series(0, $3 - 1) n""",
        list(workflows),
        list(workflows.values()),
        schedules,
        due,
        queued,
    )


@pytest.mark.parametrize("counted", ["when it was empty", "as it is"])
async def test_what_is_due_is_read_alone(database: str, admin: asyncpg.Connection, counted: str) -> None:
    await admin.execute("VACUUM ANALYZE schedules")
    given = {"due": (BATCH, [new_id()], [], LATE), "seconds_to_next": (QUEUED_LOOKS, [new_id()], [])}
    async with await open_pool(database, WORKER, max_size=1) as pool:
        for name, values in given.items():
            async with transaction(pool, BY_INDEX) as db:
                # Prepared, and planned for any values, before there is anything.
                for _ in range(6):
                    await db.fetch(getattr(_sql, name), *values)
        await fill(admin, SCHEDULES, DUE, QUEUED)
        if counted == "as it is":
            await admin.execute("ANALYZE schedules")
        for name, values in given.items():
            async with transaction(pool, BY_INDEX) as db:
                for _ in range(6):
                    found = await db.fetch(getattr(_sql, name), *values)
                (plan,) = await db.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {getattr(_sql, name)}", *values)
            assert name != "due" or len(found) == DUE + QUEUED
            read = rows_read(plan["Plan"], "schedules")
            assert read <= 2 * (DUE + QUEUED) + 5, (name, [one["Node Type"] for one in nodes(plan["Plan"])])
            ordered = [one for one in nodes(plan["Plan"]) if one["Node Type"] == "Sort"]
            assert all(one["Actual Rows"] <= DUE + QUEUED for one in ordered)
