"""Claims, leases and the barrier over HTTP, as runners see them; beside them the relay's choice and the sweeper."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import pytest
from fixtures_claims import World
from headrace.bus.open import open_bus
from headrace.bus.port import JOBS, Bus, Delivery
from headrace.ids import new_id
from headrace.messages import Event, Job
from headrace.postgres.listen import Listener
from headrace.workflow.state import EventKind
from headrace_control.dispatch.relay import Relay
from headrace_control.secrets.model import OpenedSecret


async def test_a_batch_of_claims_gives_all_that_is_needed_and_documents_once(world: World) -> None:
    one, two = await world.tenant("one"), await world.tenant("two")
    jobs = [await world.queued(one), await world.queued(two), await world.queued(one)]
    stranger = (new_id(), new_id())
    answer = await world.claim(new_id(), *jobs, stranger, have=["digest-of-two"])
    assert [c["outcome"] for c in answer["claims"]] == ["GRANTED"] * 3 + ["REFUSED"]
    assert [c["epoch"] for c in answer["claims"][:3]] == [1, 1, 1]
    assert answer["claims"][1]["tenant_id"] == str(two)
    assert answer["claims"][0]["input"] == {"n": 1}
    assert set(answer["versions"]) == {"digest-of-one"}


class Together:
    """A vault whose keys come when so many tenants wait for theirs."""

    def __init__(self, tenants: int) -> None:
        self._all_wait = asyncio.Barrier(tenants)

    async def secrets(self, tenant_id: UUID, names: Sequence[str]) -> Mapping[str, OpenedSecret]:
        async with asyncio.timeout(20):
            await self._all_wait.wait()
        return {name: OpenedSecret(f"{name} of {tenant_id}", None) for name in names}


async def test_what_several_tenants_runs_need_is_opened_side_by_side(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = {"env": {"KEY": {"secret": "key"}}}
    tenants = [await world.tenant(name, document=document) for name in ("one", "two", "three")]
    monkeypatch.setattr(world.credentials, "secrets", Together(3).secrets)
    answer = await world.claim(new_id(), *[await world.queued(tenant) for tenant in tenants])
    assert [c["secrets"] for c in answer["claims"]] == [{"KEY": f"key of {i}"} for i in tenants]
    assert [c["failure"] for c in answer["claims"]] == [None] * 3


@pytest.mark.parametrize(
    ("given", "content_type", "path"),
    [
        (b"{", "application/json", "body"),
        (b"", "application/json", "body"),
        (b"[]", "application/json", "body"),
        (b'{"call": 0, "capacity": 1, "jobs": []}', "application/json", "body.call"),
        (b'{"call": 1, "capacity": 1, "jobs": [{"run_id": "x"}]}', "application/json", "body.jobs.0.run_id"),
        (b'{"call": 1, "capacity": 1, "jobs": []}', "text/plain", "body"),
    ],
)
async def test_a_body_that_is_no_claim_is_told_where_it_is_wrong(
    world: World, given: bytes, content_type: str, path: str
) -> None:
    headers = {**await world.session(new_id()), "content-type": content_type}
    response = await world.http.post("/internal/claims", content=given, headers=headers)
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["extensions"]["problems"][0]["path"] == path
    assert response.headers["cache-control"] == "no-store"


async def test_a_claim_is_for_runners(world: World) -> None:
    body = {"call": 1, "capacity": 1, "jobs": []}
    assert (await world.http.post("/internal/claims", json=body)).status_code == 401
    assert (
        await world.http.get("/internal/claims", headers=await world.session(new_id()))
    ).status_code == 405


async def test_a_live_claim_is_never_taken_over(world: World) -> None:
    job = await world.queued(await world.tenant("one"))
    holder = new_id()
    assert await world.outcome(holder, job) == "GRANTED"
    assert await world.outcome(new_id(), job) == "REFUSED"
    assert await world.outcome(holder, job, call=2) == "REFUSED"
    await world.beat(holder, job[0], settled=2)
    assert await world.outcome(new_id(), job) == "REFUSED"


async def test_a_stale_dispatch_is_refused(world: World) -> None:
    run, _ = await world.queued(await world.tenant("one"))
    assert await world.outcome(new_id(), (run, new_id())) == "REFUSED"


async def test_a_claim_whose_answer_was_lost_lapses_with_the_next_heartbeat(world: World) -> None:
    job = await world.queued(await world.tenant("one"))
    holder = new_id()
    await world.claim(holder, job, call=7)
    await world.beat(holder, settled=6)  # composed before the answer came
    assert await world.outcome(new_id(), job) == "REFUSED"
    await world.beat(holder, settled=7)  # the call is settled, the run is not named
    assert await world.outcome(new_id(), job) == "TAKEOVER"


async def test_a_late_heartbeat_does_not_unname_younger_claims(world: World) -> None:
    job = await world.queued(await world.tenant("one"))
    holder = new_id()
    await world.claim(holder, job, call=2)
    await world.beat(holder, job[0], settled=2)
    await world.beat(holder, settled=1)  # was held up on its way
    assert await world.outcome(new_id(), job) == "REFUSED"


async def test_a_late_heartbeat_does_not_bring_a_lapsed_claim_back(world: World) -> None:
    job = await world.queued(await world.tenant("one"))
    holder = new_id()
    await world.claim(holder, job, call=2)
    await world.beat(holder, settled=2)
    await world.beat(holder, settled=1)  # was held up on its way: the answer of call 2 was still to come
    assert await world.outcome(new_id(), job) == "TAKEOVER"


async def test_a_take_over_gets_the_checkpoint_behind_the_barrier(world: World) -> None:
    tenant = await world.tenant("one")
    job = run, _ = await world.queued(tenant)
    first, second = new_id(), new_id()
    await world.claim(first, job)
    await world.lease_is_over(first)
    answer = (await world.claim(second, job))["claims"][0]
    assert (answer["outcome"], answer["epoch"], "steps" in answer) == ("TAKEOVER", 2, False)

    async def barrier(runner: UUID, epoch: int, wait: float) -> Any:
        body = {"runs": [{"run_id": str(run), "epoch": epoch}], "wait": wait}
        return (await world.post("checkpoints", runner, **body))["runs"][0]

    assert (await barrier(second, 2, 0))["outcome"] == "NOT_YET"
    waiting = asyncio.create_task(barrier(second, 2, 10))
    now = await world.admin.fetchval("SELECT now()")

    def event(epoch: int, seq: int, kind: str, step: str | None = None, **data: Any) -> Event:
        return Event(tenant, run, epoch, seq, EventKind(kind), now, step, data)

    # The first holder's last words, confirmed ahead of the mark.
    await world.applier.apply([event(1, 1, "completed", "a", status="SUCCESS", output=[1])])
    await world.applier.apply([event(2, 1, "claimed")])
    passed = await waiting
    assert passed["outcome"] == "PASSED"
    assert [(s["key"], s["status"], s["output"]) for s in passed["steps"]] == [("a", "SUCCESS", [1])]
    assert (await barrier(first, 1, 0))["outcome"] == "CLOSED"
    # A later epoch's fence lets an earlier waiter through to the verdict as well.
    assert (await barrier(first, 2, 0))["outcome"] == "CLOSED"
    # Nor does the holder get it by an epoch of before: what still waits by that one is another claim's.
    assert (await barrier(second, 1, 0))["outcome"] == "CLOSED"


async def test_twenty_runners_at_once_get_one_claim(world: World) -> None:
    job = await world.queued(await world.tenant("one"))
    outcomes = await asyncio.gather(*(world.outcome(new_id(), job) for _ in range(20)))
    assert sorted(outcomes) == ["GRANTED"] + ["REFUSED"] * 19


async def test_a_heartbeat_tells_of_cancels_and_of_runs_that_are_lost(world: World) -> None:
    tenant = await world.tenant("one")
    one, two = await world.queued(tenant), await world.queued(tenant)
    holder = new_id()
    await world.claim(holder, one, two)
    await world.admin.execute("UPDATE runs SET cancel_requested = true WHERE id = $1", one[0])
    await world.lease_is_over(holder)
    assert await world.outcome(new_id(), two) == "TAKEOVER"
    news = await world.beat(holder, one[0], two[0])
    assert (news["canceled"], news["lost"]) == ([str(one[0])], [str(two[0])])


async def test_the_sweeper_makes_the_same_dispatch_due_again(world: World) -> None:
    tenant = await world.tenant("one")
    lapsed, live, unclaimed = [await world.queued(tenant) for _ in range(3)]
    dead, alive = new_id(), new_id()
    await world.claim(dead, lapsed)
    await world.lease_is_over(dead)
    await world.claim(alive, live)
    await world.admin.execute(
        "UPDATE dispatches SET sent_at = now() - interval '2 minutes' WHERE id = $1", unclaimed[1]
    )
    assert await world.sweeper.sweep() == 2
    due = {row["id"] for row in await world.admin.fetch("SELECT id FROM dispatches WHERE sent_at IS NULL")}
    assert due == {lapsed[1], unclaimed[1]}
    assert await world.sweeper.sweep() == 0


async def test_a_run_claimed_in_vain_is_set_aside_alone(world: World) -> None:
    tenant = await world.tenant("one")
    poison, neighbour = await world.queued(tenant), await world.queued(tenant)
    outcomes = []
    for alone in (False, False, False, False, True, True, True, True):
        runner = new_id()
        claim = (await world.claim(runner, poison, alone=alone))["claims"][0]
        outcomes.append(claim["outcome"])
        if claim["outcome"] == "TAKEOVER":
            outcomes[-1] = await world.passed(runner, poison[0], claim["epoch"])
        await world.lease_is_over(runner)
    # After two take-overs in vain it is given only to who carries nothing else.
    assert outcomes == ["GRANTED", *["PASSED"] * 2, "ALONE", *["PASSED"] * 3, "CLOSED"]
    row = await world.admin.fetchrow("SELECT status, wait_reason FROM runs WHERE id = $1", poison[0])
    assert tuple(row) == ("WAITING", "DEAD_LETTER")
    assert await world.admin.fetchval("SELECT run_id FROM dead_letters") == poison[0]
    assert await world.admin.fetchval("SELECT count(*) FROM dispatches WHERE run_id = $1", poison[0]) == 0
    assert await world.outcome(new_id(), neighbour) == "GRANTED"


async def test_a_released_lease_ends_at_once(world: World) -> None:
    job = await world.queued(await world.tenant("one"))
    runner = new_id()
    await world.claim(runner, job)
    await world.post("releases", runner)
    assert await world.sweeper.sweep() == 1
    assert await world.outcome(new_id(), job) == "TAKEOVER"


async def test_a_runner_that_left_in_order_tells_nothing_against_its_runs(world: World) -> None:
    job = await world.queued(await world.tenant("one"))
    for _ in range(8):
        runner = new_id()
        assert await world.outcome(runner, job) in ("GRANTED", "TAKEOVER")
        await world.post("releases", runner)
    assert await world.admin.fetchval("SELECT fruitless_claims FROM runs WHERE id = $1", job[0]) == 0


@contextlib.asynccontextmanager
async def relaying(database: str, world: World, window: int) -> AsyncIterator[tuple[Bus, asyncio.Queue[Job]]]:
    """A relay at work, and what it publishes, in order."""
    bus = await open_bus(database, partitions=1)
    listener = Listener(database)
    relay = Relay(world.pool, bus, listener, window)
    published: asyncio.Queue[Job] = asyncio.Queue()

    async def take(delivery: Delivery) -> None:
        await published.put(Job.decode(delivery.body))

    await listener.start()
    consumption = await bus.consume(JOBS, take, 1)
    task = asyncio.create_task(relay.run())
    try:
        yield bus, published
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await consumption.close()
        await listener.close()
        await bus.close()


async def test_no_tenants_queue_delays_anothers_first_run(world: World, database: str) -> None:
    big, small = await world.tenant("big"), await world.tenant("small")
    for _ in range(60):
        await world.queued(big, sent=False)
    first = await world.queued(small, sent=False)
    async with relaying(database, world, window=10) as (_, published):
        async with asyncio.timeout(20):
            jobs = [await published.get() for _ in range(61)]
    assert [job.run_id for job in jobs].index(first[0]) < 3


async def test_a_tenants_limit_of_runs_in_flight_holds(world: World, database: str) -> None:
    tenant = await world.tenant("one", in_flight=3)
    runs = [await world.queued(tenant, sent=False) for _ in range(8)]
    async with relaying(database, world, window=50) as (_, published):
        async with asyncio.timeout(20):
            jobs = [await published.get() for _ in range(3)]
            await world.claim(new_id(), *((job.run_id, job.dispatch_id) for job in jobs))
            assert published.empty()
            now = await world.admin.fetchval("SELECT now()")
            done = Event(tenant, jobs[0].run_id, 1, 1, EventKind.FINISHED, now, None, {"status": "SUCCESS"})
            await world.applier.apply([done])  # a place is free: the relay hears of it
            jobs.append(await published.get())
    assert len({job.run_id for job in jobs}) == 4
    assert {job.run_id for job in jobs} <= {run for run, _ in runs}
