"""Canceling: a request that wakes whoever can honour it, in whatever state the run is."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from tests.integration.control_plane_runs.acting import Client, Fleet, orders, publish, started, with_role
from tests.integration.control_plane_runs.stopping import cancel


async def running(client: Client, fleet: Fleet) -> str:
    """A run that is claimed, and whose dispatch was sent."""
    await publish(client, orders())
    run = await started(client)
    await fleet.admin.execute("UPDATE dispatches SET sent_at = now() WHERE run_id = $1", UUID(run))
    await fleet.claim(run)
    return run


async def parked(client: Client, fleet: Fleet, reason: str, seconds: float | None) -> str:
    run = await running(client, fleet)
    resume_at = None if seconds is None else (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
    await fleet.apply(run, ("parked", None, {"reason": reason, "resumeAt": resume_at}))
    return run


async def test_a_queued_run_stays_queued_until_a_runner_ends_it(acme: Client, fleet: Fleet) -> None:
    await publish(acme, orders())
    run = await started(acme)
    for _ in range(2):
        assert await cancel(acme, run) == {"__typename": "Run", "status": "QUEUED", "cancelRequested": True}
    assert await fleet.dispatches(run) == [(True, False, True)]


async def test_a_running_run_is_left_to_its_runner(acme: Client, fleet: Fleet) -> None:
    run = await running(acme, fleet)
    assert await cancel(acme, run) == {"__typename": "Run", "status": "RUNNING", "cancelRequested": True}
    assert await fleet.dispatches(run) == [(True, True, True)]
    await fleet.apply(run, ("canceled", None, {}))
    refused = await cancel(acme, run)
    assert (refused["code"], refused["message"]) == ("CONFLICT", "the run has ended (CANCELED)")


async def test_a_run_that_waits_for_a_time_is_due_now(
    acme: Client, fleet: Fleet, admin: asyncpg.Connection
) -> None:
    run = await parked(acme, fleet, "RETRY", 3600)
    assert await fleet.dispatches(run) == [(True, False, False)]
    heard: asyncio.Queue[str] = asyncio.Queue()
    await admin.add_listener("headrace_dispatch", lambda *args: heard.put_nowait(str(args[-1])))
    assert await cancel(acme, run) == {"__typename": "Run", "status": "WAITING", "cancelRequested": True}
    assert await fleet.dispatches(run) == [(True, False, True)]
    async with asyncio.timeout(10):
        assert await heard.get() == ""


async def test_a_run_that_waits_for_a_person_gets_its_dispatch(acme: Client, fleet: Fleet) -> None:
    run = await parked(acme, fleet, "IN_DOUBT", None)
    assert await fleet.dispatches(run) == []
    await cancel(acme, run)
    assert await fleet.dispatches(run) == [(True, False, True)]


async def test_a_dispatch_that_was_sent_is_on_its_way_already(
    acme: Client, fleet: Fleet, admin: asyncpg.Connection
) -> None:
    run = await parked(acme, fleet, "RETRY", -1)
    await admin.execute("UPDATE dispatches SET sent_at = now()")
    before = await admin.fetch("SELECT * FROM dispatches")
    await cancel(acme, run)
    assert await admin.fetch("SELECT * FROM dispatches") == before


async def test_a_dead_letter_can_be_claimed_again(
    acme: Client, fleet: Fleet, admin: asyncpg.Connection
) -> None:
    run = await running(acme, fleet)
    await admin.execute(
        "UPDATE runs SET status = 'WAITING', wait_reason = 'DEAD_LETTER', fruitless_claims = 5 WHERE id = $1",
        UUID(run),
    )
    await admin.execute("DELETE FROM dispatches")
    assert (await cancel(acme, run))["status"] == "WAITING"
    assert await fleet.dispatches(run) == [(True, False, True)]
    assert await admin.fetchval("SELECT fruitless_claims FROM runs") == 0


@pytest.mark.parametrize("status", ["SUCCESS", "FAILED"])
async def test_what_has_ended_stays_as_it_is(
    acme: Client, fleet: Fleet, admin: asyncpg.Connection, status: str
) -> None:
    run = await running(acme, fleet)
    await fleet.apply(run, ("finished", None, {"status": status}))
    before = await admin.fetch("SELECT * FROM runs")
    assert (await cancel(acme, run))["message"] == f"the run has ended ({status})"
    assert await admin.fetch("SELECT * FROM runs") == before
    assert await fleet.dispatches(run) == []


async def test_a_cancel_that_meets_the_park_is_not_lost(acme: Client, fleet: Fleet) -> None:
    run = await running(acme, fleet)
    await asyncio.gather(
        cancel(acme, run), fleet.apply(run, ("parked", None, {"reason": "IN_DOUBT", "resumeAt": None}))
    )
    assert await fleet.dispatches(run) == [(True, False, True)]


async def test_who_may_cancel(
    acme: Client, stranger: Client, fleet: Fleet, admin: asyncpg.Connection
) -> None:
    run = await running(acme, fleet)
    refused = await cancel(stranger, run)
    assert (refused["code"], refused["message"]) == ("NOT_FOUND", "run not found")
    for role in ("DESIGNER", "VIEWER", "APPROVER"):
        assert (await cancel(await with_role(acme, role), run))["code"] == "FORBIDDEN"
    assert await admin.fetchval("SELECT cancel_requested FROM runs") is False
    assert (await cancel(await with_role(acme, "OPERATOR"), run))["cancelRequested"] is True
