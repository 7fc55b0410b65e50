"""The reporter's plans are made once, perhaps of empty tables: none reads a table or an index whole."""

import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest
from headrace.postgres.pool import Db
from headrace.postgres.queries import load
from headrace_reporter.main import open_own_pool

STATEMENTS = [
    "lock_runs",
    "lock_runs_and_relatives",
    "write_progress",
    "end_runs",
    "park_runs",
    "drop_dispatches",
    "close_settled",
    "steps_in_doubt",
    "drop_settled",
    "begin_compensation",
    "mark_compensated",
    "mark_loops_compensated",
    "post_child_ends",
    "wake",
    "use_messages",
    "remind",
    "close_waits",
]
SCANS = {"Index Scan", "Index Only Scan", "Bitmap Index Scan"}


@pytest.fixture
async def db(database: str) -> AsyncIterator[Db]:
    admin = await asyncpg.connect(database)
    await admin.execute("VACUUM ANALYZE")  # so that every table is known to be empty
    await admin.close()
    pool = await open_own_pool(database, max_size=1)
    async with pool.acquire() as connection:
        # What is pruned is not shown, and parameters that are null leave no partition.
        await connection.execute("SET enable_partition_pruning = off")
        yield connection
    await pool.close()


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


@pytest.mark.parametrize("name", STATEMENTS)
async def test_rows_are_found_by_their_keys(db: Db, name: str) -> None:
    statement = getattr(load("headrace_reporter"), name)
    await db.execute(f"PREPARE it AS {statement}")
    nothing = ", ".join(["NULL"] * max(map(int, re.findall(r"\$(\d+)", statement))))
    (plan,) = await db.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE it ({nothing})")
    found = list(nodes(plan["Plan"]))
    assert not [node for node in found if node["Node Type"] == "Seq Scan"]
    scans = [node for node in found if node["Node Type"] in SCANS]
    assert scans or name == "write_progress"
    assert not [node for node in scans if "Index Cond" not in node]
