"""The runs of one schedule, and of one webhook."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from unittest.mock import AsyncMock
from uuid import UUID

import asyncpg
import httpx
import pytest
from headrace_control.expiry.expire import Kept
from headrace_control.upkeep import keep_up

from tests.integration.control_plane_runs.acting import Client, orders, publish, started
from tests.integration.control_plane_runs.audit_examples import mutate
from tests.integration.control_plane_runs.commanding import headrace
from tests.integration.control_plane_runs.planes import Planes, two_planes
from tests.integration.control_plane_runs.test_keys_of_workflows import key_of
from tests.integration.control_plane_runs.webhooks import made

WEEK = timedelta(days=7)
_LIST = """query($f: RunFilter, $first: Int! = 50, $after: String) { runs(filter: $f, first: $first, after: $after) {
  items { id trigger { kind name } } pageInfo { hasNextPage endCursor } } }"""


@pytest.fixture
async def planes(
    acme: Client, database: str, admin: asyncpg.Connection, master_key: bytes
) -> AsyncIterator[Planes]:
    await publish(acme, orders())
    async with two_planes(database, admin, master_key) as made:
        yield made


async def triggers(client: Client, **wanted: Any) -> list[tuple[str, str]]:
    items = (await client(_LIST, f=wanted))["items"]
    return [(run["trigger"]["kind"], run["trigger"]["name"]) for run in items]


async def refused(client: Client, **wanted: Any) -> tuple[str, list[str]]:
    (error,) = (await client.post(_LIST, f=wanted))["errors"]
    told = error["extensions"]
    return told["code"], [problem["path"] for problem in told.get("problems", ())]


async def scheduled(acme: Client, planes: Planes, *names: str) -> None:
    """A run of each of these schedules, and two of the first."""
    await planes.at("2030-05-01T00:30Z")
    for name in names:
        await planes.schedule(name)
    await planes.fire_at("2030-05-01T01:00:01Z")
    for name in names[1:]:
        await mutate(acme, "pauseSchedule", {"name": name})
    await planes.fire_at("2030-05-01T02:00:01Z")


async def test_runs_are_listed_by_what_started_them(
    acme: Client, stranger: Client, planes: Planes, http: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    await started(acme)
    await scheduled(acme, planes, "nightly", "paid")
    sender = await made(acme, http)  # its name is `paid`, too
    assert (await sender.send({"order": "2"})).status_code == 202
    assert await triggers(acme, schedule="nightly") == [("SCHEDULE", "nightly")] * 2
    assert await triggers(acme, schedule="paid") == [("SCHEDULE", "paid")]
    assert await triggers(acme, webhook="paid") == [("WEBHOOK", "paid")]
    assert await triggers(acme, webhook="nightly") == []
    assert await triggers(acme, schedule="paid", status=["RUNNING"]) == []
    assert await triggers(acme, schedule="paid", status=["QUEUED", "FAILED"]) == [("SCHEDULE", "paid")]
    assert await triggers(acme, schedule="nightly", createdAfter="2030-05-01T01:30:00Z") == [
        ("SCHEDULE", "nightly")
    ]
    for mine in ({"schedule": "nightly"}, {"webhook": "paid"}):
        assert await triggers(stranger, **mine) == []
    newest = await acme(_LIST, f={"schedule": "nightly"}, first=1)
    assert newest["pageInfo"]["hasNextPage"]
    older = await acme(_LIST, f={"schedule": "nightly"}, first=1, after=newest["pageInfo"]["endCursor"])
    assert not older["pageInfo"]["hasNextPage"]
    assert UUID(older["items"][0]["id"]) < UUID(newest["items"][0]["id"])
    # Those of a schedule that is gone go on telling.
    await mutate(acme, "deleteSchedule", {"name": "nightly"})
    assert len(await triggers(acme, schedule="nightly")) == 2
    assert (
        await admin.fetchval("SELECT count(*) FROM runs WHERE (trigger IS NULL) <> (triggered_by IS NULL)")
        == 0
    )


async def test_upkeep_lists_those_of_the_release_before(
    acme: Client,
    planes: Planes,
    http: httpx.AsyncClient,
    admin: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await started(acme)
    await scheduled(acme, planes, "nightly")
    sender = await made(acme, http)
    assert (await sender.send({"order": "2"})).status_code == 202
    await admin.execute("UPDATE runs SET triggered_by = NULL")
    assert await triggers(acme, schedule="nightly") == []
    monkeypatch.setattr("headrace_control.runs.triggers.MOST", 2)
    worker = planes.pools[0]
    working = asyncio.create_task(
        keep_up(worker, AsyncMock(purge=AsyncMock(return_value=0)), Kept(WEEK, WEEK))
    )
    async with asyncio.timeout(20):
        while not await triggers(acme, webhook="paid"):
            await asyncio.sleep(0.05)  # nothing tells of it
    working.cancel()
    assert await triggers(acme, schedule="nightly") == [("SCHEDULE", "nightly")] * 2
    assert await triggers(acme, webhook="paid") == [("WEBHOOK", "paid")]
    assert await admin.fetchval("SELECT count(*) FROM runs WHERE triggered_by IS NOT NULL") == 3


async def test_by_command(acme: Client, planes: Planes, http: httpx.AsyncClient) -> None:
    await scheduled(acme, planes, "nightly")
    sender = await made(acme, http)
    run = (await sender.send({"order": "2"})).json()["runId"]
    assert len((await headrace(acme, "run", "list", "--schedule", "nightly"))["items"]) == 2
    told = await headrace(acme, "run", "list", "--webhook", "paid", "--status", "QUEUED")
    assert [one["id"] for one in told["items"]] == [run]
    wrong = await headrace(acme, "run", "list", "--webhook", "paid", "--schedule", "nightly", code=2)
    assert wrong["error"]["problems"][0]["path"] == "filter.webhook"


async def test_what_does_not_go_together_is_refused(acme: Client) -> None:
    beside = {"workflow": "orders", "version": 1, "webhook": "paid"}
    paths = ["filter.webhook", "filter.workflow", "filter.version"]
    assert await refused(acme, schedule="nightly", **beside) == ("INVALID_INPUT", paths)
    assert await refused(acme, webhook="paid", workflow="orders") == ("INVALID_INPUT", ["filter.workflow"])


async def test_a_key_for_named_workflows_does_not_ask_for_them(acme: Client) -> None:
    await publish(acme, orders())
    limited = await key_of(acme, "orders")
    for wanted in ({"schedule": "nightly"}, {"webhook": "paid"}):
        assert await refused(limited, **wanted) == ("FORBIDDEN", [])
