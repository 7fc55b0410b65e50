"""Past states of runs: asked for at each revision, they are what the reporter had written at that moment."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from headrace.ids import new_id
from headrace.messages import Event
from headrace.postgres.pool import API, open_pool, tenant_transaction
from headrace.postgres.queries import load
from headrace.workflow.graph import Graph
from headrace.workflow.state import EventKind, StepStatus, WaitKind
from hypothesis import HealthCheck, Phase, given, settings

from tests.integration.control_plane_runs.acting import Client, Fleet, orders, publish, started
from tests.integration.control_plane_runs.past_runs import ROW, at, revisions
from tests.unit.workflow_decide.answers import ANSWERS, UNSAFE
from tests.unit.workflow_decide.graphs import graphs, risky
from tests.unit.workflow_decide.world import World

_NOW = "query($id: ID!) { run(id: $id) { status steps { " + ROW + " items { items { " + ROW + " } } } } }"


def histories(count: int) -> Iterator[Sequence[Event]]:
    """Those of random runs, in which nothing begins a run that this database does not know."""
    found: list[Sequence[Event]] = []

    @settings(
        max_examples=8 * count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
    )
    @given(graphs() | risky(), ANSWERS, UNSAFE)
    def live(graph: Graph, answers: list[int], unsafe: frozenset[str]) -> None:
        if len(found) >= count:
            return
        world = World(graph, answers, unsafe)
        world.live()
        once = {(event.epoch, event.seq): event for event in world.partition}
        events = [event for _, event in sorted(once.items())]
        children = any(event.data.get("wait", {}).get("kind") == WaitKind.CHILD for event in events)
        if len(events) > 5 and not children:
            found.append(events)

    live()
    assert len(found) == count
    yield from found


async def test_each_past_state_is_what_the_rows_were(
    acme: Client, fleet: Fleet, admin: asyncpg.Connection
) -> None:
    await publish(acme, orders())
    for events in histories(6):
        run = await started(acme)
        rows = {}
        for event in events:
            behind = await applied(fleet, admin, run, event)
            if event.kind is not EventKind.CLAIMED:
                rows[f"{event.epoch}.{event.seq}"] = behind
        for revision in await revisions(acme, run, first=7):
            state = await at(acme, run, revision=revision["revision"])
            assert state["revision"] == revision
            begun = [row for row in state["steps"]["items"] if row["status"] != "QUEUED" or row["startedAt"]]
            told = {row["key"]: plain(row) for row in begun}
            assert told == rows.get(revision["revision"], {}), revision
        assert (await at(acme, run))["status"] == await status(admin, run)
        shown = await acme(_NOW, id=run)
        now = {row["key"]: plain(row) for step in shown["steps"] for row in [step, *step["items"]["items"]]}
        assert now == rows[list(rows)[-1]]


async def applied(
    fleet: Fleet, admin: asyncpg.Connection, run: str, event: Event
) -> dict[str, dict[str, Any]]:
    """Apply one event of a run by the reporter; the run's rows behind it."""
    claim = "UPDATE runs SET status = CASE WHEN status = 'COMPENSATING' THEN status ELSE 'RUNNING' END, epoch = $2,"
    claim += " claimed_by = $3, claimed_in_call = 1, started_at = now() WHERE id = $1"
    await admin.execute(claim, UUID(run), event.epoch, new_id())
    tenant = await admin.fetchval("SELECT tenant_id FROM runs WHERE id = $1", UUID(run))
    await fleet.applier.apply([replace(event, tenant_id=tenant, run_id=UUID(run), at=datetime.now(UTC))])
    found = await admin.fetch(
        """SELECT key, status, attempts, round, items, error, input, output FROM step_runs
           WHERE run_id = $1""",
        UUID(run),
    )
    return {
        row["key"]: {
            "key": row["key"],
            "status": row["status"],
            "attemptCount": row["attempts"],
            "round": row["round"],
            "itemCount": row["items"],
            **{name: orjson.loads(row[name] or "null") for name in ("error", "input", "output")},
        }
        for row in found
    }


def plain(row: dict[str, Any]) -> dict[str, Any]:
    names = ("key", "status", "attemptCount", "round", "itemCount", "error", "input", "output")
    return {name: row[name] for name in names}


async def status(admin: asyncpg.Connection, run: str) -> str:
    return str(await admin.fetchval("SELECT status FROM runs WHERE id = $1", UUID(run)))


async def test_ten_thousand_events_are_folded(acme: Client, admin: asyncpg.Connection, database: str) -> None:
    await publish(acme, orders())
    run = await started(acme)
    await admin.execute(
        """INSERT INTO events (tenant_id, run_id, epoch, seq, kind, step, at, data)
           SELECT tenant_id, id, 1, n, CASE n % 2 WHEN 1 THEN 'started' ELSE 'completed' END,
                  'fetch[' || (n - 1) / 2 || ']', now(), '{"status": "SUCCESS", "output": [1]}'
           FROM runs, generate_series(1, $2) n WHERE id = $1""",
        UUID(run),
        10_000,
    )
    state = await at(acme, run, revision="1.9999")
    steps = state["steps"]
    assert (len(steps["items"]), steps["pageInfo"]["hasNextPage"]) == (200, True)
    assert [s["key"] for s in steps["items"][:3]] == ["fetch", "fetch[0]", "fetch[1]"]
    assert {s["status"] for s in steps["items"][1:]} == {StepStatus.SUCCESS}
    # A batch is one range of the primary key.
    await admin.execute("ANALYZE events")
    tenant = await admin.fetchval("SELECT tenant_id FROM runs WHERE id = $1", UUID(run))
    async with await open_pool(database, API) as pool, tenant_transaction(pool, tenant) as db:
        explain = f"EXPLAIN (FORMAT JSON) {load('headrace_control.revisions').events}"
        plan = await db.fetchval(explain, tenant, UUID(run), 1, 500, 1, 9000, 100)
    assert "Index Scan" in str(plan)
    assert "_pkey" in str(plan)
    assert "Sort" not in str(plan)
