"""A run that takes its runners down with it: its steps begin again and again, and none ever ends."""

import asyncio
from uuid import UUID

import pytest
from fixtures_claims import World
from headrace.ids import new_id
from headrace.messages import Event
from headrace.workflow.state import EventKind


async def claimed_then_lost(world: World, tenant: UUID, job: tuple[UUID, UUID], ended: bool) -> str:
    """The turn of one runner that carries nothing else: claim, pass the barrier, begin a step (and end it, if
    `ended`), die."""
    runner = new_id()
    claim = (await world.claim(runner, job, alone=True))["claims"][0]
    if "epoch" in claim:
        now = await world.admin.fetchval("SELECT now()")
        kinds = [EventKind.CLAIMED] if claim["outcome"] == "TAKEOVER" else []
        kinds += [EventKind.STARTED, EventKind.COMPLETED] if ended else [EventKind.STARTED]
        for seq, kind in enumerate(kinds, 1):
            step = None if kind is EventKind.CLAIMED else f"s{claim['epoch']}" if ended else "s"
            data = {"status": "SUCCESS"} if kind is EventKind.COMPLETED else {}
            event = Event(tenant, job[0], claim["epoch"], seq, kind, now, step, data)
            await world.applier.apply([event])
    outcome = str(claim["outcome"])
    if outcome == "TAKEOVER":
        outcome = await world.passed(runner, job[0], claim["epoch"])
    await world.lease_is_over(runner)
    return outcome


async def test_progress_that_is_still_on_its_way_counts(world: World) -> None:
    """rule poison_judged_behind_barrier: what the last holder got done may be applied after the next has claimed."""
    tenant = await world.tenant("one")
    job = await world.queued(tenant)
    for _ in range(6):
        await claimed_then_lost(world, tenant, job, ended=False)
    runner = new_id()
    claim = (await world.claim(runner, job, alone=True))["claims"][0]
    now = await world.admin.fetchval("SELECT now()")
    last = claim["epoch"] - 1
    done = Event(tenant, job[0], last, 3, EventKind.COMPLETED, now, "s", {"status": "SUCCESS"})
    mark = Event(tenant, job[0], claim["epoch"], 1, EventKind.CLAIMED, now)
    await world.applier.apply([done, mark])
    assert await world.passed(runner, job[0], claim["epoch"]) == "PASSED"


async def test_a_cancel_that_comes_while_a_run_is_judged_is_heard(world: World) -> None:
    """rule cancel_beats_poison: the judge has read the run, and waits for its row until the cancel is written."""
    tenant = await world.tenant("one")
    job = await world.queued(tenant)
    for _ in range(6):
        await claimed_then_lost(world, tenant, job, ended=False)
    runner = new_id()
    claim = (await world.claim(runner, job, alone=True))["claims"][0]
    mark = Event(
        tenant, job[0], claim["epoch"], 1, EventKind.CLAIMED, await world.admin.fetchval("SELECT now()")
    )
    await world.applier.apply([mark])
    canceling = world.admin.transaction()
    await canceling.start()
    await world.admin.execute("UPDATE runs SET cancel_requested = true")
    asked = {"run_id": str(job[0]), "epoch": claim["epoch"]}
    judged = asyncio.create_task(world.post("checkpoints", runner, runs=[asked], wait=0))
    while not await world.admin.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
        await asyncio.sleep(0.01)
    await canceling.commit()
    answer = (await judged)["runs"][0]
    assert (answer["outcome"], answer.get("cancel")) == ("PASSED", True)
    assert await world.admin.fetchval("SELECT count(*) FROM dead_letters") == 0


@pytest.mark.parametrize(
    ("ended", "outcomes"),
    [(False, ["GRANTED", *["PASSED"] * 5, "CLOSED"]), (True, ["GRANTED", *["PASSED"] * 6])],
)
async def test_to_begin_a_step_is_no_progress_and_to_end_one_is(
    world: World, ended: bool, outcomes: list[str]
) -> None:
    tenant = await world.tenant("one")
    job = await world.queued(tenant)
    assert [await claimed_then_lost(world, tenant, job, ended) for _ in range(7)] == outcomes
