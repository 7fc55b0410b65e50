"""Runner pools in the run protocol: who may claim what, and what the relay puts where."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any
from uuid import UUID

import pytest
from fixtures_claims import ENROLMENT, World
from headrace.bus.open import open_bus
from headrace.bus.port import JOBS, Bus, Delivery, Outgoing, jobs_queue
from headrace.ids import new_id
from headrace.messages import Job
from headrace.postgres.listen import DISPATCH_CHANNEL, POOLS_CHANNEL, Listener
from headrace.postgres.pool import transaction
from headrace_control.dispatch.pool_relay import PoolRelay
from headrace_control.dispatch.relay import Relay
from headrace_control.dry_runs.taking import DryRunHandover
from headrace_control.pools import repository

EU = jobs_queue("eu")


async def enrol(world: World, pool: str, runner: UUID | None = None, by: Any = ENROLMENT) -> tuple[UUID, int]:
    """A runner of a pool, and how its enrolment was answered."""
    runner, token = runner or new_id(), f"hrs_{secrets.token_urlsafe(32)}"
    given = {"runner_id": str(runner), "session": token, "pool": pool}
    answer = await world.http.post("/internal/sessions", json=given, headers=by)
    if answer.status_code == 200:
        world.sessions[runner] = {"authorization": f"Bearer {token}"}
    return runner, answer.status_code


async def put_into(world: World, pool: str | None, *jobs: tuple[UUID, UUID]) -> None:
    await world.admin.execute("INSERT INTO pools (name) VALUES ('eu'), ('us') ON CONFLICT DO NOTHING")
    for table, key in (("runs", "id"), ("dispatches", "run_id")):
        await world.admin.execute(
            f"UPDATE {table} SET pool = $2 WHERE {key} = ANY($1::uuid[])",
            [run for run, _ in jobs],
            pool,
        )


async def test_a_run_is_claimed_by_runners_of_its_pool_alone(world: World) -> None:
    tenant = await world.tenant("one")
    here, there = [await world.queued(tenant) for _ in range(2)]
    await put_into(world, "eu", there)
    (near, _), (far, _) = await enrol(world, "default"), await enrol(world, "eu")
    assert [claim["outcome"] for claim in (await world.claim(near, here, there))["claims"]] == [
        "GRANTED",
        "OTHER_POOL",
    ]
    assert await world.outcome(near, there, call=2, alone=True) == "OTHER_POOL"
    assert await world.outcome(far, here) == "OTHER_POOL"
    assert await world.outcome(far, there, call=2) == "GRANTED"
    pools = await world.admin.fetch("SELECT id, pool FROM runners ORDER BY pool NULLS FIRST")
    assert [tuple(row) for row in pools] == [(near, None), (far, "eu")]
    await world.beat(far, there[0], settled=2)
    assert await world.admin.fetchval("SELECT pool FROM runners WHERE id = $1", far) == "eu"


async def test_a_session_stays_in_the_pool_that_it_was_opened_for(world: World) -> None:
    runner, _ = await enrol(world, "eu")
    own = world.sessions[runner]
    assert (await enrol(world, "us", runner, own))[1] == 401
    assert (await enrol(world, "default", runner, own))[1] == 401
    assert (await enrol(world, "us", runner))[1] == 409  # nobody enrols as somebody else
    assert (await enrol(world, "eu", runner, own))[1] == 200
    assert (await enrol(world, "no pool"))[1] == 422


@pytest.mark.parametrize("pool_tokens", [{"eu": "a-token-of-the-pool-eu"}])
async def test_a_pool_with_a_token_of_its_own_is_enrolled_by_that_alone(world: World) -> None:
    of_eu = {"authorization": "Bearer a-token-of-the-pool-eu"}
    answers = [
        (await enrol(world, pool, by=by))[1] for pool in ("eu", "us", "default") for by in (of_eu, ENROLMENT)
    ]
    assert answers == [200, 401, 401, 200, 401, 200]


async def test_nobody_of_another_pool_takes_the_name_of_a_runner_that_is_gone(world: World) -> None:
    held = await world.queued(await world.tenant("one"))
    await put_into(world, "eu", held)
    dead, _ = await enrol(world, "eu")
    assert await world.outcome(dead, held) == "GRANTED"
    await world.lease_is_over(dead)
    await world.admin.execute("UPDATE runner_sessions SET expires_at = now() - interval '2 hours'")
    answers = [(await enrol(world, pool, dead))[1] for pool in ("default", "us", "eu", "us")]
    assert answers == [409, 409, 200, 409]
    # Once it has left, the claims that it left open are its trace.
    await world.post("releases", dead)
    given = {"runner_id": str(dead), "session": f"hrs_{secrets.token_urlsafe(32)}"}
    answer = (await world.http.post("/internal/sessions", json=given, headers=ENROLMENT)).json()
    assert answer["errors"][0]["extensions"]["code"] == "CONFLICT"
    assert answer["errors"][0]["message"] == "this runner is known in another pool; start the runner anew"
    assert (await enrol(world, "default", dead))[1] == 409
    await world.admin.execute("UPDATE runs SET claimed_by = NULL")
    assert (await enrol(world, "default", dead))[1] == 200


async def test_a_run_that_was_moved_does_not_lock_its_holder_out(world: World) -> None:
    held = await world.queued(await world.tenant("one"))
    holder, _ = await enrol(world, "eu")
    await put_into(world, "eu", held)
    assert await world.outcome(holder, held) == "GRANTED"
    await put_into(world, None, held)
    await world.admin.execute("DELETE FROM runner_sessions")
    assert (await enrol(world, "eu", holder))[1] == 200


async def test_a_checkpoint_is_for_the_pool_that_its_run_is_in(world: World) -> None:
    job = run, _ = await world.queued(await world.tenant("one"))
    (dead, _), (near, _), (far, _) = [await enrol(world, pool) for pool in ("default", "default", "eu")]
    await world.claim(dead, job)
    await world.lease_is_over(dead)
    assert await world.outcome(near, job) == "TAKEOVER"
    await put_into(world, "eu", job)
    assert await world.passed(near, run, 2) == "CLOSED"
    # Its holder leaves it, and the other pool goes on with it.
    await world.beat(near)
    assert await world.outcome(far, job) == "TAKEOVER"
    assert await world.passed(far, run, 3) == "PASSED"


async def test_what_was_sent_to_another_pools_queue_is_swept_into_its_own(world: World) -> None:
    """As a service of the release before may do it, or a job that was under way while its run was moved."""
    job = await world.queued(await world.tenant("one"))
    await put_into(world, "eu", job)
    await world.admin.execute(
        "UPDATE dispatches SET pool = NULL, sent_at = now() - interval '2 minutes' WHERE id = $1", job[1]
    )
    assert await world.sweeper.sweep() == 1
    swept = await world.admin.fetchrow("SELECT pool, sent_at FROM dispatches WHERE id = $1", job[1])
    assert swept is not None
    assert tuple(swept) == ("eu", None)


class Relays:
    """Both relays at work over one bus."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.published: asyncio.Queue[UUID] = asyncio.Queue()

    async def take(self, queue: str) -> None:
        async def took(delivery: Delivery) -> None:
            await self.published.put(Job.decode(delivery.body).run_id)

        await self.bus.consume(queue, took, 10)

    async def reaches(self, queue: str, ready: int) -> None:
        while (await self.bus.depth(queue)).ready != ready:
            await asyncio.sleep(0.02)  # nothing tells of a queue that nobody takes from


Relaying = Callable[[int], contextlib.AbstractAsyncContextManager[Relays]]


@pytest.fixture
def relaying(world: World, database: str) -> Relaying:
    @contextlib.asynccontextmanager
    async def run(window: int) -> AsyncIterator[Relays]:
        bus, listener = await open_bus(database, partitions=1), Listener(database)
        relay = Relay(world.pool, bus, listener, window)
        pools = PoolRelay(world.pool, bus, listener, window, relay)
        await bus.add_pool("eu")
        await bus.add_pool("us")
        await listener.start()
        tasks = [asyncio.create_task(one.run()) for one in (relay, pools)]
        try:
            async with asyncio.timeout(30):
                yield Relays(bus)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await listener.close()
            await bus.close()

    return run


async def test_a_pool_that_nobody_takes_from_holds_up_no_other(world: World, relaying: Relaying) -> None:
    """Each has a window of its own: what is beyond it waits in the table, and nobody else does."""
    tenant = await world.tenant("one")
    far = [await world.queued(tenant, sent=False) for _ in range(12)]
    await put_into(world, "eu", *far)
    async with relaying(4) as relays:
        await relays.reaches(EU, 4)
        near = [await world.queued(tenant, sent=False) for _ in range(12)]
        third = [await world.queued(tenant, sent=False, pool="us") for _ in range(12)]
        await world.admin.execute("SELECT pg_notify('headrace_dispatch', '')")
        await relays.take(JOBS)
        await relays.take(jobs_queue("us"))
        taken = {await relays.published.get() for _ in range(24)}
        assert taken == {run for run, _ in (*near, *third)}
        assert (await relays.bus.depth(EU)).ready == 4
        await relays.take(EU)
        assert {await relays.published.get() for _ in range(12)} == {run for run, _ in far}


async def test_a_run_that_is_moved_while_its_job_is_sent_is_sent_to_the_other_pool(
    world: World, relaying: Relaying
) -> None:
    job = await world.queued(await world.tenant("one"), sent=False)
    await put_into(world, "eu", job)
    async with relaying(4) as relays:
        publish, moved = relays.bus.publish, asyncio.Event()

        async def move_meanwhile(messages: Sequence[Outgoing], timeout: float = 10.0) -> None:
            await publish(messages, timeout)
            if not moved.is_set():
                moved.set()
                async with transaction(world.pool) as db:
                    await repository.move_some(db, "eu", "us", UUID(int=0), None, 10)

        relays.bus.publish = move_meanwhile  # type: ignore[method-assign]
        await world.admin.execute("SELECT pg_notify($1, '')", DISPATCH_CHANNEL)
        await relays.take(jobs_queue("us"))
        assert await relays.published.get() == job[0]
        assert moved.is_set()


async def test_a_tenants_limit_is_over_all_pools(world: World, relaying: Relaying) -> None:
    tenant = await world.tenant("one", in_flight=5)
    jobs = [await world.queued(tenant, sent=False) for _ in range(8)]
    await put_into(world, "eu", *jobs[4:])
    async with relaying(50) as relays:
        # Whichever is first finds room for all of its own, and the other for one.
        while sum([(await relays.bus.depth(queue)).ready for queue in (JOBS, EU)]) != 5:
            await asyncio.sleep(0.02)  # nothing tells of queues that nobody takes from
        # The relays' next cycles take their turns after this: none has sent more.
        async with world.pool.acquire() as db, db.transaction():
            await db.execute("SELECT pg_advisory_xact_lock(hashtext('headrace_relay'))")
            assert await db.fetchval("SELECT count(*) FROM dispatches WHERE sent_at IS NOT NULL") == 5


async def test_a_pool_that_is_made_while_relays_work_has_its_queue(world: World, relaying: Relaying) -> None:
    tenant = await world.tenant("one")
    async with relaying(4) as relays:
        await world.admin.execute("INSERT INTO pools (name) VALUES ('late')")
        await world.admin.execute("SELECT pg_notify($1, '')", POOLS_CHANNEL)
        job = await world.queued(tenant, sent=False, pool="late")
        await world.admin.execute("SELECT pg_notify('headrace_dispatch', '')")
        while not await world.admin.fetchval(
            "SELECT sent_at IS NOT NULL FROM dispatches WHERE id = $1", job[1]
        ):
            await asyncio.sleep(0.02)  # the row is the only sign of it
        assert (await relays.bus.depth(jobs_queue("late"))).ready == 1


async def test_dry_runs_are_taken_by_runners_of_their_pool(world: World) -> None:
    tenant = await world.tenant("one")
    await world.admin.execute(
        """INSERT INTO dry_runs (tenant_id, id, workflow, version_id, given, opens, created_by, pool)
           VALUES ($1, $2, 'w', $2, '{}', false, $2, 'eu')""",
        tenant,
        new_id(),
    )
    (near, _), (far, _) = await enrol(world, "default"), await enrol(world, "eu")
    assert [(await world.beat(runner))["dry_runs"] for runner in (near, far)] == [False, True]
    none: Any = None
    assert await DryRunHandover(world.pool, none, none).take("default") is None
