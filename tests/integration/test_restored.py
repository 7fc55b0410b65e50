"""A database that was restored: what is left of the time that was lost is no part of the runs that go on."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from fixtures_claims import World
from headrace.errors import Conflict, DatabaseUnavailable
from headrace.ids import new_id
from headrace.messages import Event
from headrace.postgres.pool import WORKER, open_pool
from headrace.workflow.state import EventKind
from headrace_control.restores.service import begin_anew


@pytest.fixture
async def owner(database: str) -> Any:
    pool = await open_pool(database)
    yield pool
    await pool.close()


async def _row(world: World, run: UUID) -> asyncpg.Record:
    return await world.admin.fetchrow("SELECT * FROM runs WHERE id = $1", run)


def _event(tenant: UUID, run: UUID, epoch: int, seq: int, kind: EventKind, **data: Any) -> Event:
    return Event(tenant, run, epoch, seq, kind, datetime.now(UTC), None, data)


async def test_what_was_granted_and_lost_changes_nothing_any_more(world: World, owner: asyncpg.Pool) -> None:
    tenant = await world.tenant("one")
    job = run, _ = await world.queued(tenant)
    before = new_id()
    assert (await world.claim(before, job))["claims"][0]["epoch"] == 1
    # Here the backup was taken. Afterwards epochs 2 and 3 were granted, and are forgotten.
    assert await begin_anew(owner, world.pool) == 1
    finished = {"status": "SUCCESS", "result": None}
    anew = int((await _row(world, run))["epoch"])
    for epoch in (1, 2, 3, anew):
        await world.applier.apply([_event(tenant, run, epoch, 9, EventKind.FINISHED, **finished)])
    assert (await _row(world, run))["status"] == "RUNNING"
    after = new_id()
    claim = (await world.claim(after, job))["claims"][0]
    assert (claim["outcome"], claim["epoch"]) == ("GRANTED", anew + 1)
    await world.applier.apply([_event(tenant, run, 3, 10, EventKind.FINISHED, **finished)])
    assert (await _row(world, run))["status"] == "RUNNING"
    await world.applier.apply([_event(tenant, run, anew + 1, 1, EventKind.FINISHED, **finished)])
    assert (await _row(world, run))["status"] == "SUCCESS"


async def test_the_same_backup_restored_twice_begins_another_time(
    world: World, owner: asyncpg.Pool, database: str
) -> None:
    tenant = await world.tenant("one")
    job = run, _ = await world.queued(tenant)
    as_it_was = await _row(world, run)
    await begin_anew(owner, world.pool)
    between = (await world.claim(new_id(), job))["claims"][0]["epoch"]
    # The backup once more, an hour later.
    await world.admin.execute(
        """UPDATE runs SET epoch = $2, fence_epoch = $3, fence_seq = $4, claimed_by = NULL, claimed_in_call = NULL,
           claim_token = NULL, status = 'QUEUED', started_at = NULL WHERE id = $1""",
        run,
        *(as_it_was[name] for name in ("epoch", "fence_epoch", "fence_seq")),
    )
    name = await world.admin.fetchval("SELECT current_database()")
    await world.admin.execute(f"ALTER DATABASE \"{name}\" SET headrace.clock_offset = '3600 seconds'")
    async with await open_pool(database, WORKER) as later:
        await begin_anew(owner, later)
    assert (await _row(world, run))["epoch"] > between + 1_000
    finished = {"status": "SUCCESS", "result": None}
    await world.applier.apply([_event(tenant, run, between, 9, EventKind.FINISHED, **finished)])
    assert (await _row(world, run))["finished_at"] is None


async def test_a_runner_from_before_has_lost_its_runs(world: World, owner: asyncpg.Pool) -> None:
    job = run, _ = await world.queued(await world.tenant("one"))
    before = new_id()
    await world.claim(before, job)
    await begin_anew(owner, world.pool)
    assert (await world.beat(before, run))["lost"] == [str(run)]
    assert await world.admin.fetchval("SELECT count(*) FROM runner_sessions") == 0


async def test_every_unfinished_run_is_due_and_ended_ones_are_left_alone(
    world: World, owner: asyncpg.Pool
) -> None:
    tenant = await world.tenant("one")
    held, ended = await world.queued(tenant), await world.queued(tenant)
    unsent = await world.queued(tenant, sent=False)
    await world.claim(new_id(), held)
    await world.admin.execute(
        "UPDATE runs SET status = 'SUCCESS', finished_at = now(), claimed_by = NULL WHERE id = $1", ended[0]
    )
    await world.admin.execute("DELETE FROM dispatches WHERE run_id = $1", ended[0])
    assert await begin_anew(owner, world.pool) == 2
    due = "SELECT run_id FROM dispatches WHERE sent_at IS NULL AND due_at <= headrace_now()"
    assert {row["run_id"] for row in await world.admin.fetch(due)} == {held[0], unsent[0]}
    assert (await _row(world, ended[0]))["epoch"] == 0
    told = await world.admin.fetch("SELECT detail FROM audit_inbox WHERE action = 'deployment.restore'")
    assert [row["detail"] for row in told] == ['{"runs": 2}']
    assert await begin_anew(owner, world.pool) == 2  # once more does no harm


async def test_a_bus_that_came_back_with_its_events_is_read_first(world: World, owner: asyncpg.Pool) -> None:
    run, _ = await world.queued(await world.tenant("one"))
    for queue in ("jobs", "a.events.0"):
        await world.admin.execute("INSERT INTO bus_messages (queue, body) VALUES ($1, '')", queue)
    with pytest.raises(Conflict, match="1 messages with events"):
        await begin_anew(owner, world.pool)
    assert (await _row(world, run))["epoch"] == 0


async def test_a_backup_of_an_older_release_is_migrated_first(world: World, owner: asyncpg.Pool) -> None:
    job = run, _ = await world.queued(await world.tenant("one"))
    await world.admin.execute("DELETE FROM schema_migrations WHERE left(name, 4)::int > 50")
    with pytest.raises(DatabaseUnavailable, match="run `headrace migrate`"):
        await begin_anew(owner, world.pool)
    assert (await _row(world, run))["epoch"] == 0
    assert (await world.claim(new_id(), job))["claims"][0]["epoch"] == 1
