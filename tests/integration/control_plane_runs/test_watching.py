"""Watching a run change, over a websocket."""

import asyncio
from uuid import UUID

import asyncpg
import pytest
from headrace.postgres.listen import Listener
from headrace_control.runs import service
from headrace_control.runs.changes import RunChanges

from tests.integration.control_plane_runs.acting import Client, Fleet, orders, publish, started

_CHANGES = """subscription($id: ID!) { runChanged(id: $id) {
    status waitReason result steps { key status attemptCount } } }"""


async def test_a_run_is_followed_to_its_end(acme: Client, fleet: Fleet) -> None:
    await publish(acme, orders())
    run = await started(acme)
    async with acme.subscribe(_CHANGES, id=run) as changes:
        first = await changes.next()
        assert (first["status"], [s["status"] for s in first["steps"]]) == ("QUEUED", ["QUEUED", "QUEUED"])
        await fleet.claim(run)
        await fleet.apply(run, ("started", "fetch", {}))
        begun = [{"key": "fetch", "status": "RUNNING", "attemptCount": 0}, first["steps"][1]]
        await changes.until(status="RUNNING", steps=begun)
        await fleet.apply(run, ("parked", None, {"reason": "IN_DOUBT", "resumeAt": None}))
        await changes.until(status="WAITING", waitReason="IN_DOUBT")
        await fleet.claim(run)
        await fleet.apply(run, ("claimed", None, {}))
        await fleet.finish(run)
        await changes.until(status="SUCCESS", result={"all": "good"})
        await changes.completed()


async def test_a_run_that_has_ended_is_sent_once(acme: Client, fleet: Fleet) -> None:
    await publish(acme, orders())
    run = await started(acme)
    await fleet.claim(run)
    await fleet.finish(run)
    async with acme.subscribe(_CHANGES, id=run) as changes:
        assert (await changes.next())["status"] == "SUCCESS"
        await changes.completed()


async def test_a_lost_notification_is_made_up_for(
    acme: Client, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "REREAD_SECONDS", 0.1)
    await publish(acme, orders())
    run = await started(acme)
    async with acme.subscribe(_CHANGES, id=run) as changes:
        await changes.next()
        await admin.execute("UPDATE runs SET status = 'FAILED', finished_at = now() WHERE id = $1", UUID(run))
        assert (await changes.next())["status"] == "FAILED"
        await changes.completed()


async def test_a_cancel_is_a_change(acme: Client) -> None:
    await publish(acme, orders())
    run = await started(acme)
    query = "subscription($id: ID!) { runChanged(id: $id) { cancelRequested } }"
    async with acme.subscribe(query, id=run) as changes:
        assert await changes.next() == {"cancelRequested": False}
        await acme("mutation($id: ID!) { cancelRun(id: $id) { __typename } }", id=run)
        assert await changes.next() == {"cancelRequested": True}


async def test_another_tenants_run_is_not_there(acme: Client, stranger: Client) -> None:
    await publish(acme, orders())
    for run in (await started(acme), "00000000-0000-7000-8000-000000000000", "no id"):
        async with stranger.subscribe(_CHANGES, id=run) as changes:
            message = await changes.receive()
            errors = message["payload"] if message["type"] == "error" else message["payload"]["errors"]
            assert (errors[0]["message"], errors[0]["extensions"]["code"]) == ("run not found", "NOT_FOUND")


async def test_many_changes_are_one_nudge(database: str) -> None:
    listener = Listener(database)
    changes = RunChanges(listener)
    run, other = UUID(int=1), UUID(int=2)
    with changes.watch(run) as watch, changes.watch(other) as calm:
        for _ in range(1000):
            changes._heard(f"{run},not an id")
        await asyncio.wait_for(watch.changed(60), 1)
        waiting = asyncio.create_task(watch.changed(60))
        calm_waiting = asyncio.create_task(calm.changed(60))
        await asyncio.sleep(0)
        assert not waiting.done()
        changes._heard("")
        await asyncio.wait_for(asyncio.gather(waiting, calm_waiting), 1)
