"""What waits for a person is told to operators, over all tenants, and cheaply."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import orjson
import pytest
from headrace.ids import new_id
from headrace.postgres.pool import transaction
from headrace.postgres.queries import load
from headrace_control.dead_letters import nobodys_repository
from headrace_control.dead_letters.gauges import IN_INDEX_ORDER, MOST_COUNTED, WaitingForPeople
from prometheus_client import CollectorRegistry

from tests.integration.applying import World, applying
from tests.integration.control_plane_runs.query_plans import nodes

_sql = load("headrace_control.dead_letters")


@pytest.fixture
async def world(database: str) -> AsyncIterator[World]:
    async with applying(database) as world:
        yield world


async def shown(world: World) -> dict[str, float]:
    """What is above 0, by metric and label."""
    registry = CollectorRegistry()
    await WaitingForPeople(world.pool, registry).read()
    return {
        ":".join((sample.name.removeprefix("headrace_"), *sample.labels.values())): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.value
    }


async def test_each_of_them_is_shown_even_when_there_is_none(world: World) -> None:
    """A series that is not there raises no alert."""
    registry = CollectorRegistry()
    await WaitingForPeople(world.pool, registry).read()
    for metric in ("headrace_runs_waiting", "headrace_runs_waiting_oldest_seconds"):
        for reason in ("IN_DOUBT", "DEAD_LETTER"):
            assert registry.get_sample_value(metric, {"reason": reason}) == 0
    for metric in ("headrace_dead_letters_open", "headrace_dead_letters_oldest_seconds"):
        for source in ("step", "compensation", "in_doubt", "claim", "reporter", "nobody"):
            assert registry.get_sample_value(metric, {"source": source}) == 0


async def test_runs_in_doubt_and_set_aside_count_until_somebody_acts(world: World) -> None:
    doubtful, undone, bad, parked = [await world.claimed_run() for _ in range(4)]
    await world.admin.execute(
        "UPDATE runs SET claimed_at = now() - interval '2 hours' WHERE id = $1", doubtful
    )
    await world.admin.execute(
        "UPDATE runs SET claimed_at = now() - interval '1 hour' WHERE id <> $1", doubtful
    )
    unknown = {"status": "UNKNOWN", "error": {"code": "TIMEOUT", "message": "no answer"}}
    await world.applier.apply(
        [
            world.event(doubtful, 1, 1, "completed", "a", **unknown),
            world.event(doubtful, 1, 2, "parked", reason="IN_DOUBT"),
            world.event(undone, 1, 1, "compensating", outcome="FAILED"),
            world.event(undone, 1, 2, "parked", reason="IN_DOUBT"),
            world.event(parked, 1, 1, "parked", reason="APPROVAL"),
        ]
    )
    await world.applier.apply([world.event(bad, 1, 1, "completed", "a", status="NO_SUCH_STATUS")])
    assert await world.status(undone) == "COMPENSATING"
    found = await shown(world)
    assert 7200 <= found.pop("runs_waiting_oldest_seconds:IN_DOUBT") < 7300
    assert 3600 <= found.pop("runs_waiting_oldest_seconds:DEAD_LETTER") < 3700
    assert found.pop("dead_letters_oldest_seconds:in_doubt") < 60
    assert found.pop("dead_letters_oldest_seconds:reporter") < 60
    assert found == {
        "runs_waiting:IN_DOUBT": 2,
        "runs_waiting:DEAD_LETTER": 1,
        "dead_letters_open:in_doubt": 1,
        "dead_letters_open:reporter": 1,
    }
    # Settled, canceled, closed: another holder goes on.
    await world.admin.execute("UPDATE runs SET wait_reason = NULL, claimed_by = $1", new_id())
    await world.admin.execute("UPDATE dead_letters SET status = 'DISCARDED', closed_at = now()")
    assert await shown(world) == {}


async def test_what_belongs_to_no_tenant_counts_until_an_operator_closes_it(world: World) -> None:
    stranger = new_id()
    await world.applier.apply([world.event(stranger, 1, 1, "started", "a")])
    found = await shown(world)
    assert found.pop("dead_letters_oldest_seconds:nobody") < 60
    assert found == {"dead_letters_open:nobody": 1}
    letter = await world.admin.fetchval("SELECT id FROM dead_letters WHERE tenant_id IS NULL")
    async with transaction(world.pool) as db:
        assert await nobodys_repository.discard(db, [letter], "why") == 1
    assert await shown(world) == {}


async def many(world: World, waiting: int) -> None:
    """Many runs that ended, many that are parked, and `waiting` of each kind that waits for a person."""
    for status, reason, count in (
        ("SUCCESS", None, 10_000),
        ("WAITING", "TIMER", 3_000),
        ("WAITING", "IN_DOUBT", waiting),
        ("COMPENSATING", "DEAD_LETTER", waiting),
    ):
        await world.admin.execute(
            """INSERT INTO runs (id, tenant_id, workflow_id, version_id, status, wait_reason, dispatch_id, claimed_at,
                   finished_at)
               SELECT overlay(gen_random_uuid()::text PLACING left($1::text, 8) FROM 1 FOR 8)::uuid, $2, $3, $4, $5, $6,
                      gen_random_uuid(), now(), CASE WHEN $5 = 'SUCCESS' THEN now() END
               FROM generate_series(1, $7::int)""",
            str(new_id()),
            world.tenant,
            world.workflow,
            world.version,
            status,
            reason,
            count,
        )
    for status, count in (("DISCARDED", 5_000), ("OPEN", waiting)):
        await world.admin.execute(
            """INSERT INTO dead_letters (id, tenant_id, source, reason, status, closed_at)
               SELECT gen_random_uuid(), CASE WHEN source <> 'events.0' THEN $1::uuid END, source, '', $2,
                      CASE WHEN $2 <> 'OPEN' THEN now() END
               FROM generate_series(1, $3::int),
                    unnest(ARRAY['step', 'compensation', 'in_doubt', 'claim', 'reporter', 'events.0']) AS source""",
            world.tenant,
            status,
            count,
        )
    await world.admin.execute("VACUUM ANALYZE runs, dead_letters")


async def plan_of(admin: asyncpg.Connection, query: str, most: int) -> Any:
    async with admin.transaction():
        await admin.execute("SET LOCAL ROLE headrace_worker")
        await admin.execute(IN_INDEX_ORDER)
        (plan,) = orjson.loads(await admin.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}", most))
    return plan["Plan"]


async def test_what_has_ended_or_waits_for_no_person_is_not_read(world: World) -> None:
    await many(world, waiting=30)
    for query in (_sql.runs_for_a_person, _sql.all_open):
        plan = await plan_of(world.admin, query, MOST_COUNTED)
        assert "Seq Scan" not in {node["Node Type"] for node in nodes(plan)}
        assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 100
        few = await plan_of(world.admin, query, 10)
        assert all(node["Actual Rows"] <= 10 for node in nodes(few))
