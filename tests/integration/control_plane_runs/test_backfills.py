"""Backfills: a range's firings, exactly, however often they are stopped."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest
from headrace.errors import Conflict, InvalidInput, LimitExceeded
from headrace_control.backfills.model import Backfill
from headrace_control.expiry.expire import Kept, expire

from tests.integration.control_plane_runs.acting import Client, orders, publish
from tests.integration.control_plane_runs.planes import Planes, two_planes
from tests.integration.control_plane_runs.quotas import allow

BEGIN, END = datetime(2029, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
async def planes(
    acme: Client, database: str, admin: asyncpg.Connection, master_key: bytes
) -> AsyncIterator[Planes]:
    await publish(acme, orders())
    async with two_planes(database, admin, master_key) as made:
        await made.at("2030-05-01T12:00Z")
        await made.schedule("daily", cron="30 2 * * *", time_zone="Europe/Berlin")
        yield made


async def advance(planes: Planes) -> None:
    """Both planes go on with what they would look at soon."""
    await planes.admin.execute("UPDATE schedule_backfills SET look_at = '-infinity'")
    await planes.turn()


async def begun(planes: Planes, at_once: int, until: datetime = END) -> UUID:
    return (await planes.backfills.start(planes.caller, "daily", BEGIN, until, at_once)).id


async def now(planes: Planes, backfill: UUID) -> Backfill:
    found = await planes.backfills.find(planes.caller, backfill)
    assert found is not None
    return found


async def test_a_year_is_stopped_and_resumed_and_every_day_runs_once(planes: Planes) -> None:
    backfill = await begun(planes, at_once=150)
    await advance(planes)
    assert ((await now(planes, backfill)).started, (await now(planes, backfill)).total) == (150, 365)
    await advance(planes)  # there is no room
    assert len(await planes.runs("daily")) == 150
    stopped = await planes.backfills.stop(planes.caller, backfill)
    assert stopped.status == "STOPPED"
    await planes.end_runs()
    await advance(planes)
    assert len(await planes.runs("daily")) == 150
    await planes.backfills.resume(planes.caller, backfill, None)
    while (await now(planes, backfill)).status == "RUNNING":
        await advance(planes)
        await planes.end_runs()
    found = await now(planes, backfill)
    assert (found.status, found.started, found.finished_at is not None) == ("DONE", 365, True)
    days = [run["at"] for run in await planes.runs("daily")]
    assert len(set(days)) == len(days) == 365
    assert (min(days), max(days)) == (BEGIN + timedelta(hours=1.5), END - timedelta(hours=22.5))
    # The day on which there is no half past two in Berlin, and the one on which there are two.
    assert sum(f"{day:%m-%d %H:%M}" in ("03-25 01:00", "10-28 00:30") for day in days) == 2
    with pytest.raises(Conflict):
        await planes.backfills.resume(planes.caller, backfill, None)
    triggers = await planes.admin.fetch("SELECT DISTINCT trigger ->> 'backfill' AS id FROM runs")
    assert [row["id"] for row in triggers] == [str(backfill)]


async def test_a_quota_holds_a_backfill_back_and_loses_none_of_it(planes: Planes, platform: Client) -> None:
    await allow(platform, unfinishedRuns=4)
    backfill = await begun(planes, at_once=100, until=BEGIN + timedelta(days=10))
    await advance(planes)
    found = await now(planes, backfill)
    assert (found.status, found.started) == ("RUNNING", 4)
    while (await now(planes, backfill)).status == "RUNNING":
        await planes.end_runs()
        await advance(planes)
    assert (await now(planes, backfill)).started == len(await planes.runs("daily")) == 10


async def test_a_start_that_is_refused_for_good_stops_it_in_front(planes: Planes, acme: Client) -> None:
    backfill = await begun(planes, at_once=100, until=BEGIN + timedelta(days=3))
    await planes.admin.execute("UPDATE schedules SET input = '{}'")
    await advance(planes)
    found = await now(planes, backfill)
    assert (found.status, found.started, found.error and found.error["code"]) == (
        "STOPPED",
        0,
        "INVALID_INPUT",
    )
    await planes.schedules.update(planes.caller, "daily", {"input": {"order": "mended"}})
    await planes.backfills.resume(planes.caller, backfill, 1000)
    await advance(planes)
    assert ((await now(planes, backfill)).status, len(await planes.runs("daily"))) == ("DONE", 3)


async def test_what_it_counts_stays_when_the_schedule_changes(planes: Planes) -> None:
    backfill = await begun(planes, at_once=100, until=BEGIN + timedelta(days=3))
    await planes.schedules.update(planes.caller, "daily", {"cron": "0 * * * *"})
    with pytest.raises(Conflict):
        await planes.schedules.delete(planes.caller, "daily")
    await advance(planes)
    assert ((await now(planes, backfill)).status, len(await planes.runs("daily"))) == ("DONE", 3)
    await planes.schedules.delete(planes.caller, "daily")
    assert await planes.backfills.find(planes.caller, backfill) is None


async def test_what_came_of_its_firings_is_forgotten_once_their_runs_have_ended(planes: Planes) -> None:
    backfill = await begun(planes, at_once=100, until=BEGIN + timedelta(days=10))
    await advance(planes)
    assert (await now(planes, backfill)).status == "DONE"
    kept = Kept(timedelta(days=30), timedelta(days=30))
    await planes.at("2030-12-01T12:00Z")
    await expire(planes.pools[0], kept)
    assert len(await planes.outcomes("daily")) == 10
    await planes.end_runs()
    await expire(planes.pools[0], kept)
    assert await planes.outcomes("daily") == []


async def test_the_range_is_checked(planes: Planes) -> None:
    later = datetime(2031, 1, 1, tzinfo=UTC)
    for begin, end, at_once, path in (
        (END, BEGIN, 1, "until"),
        (BEGIN, later, 1, "until"),
        (datetime(1, 1, 1, tzinfo=UTC), END, 1, "from"),
        (BEGIN, END, 0, "atOnce"),
        (BEGIN, BEGIN + timedelta(hours=1), 1, "from"),
    ):
        with pytest.raises(InvalidInput) as refused:
            await planes.backfills.start(planes.caller, "daily", begin, end, at_once)
        assert [problem.path for problem in refused.value.problems] == [path]
    await planes.schedule("minutely", cron="* * * * *")
    with pytest.raises(LimitExceeded):
        await planes.backfills.start(planes.caller, "minutely", BEGIN, END, 1)
