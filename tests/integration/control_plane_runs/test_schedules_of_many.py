"""Schedules of several tenants: what is the matter with one tenant's keeps no other's from their minute."""

import asyncio
from collections.abc import AsyncIterator
from unittest.mock import AsyncMock

import asyncpg
import pytest
from headrace.errors import Unavailable
from headrace.postgres.pool import transaction
from headrace.postgres.queries import load
from headrace_control.schedules import loop
from headrace_control.schedules.deciding import LATE, Missed
from headrace_control.schedules.loop import BATCH
from headrace_control.schedules.starting import MOST_STARTS
from headrace_control.vault.output_keys import OutputKeys

from tests.integration.control_plane_runs.acting import Client, orders, publish
from tests.integration.control_plane_runs.planes import Planes, two_planes

ORDER = {"type": "string"}
MARKED = {"type": "object", "properties": {"order": {**ORDER, "x-sensitive": True}}}
OPTIONAL = {"type": "object", "properties": {"order": ORDER, "pin": {**ORDER, "x-sensitive": True}}}


@pytest.fixture
async def planes(
    acme: Client, stranger: Client, database: str, admin: asyncpg.Connection, master_key: bytes
) -> AsyncIterator[Planes]:
    for client in (acme, stranger):
        await publish(client, orders())
    async with two_planes(database, admin, master_key) as made:
        yield made


@pytest.fixture
def keys_away(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The key provider gives no answer until this is undone."""
    monkeypatch.setattr(OutputKeys, "within", AsyncMock(side_effect=Unavailable("the KMS gives no answer")))
    return monkeypatch


async def test_a_tenant_whose_keys_are_away_stands_in_no_others_way(
    planes: Planes, acme: Client, keys_away: pytest.MonkeyPatch
) -> None:
    await planes.at("2030-05-01T00:30Z")
    for n in range(100):
        await planes.schedule(f"s{n:03}")
    await publish(acme, orders(parameters=MARKED))
    await planes.schedule("theirs", tenant="stranger", cron="1 * * * *", missed=Missed.SKIP)
    await planes.at("2030-05-01T01:00:58Z")
    await planes.turn()
    await planes.at("2030-05-01T01:01:01Z")
    for _ in range(3):
        await planes.turn()
    assert await planes.outcomes("theirs", tenant="stranger") == [("01 01:01", "STARTED")]
    assert await planes.outcomes("s000") == []


async def test_what_waited_for_its_keys_is_fired_when_they_are_there(
    planes: Planes, acme: Client, keys_away: pytest.MonkeyPatch
) -> None:
    await planes.at("2030-05-01T00:30Z")
    await planes.schedule()
    await publish(acme, orders(parameters=MARKED))
    await planes.at("2030-05-01T01:00:01Z")
    first = planes.loops[0]
    assert await first.turn() == 0
    # It is not asked for again and again meanwhile.
    assert 0.5 < await first._seconds_to_next() <= 1
    keys_away.undo()
    assert await first.turn() == 0
    assert await planes.loops[1].turn() == 1  # it never failed there
    assert await planes.outcomes() == [("01 01:00", "STARTED")]


async def test_where_nothing_is_to_be_sealed_no_key_is_asked_for(
    planes: Planes, acme: Client, keys_away: pytest.MonkeyPatch
) -> None:
    await planes.at("2030-05-01T00:30Z")
    await planes.schedule()
    await publish(acme, orders(parameters=OPTIONAL))
    await planes.fire_at("2030-05-01T01:00:01Z")
    assert await planes.outcomes() == [("01 01:00", "STARTED")]


async def test_a_backfill_whose_keys_are_away_rests(
    planes: Planes, acme: Client, keys_away: pytest.MonkeyPatch
) -> None:
    await planes.at("2030-05-01T12:00Z")
    await planes.schedule()
    await publish(acme, orders(parameters=MARKED))
    since, until = (await planes.admin.fetchrow("SELECT now() - interval '1 year', now()")) or ()
    await planes.backfills.start(planes.caller, "hourly", since, since + (until - since) / 365, 5)
    first = planes.loops[0]
    assert await first.turn() == 0
    assert len(first._rests.now()) == 1
    keys_away.undo()
    assert await planes.loops[1].turn() == 1
    assert len(await planes.runs()) == 5


async def test_many_missed_firings_make_no_other_tenants_late(planes: Planes) -> None:
    await planes.at("2030-05-01T00:30Z")
    for n in range(BATCH + 4):
        await planes.schedule(f"s{n:03}", cron="* * * * *", missed=Missed.FIRE_ALL)
    await planes.at("2030-05-01T03:30:30Z")
    await planes.schedule("theirs", tenant="stranger", cron="* * * * *", missed=Missed.SKIP)
    await planes.at("2030-05-01T03:31:03Z")
    first = planes.loops[0]
    assert await first.turn() > 0
    assert await planes.outcomes("theirs", tenant="stranger") == [("01 03:31", "STARTED")]
    begun = await planes.admin.fetch("SELECT count(*) FROM runs GROUP BY trigger ->> 'name'")
    assert max(row["count"] for row in begun) == MOST_STARTS


async def test_what_was_missed_is_started_in_several_transactions(planes: Planes) -> None:
    await planes.at("2030-05-01T00:30Z")
    await planes.schedule(cron="* * * * *", missed=Missed.FIRE_ALL, missed_limit=50)
    await planes.fire_at("2030-05-01T03:30:30Z")
    runs = [f"{run['at']:%H:%M}" for run in await planes.runs()]
    assert (len(runs), runs[0], runs[-1], runs) == (51, "02:40", "03:30", sorted(set(runs)))
    missed = [at for at, outcome in await planes.outcomes() if outcome == "MISSED"]
    assert missed == ["01 00:31"]


async def test_tenants_take_turns_and_what_is_on_time_comes_first(planes: Planes) -> None:
    await planes.at("2030-05-01T00:30Z")
    for n in range(9):
        await planes.schedule(f"s{n}")
    for name in ("t0", "t1", "late"):
        await planes.schedule(name, tenant="stranger")
    await planes.admin.execute(
        "UPDATE schedules SET next_at = next_at - interval '1 hour' WHERE name = 'late'"
    )
    await planes.at("2030-05-01T01:00:10Z")
    async with transaction(planes.pools[0]) as db:
        due = await db.fetch(load("headrace_control.schedules").due, BATCH, [], [], LATE)
    names = {row["id"]: row["name"] for row in await planes.admin.fetch("SELECT id, name FROM schedules")}
    order = [names[row["id"]][0] for row in due]
    assert [sorted(order[:2]), sorted(order[2:4]), order[4:]] == [["s", "t"], ["s", "t"], [*"sssssssl"]]


async def test_a_slow_tenant_is_not_waited_for(
    acme: Client,
    stranger: Client,
    database: str,
    admin: asyncpg.Connection,
    master_key: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def slow(*_: object) -> None:
        await asyncio.sleep(600)

    for client in (acme, stranger):
        await publish(client, orders())
    async with two_planes(database, admin, master_key, sessions=8) as planes:
        for n in range(8):
            await planes.schedule(f"s{n}", cron="* * * * *")
        await publish(acme, orders(parameters=MARKED))
        await planes.schedule("theirs", tenant="stranger", cron="* * * * *")
        # As if the minute that goes on had just begun.
        await admin.execute("UPDATE schedules SET next_at = date_trunc('minute', now())")
        monkeypatch.setattr(OutputKeys, "within", slow)
        monkeypatch.setattr(loop, "TURN_SECONDS", 1.0)
        first = planes.loops[0]
        async with asyncio.timeout(20):
            assert await first.turn() == 1
        assert [outcome for _, outcome in await planes.outcomes("theirs", tenant="stranger")] == ["STARTED"]
        assert len(first._lanes.at_work) == 2  # they go on
        await first._lanes.stop()
        monkeypatch.setattr(loop, "LONGEST_PIECE", 0.1)
        async with asyncio.timeout(20):
            assert await first.turn() == 0
        assert first._rests.now()
