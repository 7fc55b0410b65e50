"""A run that takes its runners down with it: its steps begin again and again, and none ever ends."""

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
    await world.lease_is_over(runner)
    return str(claim["outcome"])


@pytest.mark.parametrize(
    ("ended", "outcomes"),
    [(False, ["GRANTED", *["TAKEOVER"] * 5, "SET_ASIDE"]), (True, ["GRANTED", *["TAKEOVER"] * 6])],
)
async def test_to_begin_a_step_is_no_progress_and_to_end_one_is(
    world: World, ended: bool, outcomes: list[str]
) -> None:
    tenant = await world.tenant("one")
    job = await world.queued(tenant)
    assert [await claimed_then_lost(world, tenant, job, ended) for _ in range(7)] == outcomes
