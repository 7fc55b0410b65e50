"""How long a page takes of a tenant with 1,000,000 runs, 2,000,000 events and 100,000 dead letters.

Wall time over HTTP, with the parsing of the answer: the control plane, Postgres and the client share this machine. Runs
lie in 30 days, so in two months' tables.
"""

import statistics
import time
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.fixtures_edge import Edge, opened_edge

RUNS, LOT, WORKFLOWS, DAYS = 1_000_000, 50_000, 20, 30
ASKED = 15
MOST_MS = 100

FILL = f"""
WITH made AS (
    SELECT n, now() - interval '1 hour' - make_interval(days => {DAYS}) * (1 - n::float8 / {RUNS}) AS at
    FROM generate_series($2::int, $3::int) n
),
run AS (
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3) || '8'
            || substr(md5(n::text), 4, 15))::uuid AS id, at, n,
        CASE WHEN n % 10 = 0 THEN 'FAILED' WHEN n % 100 = 1 THEN 'CANCELED' ELSE 'SUCCESS' END AS status,
        (SELECT v.id FROM workflow_versions v JOIN workflows w ON w.tenant_id = v.tenant_id AND w.id = v.workflow_id
         WHERE v.tenant_id = $1 AND w.name = 'w' || n % {WORKFLOWS}) AS version
    FROM made
),
runs_made AS (
    INSERT INTO runs (id, tenant_id, workflow_id, version_id, status, input, created_at, started_at, finished_at,
                      dispatch_id, epoch, fence_epoch, fence_seq)
    SELECT run.id, $1, v.workflow_id, v.id, run.status, '{{"n": 1}}', at, at, at + interval '50 ms', run.id, 1, 1, 2
    FROM run JOIN workflow_versions v ON v.tenant_id = $1 AND v.id = run.version
    RETURNING id, workflow_id
),
letters AS (
    INSERT INTO dead_letters (id, tenant_id, run_id, source, reason, body, created_at, step, workflow_id, action, code)
    SELECT run.id, $1, run.id, 'step', 'failed', '{{}}', at, 'a', m.workflow_id, 'shop/a' || n % 3, 'HTTP_50' || n % 4
    FROM run JOIN runs_made m ON m.id = run.id WHERE run.status = 'FAILED'
)
INSERT INTO events (tenant_id, run_id, epoch, seq, kind, step, at, data)
SELECT $1, run.id, 1, seq, 'completed', 'a', at, '{{"status": "SUCCESS", "output": {{"n": 2}}}}'
FROM run, generate_series(1, 2) AS seq
"""

RUN_LIST = """query($filter: RunFilter, $after: String) { runs(filter: $filter, first: 50, after: $after) {
  items { id status createdAt finishedAt version { number } } pageInfo { hasNextPage endCursor } } }"""
LETTER_LIST = """query($filter: DeadLetterFilter, $after: String) {
  deadLetters(filter: $filter, first: 50, after: $after) {
  items { id createdAt error { code } workflow } pageInfo { hasNextPage endCursor } } }"""
GROUP = {"source": "STEP", "action": "shop/a0", "code": "HTTP_500"}


@pytest.mark.bench
@pytest.mark.timeout(1800)
async def test_a_page_among_a_million_runs(database: str, tmp_path: Path) -> None:
    owner = await asyncpg.connect(database)
    async with opened_edge(database, tmp_path) as edge:
        tenant = await owner.fetchval("SELECT id FROM tenants WHERE name = 'acme'")
        for n in range(WORKFLOWS):
            document = {"workflow": f"w{n}", "steps": [{"key": "a", "type": "transform", "input": 1}]}
            await edge.admin(
                "mutation($d: JSON!) { publishWorkflow(document: $d) { __typename } }",
                d=document,
            )
        await owner.execute("SELECT headrace_ensure_partitions(3)")
        await owner.execute("SET session_replication_role = replica")
        for first in range(1, RUNS + 1, LOT):
            await owner.execute(FILL, tenant, first, first + LOT - 1)
        await owner.execute("VACUUM ANALYZE")  # as autovacuum would have, by then
        assert await owner.fetchval("SELECT count(*) FROM runs") == RUNS
        middle = await owner.fetchval("SELECT id FROM runs ORDER BY id OFFSET $1 LIMIT 1", RUNS // 2)
        rows = await _asked(edge, str(middle))
    await owner.close()
    print("\npage".ljust(44), "median ms".rjust(10), "worst ms".rjust(10))
    for name, times in rows.items():
        print(name.ljust(43), f"{statistics.median(times):10.1f}", f"{max(times):10.1f}")
    slow = {name for name, times in rows.items() if statistics.median(times) > MOST_MS}
    assert not slow


async def _asked(edge: Edge, middle: str) -> dict[str, list[float]]:
    since = {"createdAfter": "2026-01-01T00:00:00Z"}
    asked: dict[str, tuple[str, dict[str, Any]]] = {
        "(one row: what any question takes)": ("{ tenant { name } }", {}),
        "runs": (RUN_LIST, {}),
        "runs, the next page": (RUN_LIST, {"page": 2}),
        "runs that failed": (RUN_LIST, {"filter": {"status": ["FAILED"]}}),
        "runs under way (there are none)": (RUN_LIST, {"filter": {"status": ["RUNNING", "WAITING"]}}),
        "runs of a workflow": (RUN_LIST, {"filter": {"workflow": "w3"}}),
        "runs of a workflow, canceled": (RUN_LIST, {"filter": {"workflow": "w1", "status": ["CANCELED"]}}),
        "runs of a workflow, canceled (none)": (
            RUN_LIST,
            {"filter": {"workflow": "w3", "status": ["CANCELED"]}},
        ),
        "runs of a version": (RUN_LIST, {"filter": {"workflow": "w3", "version": 1}}),
        "runs of a schedule (none)": (RUN_LIST, {"filter": {"schedule": "nightly"}}),
        "runs since a day, failed": (RUN_LIST, {"filter": {**since, "status": ["FAILED"]}}),
        "dead letters": (LETTER_LIST, {}),
        "dead letters, the next page": (LETTER_LIST, {"page": 2}),
        "dead letters of a workflow": (LETTER_LIST, {"filter": {"workflow": "w0"}}),
        "dead letters of a group": (LETTER_LIST, {"filter": {"group": GROUP}}),
        "groups of dead letters": ("{ deadLetterGroups { group { code action } count } }", {}),
        "events of a run": (
            "query($id: ID!) { run(id: $id) { events(first: 50) { items { kind step at data } } } }",
            {"id": middle},
        ),
        "revisions of a run": (
            "query($id: ID!) { runRevisions(id: $id) { items { at note } } }",
            {"id": middle},
        ),
    }
    rows: dict[str, list[float]] = {}
    for name, (query, variables) in asked.items():
        if variables.pop("page", None):
            (first,) = (await edge.admin(query)).values()
            variables["after"] = first["pageInfo"]["endCursor"]
        await edge.admin(query, **variables)
        rows[name] = []
        for _ in range(ASKED):
            begun = time.perf_counter()
            await edge.admin(query, **variables)
            rows[name].append((time.perf_counter() - begun) * 1000)
    return rows
