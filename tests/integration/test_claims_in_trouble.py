"""Claims beside trouble: runs set aside, a full disk, a locked row, copies of jobs, cancels that come late."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from fixtures_claims import World
from headrace.errors import DatabaseUnavailable, NotFound
from headrace.ids import new_id
from headrace.messages import Event
from headrace.workflow.state import EventKind
from headrace_control.internal_api.leases import Leases
from headrace_control.internal_api.models import TokenBody

UNSTORABLE = {"status": "SUCCESS", "output": {"x": "\0"}}


async def event(
    world: World, tenant: UUID, run: UUID, seq: int, kind: str, step: str | None = None, **data: Any
) -> Event:
    now = await world.admin.fetchval("SELECT now()")
    return Event(tenant, run, 1, seq, EventKind(kind), now, step, data)


async def test_what_follows_a_lost_event_stays_behind_the_fence(world: World) -> None:
    tenant = await world.tenant("one")
    run, dispatch = await world.queued(tenant)
    holder = new_id()
    await world.claim(holder, (run, dispatch))
    await world.applier.apply([await event(world, tenant, run, 1, "completed", "a", **UNSTORABLE)])
    assert (await world.beat(holder, run))["lost"] == [str(run)]
    # Its holder has not heard yet, and parks: a resumed run would do step a again.
    now = (await world.admin.fetchval("SELECT now()")).isoformat()
    done = await event(world, tenant, run, 2, "completed", "b", status="SUCCESS")
    parked = await event(world, tenant, run, 3, "parked", reason="HANDED_BACK", resumeAt=now)
    await world.applier.apply([done])
    await world.applier.apply([parked])
    assert await world.admin.fetchval("SELECT count(*) FROM step_runs") == 0
    assert await world.admin.fetchval("SELECT count(*) FROM dead_letters") == 1
    row = await world.admin.fetchrow("SELECT status, wait_reason, dispatch_id FROM runs WHERE id = $1", run)
    assert tuple(row) == ("WAITING", "DEAD_LETTER", dispatch)
    assert await world.outcome(new_id(), (run, dispatch)) == "REFUSED"


async def test_a_cancel_that_was_there_is_heard_after_its_run_is_set_aside(world: World) -> None:
    """rule aside_sees_cancel. Once: a run that can not write down its end either waits for a person."""
    tenant = await world.tenant("one")
    job = await world.queued(tenant)
    await world.claim(new_id(), job)
    await world.admin.execute("UPDATE runs SET cancel_requested = true")
    await world.applier.apply([await event(world, tenant, job[0], 1, "completed", "a", **UNSTORABLE)])
    due = await world.admin.fetch(
        "SELECT id, run_id FROM dispatches WHERE sent_at IS NULL AND due_at <= now()"
    )
    assert [(row["run_id"], row["id"]) for row in due] == [job]
    claim = (await world.claim(new_id(), job))["claims"][0]
    assert (claim["outcome"], claim["cancel"]) == ("GRANTED", True)
    now = await world.admin.fetchval("SELECT now()")
    ends = Event(tenant, job[0], claim["epoch"], 1, EventKind.CANCELED, now, None, {"error": {"x": "\0"}})
    await world.applier.apply([ends])
    row = await world.admin.fetchrow(
        "SELECT status, wait_reason, (SELECT count(*) FROM dispatches) FROM runs"
    )
    assert tuple(row) == ("WAITING", "DEAD_LETTER", 0)


async def test_trouble_of_postgres_is_not_a_runs_fault(world: World) -> None:
    tenant = await world.tenant("one")
    job = await world.queued(tenant)
    await world.claim(new_id(), job)
    await world.admin.execute(
        """CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$;
           CREATE TRIGGER full_disk BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION full_disk()"""
    )
    done = await event(world, tenant, job[0], 1, "completed", "a", status="SUCCESS")
    with pytest.raises(DatabaseUnavailable, match="DiskFull"):
        await world.applier.apply([done])
    assert await world.admin.fetchval("SELECT wait_reason FROM runs WHERE id = $1", job[0]) is None
    await world.admin.execute("DROP TRIGGER full_disk ON events")
    await world.applier.apply([done])
    assert await world.admin.fetchval("SELECT status FROM step_runs") == "SUCCESS"


async def test_a_renewal_does_not_wait_behind_a_claim_that_waits(world: World, database: str) -> None:
    job = await world.queued(await world.tenant("one"))
    runner = new_id()
    await world.beat(runner, settled=0)
    busy = world.admin.transaction()
    await busy.start()
    await world.admin.execute("SELECT 1 FROM runs WHERE id = $1 FOR UPDATE", job[0])
    claim = asyncio.create_task(world.claim(runner, job))
    watcher = await asyncpg.connect(database)
    while not await watcher.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
        await asyncio.sleep(0.01)
    await watcher.close()
    async with asyncio.timeout(10):
        await world.beat(runner, settled=0)
    await busy.rollback()
    assert (await claim)["claims"][0]["outcome"] == "GRANTED"


async def test_a_renewal_and_a_take_over_at_one_moment_leave_the_run_to_one(
    world: World, database: str
) -> None:
    """The lease is over, its holder renews it, and has read that the run is still its own; then another claims."""
    job = await world.queued(await world.tenant("one"))
    holder, other = new_id(), new_id()
    await world.claim(holder, job)
    await world.lease_is_over(holder)
    await world.session(other)
    stopped = world.admin.transaction()
    await stopped.start()
    await world.admin.execute("LOCK TABLE throttles")  # what a renewal reads behind the runs
    renewal = asyncio.create_task(world.beat(holder, job[0]))
    watcher = await asyncpg.connect(database)
    waiting = "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted"
    while not await watcher.fetchval(waiting):
        await asyncio.sleep(0.01)
    claim = asyncio.create_task(world.outcome(other, job))
    while await watcher.fetchval(waiting) < 2 and not claim.done():
        await asyncio.sleep(0.01)
    await watcher.close()
    await stopped.rollback()
    lost = (await renewal)["lost"]
    assert (lost, await claim) == ([], "REFUSED")


async def test_runners_that_take_over_from_each_other_both_get_their_answers(world: World) -> None:
    tenant = await world.tenant("one")
    runners = [new_id(), new_id()]
    jobs = [await world.queued(tenant) for _ in range(10)]
    for call in range(1, 6):
        for n, runner in enumerate(runners):
            await world.claim(runner, *jobs[n::2], call=2 * call)
        for runner in runners:
            await world.lease_is_over(runner)
        jobs = [*jobs[1:], jobs[0]]
        answers = await asyncio.gather(
            *(world.claim(runner, *jobs[n::2], call=2 * call + 1) for n, runner in enumerate(runners))
        )
        assert {len(answer["claims"]) for answer in answers} == {5}


@pytest.mark.parametrize("held_before", [False, True])
async def test_a_claim_that_waited_takes_nothing_from_the_lease(
    world: World, database: str, held_before: bool
) -> None:
    """By its own clock the runner may call until the end of the lease that its last renewal was answered with."""
    job = await world.queued(await world.tenant("one"))
    runner = new_id()
    if held_before:
        lapsed = new_id()
        await world.claim(lapsed, job)
        await world.lease_is_over(lapsed)
    await world.beat(runner, settled=0)
    busy = world.admin.transaction()
    await busy.start()
    await world.admin.execute("SELECT 1 FROM runs WHERE id = $1 FOR UPDATE", job[0])
    claim = asyncio.create_task(world.claim(runner, job))
    watcher = await asyncpg.connect(database)
    while not await watcher.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
        await asyncio.sleep(0.01)
    until = "SELECT lease_until FROM runners WHERE id = $1"
    before = await watcher.fetchval(until, runner)
    await world.beat(runner, settled=0)
    renewed = await watcher.fetchval(until, runner)
    assert renewed > before
    await busy.rollback()
    assert (await claim)["claims"][0]["outcome"] == ("TAKEOVER" if held_before else "GRANTED")
    assert await watcher.fetchval(until, runner) == renewed
    await watcher.close()


async def test_a_cancel_is_heard_before_a_run_is_set_aside(world: World) -> None:
    job = await world.queued(await world.tenant("one"))
    first = new_id()
    await world.claim(first, job)
    await world.admin.execute("UPDATE runs SET fruitless_claims = 5, cancel_requested = true")
    await world.lease_is_over(first)
    assert await world.outcome(new_id(), job) == "TAKEOVER"


async def test_a_stale_copy_beside_the_job_costs_nothing(world: World) -> None:
    run, dispatch = await world.queued(await world.tenant("one"))
    answer = await world.claim(new_id(), (run, dispatch), (run, new_id()))
    assert [c["outcome"] for c in answer["claims"]] == ["GRANTED"]


async def test_a_token_is_for_connections_that_the_version_names(world: World) -> None:
    job = await world.queued(await world.tenant("one"))
    runner = new_id()
    (claim,) = (await world.claim(runner, job))["claims"]
    asked: list[UUID] = []

    class Asked:
        async def current(self, _tenant: UUID, ids: list[UUID]) -> dict[UUID, Any]:
            return {i: {} for i in ids}

        async def refresh(self, _tenant: UUID, connection_id: UUID, _seen: int) -> dict[str, Any]:
            asked.append(connection_id)
            return {}

        async def secrets(self, _tenant: UUID, _names: list[str]) -> dict[str, str]:
            return {}

    leases = Leases(world.pool, Asked(), timedelta(seconds=10), lambda: None)
    run = {"run_id": job[0], "epoch": 1, "run_token": claim["run_token"]}
    with pytest.raises(NotFound):
        await leases.token(runner, TokenBody(**run, connection_id=new_id(), seen_version=0))
    assert asked == []
